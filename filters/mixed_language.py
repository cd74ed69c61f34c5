"""Reject a response that leaves the language of the problem."""

import polars as pl

# Chinese, Japanese and Korean letters, by script: the well-known blocks leave some of them out.
CJK = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Bopomofo}\u{30FC}"


def mixed_language(*, characters: str = CJK) -> pl.Expr:
    """Find responses with any of the characters, by default Chinese, Japanese and Korean letters.

    They are given as a regular expression has them in [].
    """
    inside = f"[{characters}]"
    try:
        pl.Series([""]).str.contains(inside)
    except pl.exceptions.ComputeError:
        raise ValueError(
            f"characters: {characters[:60]!r} inside [] is no regular expression"
        ) from None
    return pl.col("response").str.contains(inside)
