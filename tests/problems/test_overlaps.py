"""What questions have in common is found: every planted copy, and nothing that is none.

The oracle compares each pair of texts by the definition.

Run: python -m pytest tests/problems/test_overlaps.py
"""

import random

import pytest

from rft.problems.overlaps import (
    MOST_OWNERS,
    NEAR,
    References,
    alike,
    near_duplicates,
    runs_of,
    shingles_of,
    words_of,
)

VOCABULARY = [f"{first}{second}" for first in "bcdfgklmnprst" for second in ("a", "ex", "oro")]


def drawn(source: random.Random, length: int) -> list[str]:
    return source.choices(VOCABULARY, k=length)


def disguised(source: random.Random, words: list[str]) -> str:
    """Write words with other signs, spaces and case between them."""
    marks = [" ", "  ", ", ", " $", "$ ", ". ", "\n", " (", ") ", "-", r" \\ "]
    return "".join(
        source.choice([word, word.upper(), word.title()]) + source.choice(marks) for word in words
    )


def test_words_have_no_case_and_no_signs_and_letters_without_spaces_are_words():
    assert words_of("Let $x^2+3X$ be\n 7/8, \uff21\uff22!") == [
        "let",
        "x",
        "2",
        "3x",
        "be",
        "7",
        "8",
        "ab",
    ]
    assert words_of("求方程的解") == list("求方程的解")
    assert words_of("Ärger STRASSE straße naïve") == ["ärger", "strasse", "strasse", "naïve"]
    assert words_of("$$ + _ $$") == []


@pytest.mark.parametrize("seed", range(5))
def test_every_planted_run_of_eight_words_is_found_and_no_shorter_one(seed):
    source = random.Random(seed)
    benchmark = [drawn(source, source.randint(5, 60)) for _ in range(40)]
    references = References([" ".join(each) for each in benchmark])
    found = planted = 0
    for length in [*range(5, 16)] * 12:
        own = drawn(source, source.randint(0, 40))
        owner = source.choice([each for each in benchmark if len(each) >= length] or [[]])
        at = source.randint(0, max(0, len(owner) - length))
        copied, place = owner[at : at + length], source.randint(0, len(own))
        text = disguised(source, own[:place] + copied + own[place:])
        overlap = references.overlap(text)
        counts = {
            number: tuple(len(runs_of(words_of(text), n) & runs_of(each, n)) for n in (8, 12))
            for number, each in enumerate(benchmark)
        }
        near = [
            number
            for number, each in enumerate(benchmark)
            if alike(shingles_of(words_of(text)), shingles_of(each)) >= NEAR
        ]
        planted += len(copied) >= 8
        if not near and max(count for count, _ in counts.values()) == 0:
            assert overlap is None
        else:
            found += 1
            assert overlap is not None
            assert overlap.runs == counts[overlap.other]
            if not near:
                assert overlap.runs[0] == max(count for count, _ in counts.values())
                assert overlap.example in " ".join(words_of(text))
                assert len(overlap.example.split()) == 8
    assert found >= planted > 50


def edited(source: random.Random, words: list[str], changes: int) -> list[str]:
    words = list(words)
    for _ in range(changes if len(words) > changes else 0):
        at = source.randrange(len(words))
        words[at : at + 1] = source.choice([[], [source.choice(VOCABULARY)], [words[at], "more"]])
    return words


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.95, 1.0])
def test_near_duplicates_are_those_of_comparing_every_pair(threshold):
    source = random.Random(7)
    texts = [drawn(source, source.randint(1, 30)) for _ in range(60)]
    texts += [edited(source, source.choice(texts), source.randint(0, 4)) for _ in range(240)]
    source.shuffle(texts)
    asked = [" ".join(each) for each in texts]
    stays = [source.random() < 0.2 for _ in asked]
    shingles = [shingles_of(words_of(each)) for each in asked]
    kept: list[int] = []
    expected = {}
    for number, mine in enumerate(shingles):
        likeness = {other: alike(mine, shingles[other]) for other in kept}
        near = [other for other in kept if likeness[other] >= threshold and mine]
        if near and not stays[number]:
            expected[number] = max(near, key=lambda other: likeness[other])
        else:
            kept.append(number)
    assert near_duplicates(asked, threshold, stays) == expected
    assert len(expected) > 40


def test_whole_questions_that_are_nearly_the_same_are_found_where_no_eight_words_are_left():
    short = References(["What is the sum of 4 and 5?"])
    overlap = short.overlap("what is the SUM of 4 and 5")
    assert (overlap.runs, overlap.likeness, overlap.example) == (
        (1, 0),
        1.0,
        "what is the sum of 4 and 5",
    )
    tiny = References(["Find x."]).overlap("find X")
    assert (tiny.runs, tiny.likeness, tiny.example) == ((0, 0), 1.0, "")
    assert References(["Find x.", ""]).overlap("Find y.") is None
    assert References(["", "+"]).overlap("") is None
    assert References([]).overlap("anything at all") is None


def test_a_sentence_that_all_texts_have_costs_no_more_than_a_few_of_them():
    stem = "in how many different ways can one choose two of these"
    references = References([f"{stem} {number} apples" for number in range(10 * MOST_OWNERS)])
    assert max(map(len, references.owners.values())) == MOST_OWNERS
    assert references.overlap(f"Well, {stem} pears").runs == (4, 0)
