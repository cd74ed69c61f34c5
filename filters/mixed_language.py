"""Reject a response that leaves the language of the problem."""

import polars as pl

# Chinese, Japanese and Korean letters: kana, ideographs and their extensions, hangul.
CJK = (
    r"\u{3040}-\u{30FF}\u{31F0}-\u{31FF}\u{3400}-\u{4DBF}\u{4E00}-\u{9FFF}\u{F900}-\u{FAFF}"
    r"\u{1100}-\u{11FF}\u{3130}-\u{318F}\u{AC00}-\u{D7AF}\u{FF66}-\u{FF9F}\u{20000}-\u{323AF}"
)


def mixed_language(*, characters: str = CJK) -> pl.Expr:
    """Find responses with any of the characters, given as a regular expression has them in []."""
    return pl.col("response").str.contains(f"[{characters}]")
