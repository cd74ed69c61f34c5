"""Reject a response that was cut off before it answered."""

import polars as pl


def truncated() -> pl.Expr:
    """Find completions that hit the token limit before the box of an answer closed."""
    return (pl.col("finish_reason") == "length") & pl.col("answer").is_null()
