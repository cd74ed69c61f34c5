"""Reject a response that says the same again and again.

The share is measured where answers are graded: `redundancy` in rft/grading/grade.py.
"""

import polars as pl


def redundant(*, threshold: float = 0.31) -> pl.Expr:
    """Find responses whose share of repeated word 3-grams is above the threshold."""
    # Nothing is above NaN, so that the rule would pass everything without a word.
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is a share between 0 and 1, not {threshold}")
    # The column is float32, in which 0.31 is not the 0.31 of the recipe: compare in its precision.
    return pl.col("redundancy") > pl.lit(threshold, pl.Float32)
