"""Measures a text: what grading records for the rules to compare with their thresholds."""


def redundancy(response: str) -> float:
    """Measure repetition: 1 - distinct / total of the word 3-grams, case kept; 0 below 3 words."""
    words = response.split()
    grams = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
