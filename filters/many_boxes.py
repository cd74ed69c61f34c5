"""Reject a response that answers more than once."""

import polars as pl


def many_boxes(*, most: int = 1) -> pl.Expr:
    """Find completions with more than `most` answers in boxes, counted before trimming."""
    return pl.col("num_boxed") > most
