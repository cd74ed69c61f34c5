"""Reject a response without an answer in a closed box."""

import polars as pl


def no_box() -> pl.Expr:
    """Find responses in which no closed box holds an answer: there is nothing to check."""
    answer = pl.col("answer")
    return answer.is_null() | (answer.str.strip_chars() == "")
