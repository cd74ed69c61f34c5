"""Reject a response that is shorter than any reasoning."""

import polars as pl


def too_short(*, min_tokens: int) -> pl.Expr:
    """Find responses of fewer than `min_tokens` tokens."""
    return pl.col("num_response_tokens") < min_tokens
