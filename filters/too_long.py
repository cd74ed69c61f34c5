"""Reject a response that is longer than it should be."""

import polars as pl


def too_long(*, max_tokens: int) -> pl.Expr:
    """Find responses of more than `max_tokens` tokens."""
    return pl.col("num_response_tokens") > max_tokens
