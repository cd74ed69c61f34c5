"""A rule: reject a response that is written in another language than it should be.

Reasoning models drift into other languages in the middle of an answer. It is told here by the
little words of each language, of which every text is full; mathematics has none of them.
"""

import polars as pl

# The commonest words of each language that are no words of the others.
LITTLE_WORDS = {
    "en": "the and of is that it we this with are so then which have has from first",
    "de": "der die das und ist nicht ein eine wir mit dann also den dem sich auf wird zuerst",
    "fr": "le les et est nous une des dans que donc puis alors pour avec cette du sont",
    "es": "el los las y es una que entonces por con para primero esta como son del",
}


def count_of(language: str) -> pl.Expr:
    """Count the little words of a language in a response."""
    words = "|".join(LITTLE_WORDS[language].split())
    return pl.col("response").str.count_matches(rf"(?i)\b(?:{words})\b")


def wrong_language(*, language: str = "en", at_least: int = 3) -> pl.Expr:
    """Find `at_least` little words of another language, and more than of their own."""
    if language not in LITTLE_WORDS:
        known = ", ".join(LITTLE_WORDS)
        raise ValueError(f"language is {language!r}; there are {known}")
    others = [count_of(other) for other in LITTLE_WORDS if other != language]
    most = pl.max_horizontal(others)
    return (most >= at_least) & (most > count_of(language))


RULES = {"wrong_language": wrong_language}
