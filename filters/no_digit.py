"""Reject a response in which nothing was computed."""

import polars as pl


def no_digit() -> pl.Expr:
    """Find responses without any digit 0 to 9."""
    return ~pl.col("response").str.contains("[0-9]")
