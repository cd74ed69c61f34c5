"""Each term of the glossary is explained, in plain sentences that fit behind a word."""

import pytest

from rft.glossary import TERMS


@pytest.mark.parametrize("term", list(TERMS))
def test_each_term_has_one_to_three_short_sentences(term):
    text = TERMS[term]
    assert text == text.strip()
    assert text.endswith(".")
    assert len(text) <= 260


def test_no_term_is_there_twice_in_another_case():
    assert len({term.lower() for term in TERMS}) == len(TERMS)
