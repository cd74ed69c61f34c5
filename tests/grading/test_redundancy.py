"""Pins redundancy: whitespace words, case kept, 1 - distinct / total of the 3-grams.

Run: python -m pytest tests/grading/test_redundancy.py
"""

import pytest

from rft.grading.grade import redundancy


@pytest.mark.parametrize("text", ["", " ", "\n\t", "one", "one two", "a b\n"])
def test_fewer_than_three_words_are_not_redundant(text: str) -> None:
    assert redundancy(text) == 0.0


def test_distinct_words_are_not_redundant() -> None:
    assert redundancy("one two three") == 0.0
    assert redundancy("one two three four") == 0.0


def test_a_repeated_gram_counts_once() -> None:
    # a b c, b c a, c a b, a b c: three distinct of four.
    assert redundancy("a b c a b c") == 0.25


def test_one_word_over_and_over_is_almost_all_redundant() -> None:
    assert redundancy("no " * 12) == pytest.approx(0.9)


def test_case_is_kept_and_whitespace_is_not() -> None:
    assert redundancy("A b c a b c") == 0.0
    assert redundancy("a  b\nc\ta b c") == redundancy("a b c a b c")


def test_the_order_of_the_words_in_a_gram_matters() -> None:
    assert redundancy("a b c b a") == 0.0
