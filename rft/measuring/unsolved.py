"""The problems that a model never solves.

With n samples of each problem this is the n-rollout unsolvable set (arXiv 2508.07534 has n = 640).
It is a set of a measurement: a second one of the same model has another, and `support` tells how
many problems luck alone moves in and out.
"""

import polars as pl

from rft.measuring.pass_at_k import solved

# A problem of a benchmark: both names.
Problem = tuple[str, str]


def unsolved(evaluations: pl.DataFrame) -> frozenset[Problem]:
    """Give the problems of which no sample is correct."""
    rows = solved(evaluations).filter(pl.col("c") == 0).select("benchmark", "problem_id")
    return frozenset((benchmark, name) for benchmark, name in rows.iter_rows())
