"""Words are what they are for: examples of each class, of sentences, and of their borders.

Run: python -m pytest tests/token_kinds/test_words.py
"""

import pytest

from rft.bundled import bundled
from rft.token_kinds.words import (
    CLASSES,
    PIVOTAL,
    class_spans,
    is_reflective,
    pivotal_starts,
    sentences,
)

# What each paper gives as an example, and what could be taken for it.
EXAMPLES = {
    "formal": ["42", "3.5", "1,000", "+", "=", "\\frac", "{", "}", "x", "Q", "$", "^", "π", "≤"],
    "logical": [
        "therefore",
        "Because",
        "however",
        "but",
        "first",
        "next",
        "finally",
        "and",
        "also",
    ],
    "metacognitive": [
        *("let's check", "Let\u2019s", "Correction", "Wait", "In summary", "First, I will", "Hmm"),
        *("We need to", "I'll", "double-check", "verify", "step by step"),
    ],
    "support": [
        "the",
        "is",
        "of",
        "problem",
        "solution",
        "correct",
        "final",
        "a",
        "I",
        ".",
        "don't",
    ],
    "other": ["\ufffd"],
}


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in EXAMPLES.items() for text in texts]
)
def test_an_example_is_wholly_of_its_class(name, text):
    covered = {CLASSES[kind] for _, _, kind in class_spans(text)}
    assert covered == {name}


def test_a_whole_sentence_in_its_classes():
    text = "First, I will add 3 + x, but the thing's sum is \\boxed{7}."
    named = [(text[a:b], CLASSES[kind]) for a, b, kind in class_spans(text)]
    assert named == [
        ("First, I will", "metacognitive"),
        ("add", "support"),
        ("3", "formal"),
        ("+", "formal"),
        ("x", "formal"),
        (",", "support"),
        ("but", "logical"),
        ("the", "support"),
        ("thing's", "support"),
        ("sum", "support"),
        ("is", "support"),
        ("\\boxed", "formal"),
        ("{", "formal"),
        ("7", "formal"),
        ("}", "formal"),
        (".", "support"),
    ]


@pytest.mark.parametrize("text", ["", "  \n", "a b\tc", "é日本語 x_1 — “q”\x00\U0001f600"])
def test_every_sign_but_space_is_in_one_span(text):
    covered = [place for a, b, _ in class_spans(text) for place in range(a, b)]
    assert len(covered) == len(set(covered))
    assert {place for place in range(len(text)) if not text[place].isspace()} <= set(covered)


def test_pivotal_words_are_whole_words():
    text = "So button, thus. Son of however; THEREFORE firsthand"
    assert [text[at:].split()[0].strip(".,;") for at in pivotal_starts(text)] == [
        "So",
        "thus",
        "however",
        "THEREFORE",
    ]
    assert len(set(PIVOTAL)) == len(PIVOTAL)


def test_the_page_of_methods_lists_the_pivotal_words():
    page = (bundled("configs").parent / "docs/reference/methods.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("| pivotal words")]
    assert row.split("*")[1].split(", ") == PIVOTAL


def test_sentences_end_at_points_before_space_and_at_lines_and_hold_something():
    text = 'We get 3.5 cm. Is it? "Yes."\n\nSo x = 2\n---\nend'
    assert [text[a:b].strip() for a, b in sentences(text)] == [
        "We get 3.5 cm.",
        "Is it?",
        '"Yes."',
        "So x = 2",
        "end",
    ]
    assert sentences("") == sentences(" . ") == []


@pytest.mark.parametrize(
    ("sentence", "looks_back"),
    [
        ("Let me verify this.", True),
        ("We double-check: 3 + 4 = 7.", True),
        ("Wait, that is off.", True),
        ("A waiter brings a checkerboard.", False),
        ("So the answer is 7.", False),
        ("Let's re-evaluate the sum.", True),
    ],
)
def test_sentences_that_look_back(sentence, looks_back):
    assert is_reflective(sentence) == looks_back


def test_a_long_hostile_text_takes_no_time_out_of_proportion():
    # Patterns that try again from every place would take minutes here.
    for text in ("a'" * 50_000, "\\" * 100_000, "first, " * 20_000, "." * 100_000, "x" * 100_000):
        assert class_spans(text)
        pivotal_starts(text)
        sentences(text)
        is_reflective(text)
