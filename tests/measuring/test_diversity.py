"""Pins distinct answers, their entropy, and a change of diversity in its two parts, by hand."""

import math
from itertools import combinations

import pytest

from rft.measuring.diversity import (
    answer_entropy,
    distinct_answers,
    distinct_of,
    diversity_change,
)
from tests.answer_frames import answered


def test_distinct_answers_are_counted_and_no_answer_is_none() -> None:
    frame = answered({"a": [0, 0, 1], "b": [1, 2, 0, None], "c": [None, None], "d": [0, 0]})
    assert distinct_answers(frame).tolist() == [2, 3, 0, 1]


def test_entropy_is_that_of_the_frequencies_of_answers() -> None:
    frame = answered({"a": [0, 0, 1, 2], "b": [0, 0], "c": [None, None], "d": [1, 2, None, 3]})
    wanted = [1.5 * math.log(2), 0, 0, math.log(3)]
    assert answer_entropy(frame).tolist() == pytest.approx(wanted)
    assert math.copysign(1, answer_entropy(frame)[1]) == 1, "no minus before a zero"


def test_fewer_samples_hold_as_many_distinct_ones_as_their_subsets_do() -> None:
    classes = [0, 0, 0, 1, 1, 2]
    for drawn in range(1, 7):
        subsets = list(combinations(classes, drawn))
        mean = sum(len(set(subset)) for subset in subsets) / len(subsets)
        assert distinct_of([3, 2, 1], 6, drawn) == pytest.approx(mean)
    # What is no class at all is among the samples too.
    assert distinct_of([1], 2, 1) == 0.5


def test_wrong_answers_removed_are_no_right_ones_narrowed() -> None:
    texts = {"p": ["a", "b", "c", "d"]}
    before, after = answered({"p": [0, 0, 1, 2]}, texts), answered({"p": [0, 0, 0, 0]}, texts)
    change = diversity_change(before, after, seed=0)
    assert change.wrong.value == -2
    assert change.right is not None
    # Any two of the four right ones are different, as the two were.
    assert change.right.value == pytest.approx(0)
    assert change.problems == 1


def test_right_ones_narrowed_are_no_wrong_answers_removed() -> None:
    classes = {"p": [0, 0, 0, 1], "q": [0, 1, 2, 3]}
    before = answered(classes, {"p": ["a", "b", "c", "d"], "q": ["a"] * 4})
    # Equal but for white space.
    after = answered(classes, {"p": ["a  b", " a b\n", "c", "d"], "q": ["b"] * 4})
    change = diversity_change(before, after, seed=0)
    assert change.wrong.value == 0
    assert change.right is not None
    assert change.right.value == -1
    assert change.problems == 1, "q has a single right response"


def test_more_samples_and_more_right_ones_are_no_diversity() -> None:
    before = answered({"p": [0, 0, 1, 2]}, {"p": ["a", "b", "c", "d"]})
    after = answered(
        {"p": [0, 0, 0, 0, 1, 1, 2, 2]}, {"p": ["a", "a", "b", "b", "c", "c", "d", "d"]}
    )
    change = diversity_change(before, after, seed=0)
    # Four of eight hold each of two pairs with 1 - C(6, 4) / C(8, 4).
    assert change.wrong.value == pytest.approx(2 * (1 - 15 / 70) - 2)
    assert change.right is not None
    # Two of four, in two pairs, are different in 4 of 6 cases.
    assert change.right.value == pytest.approx(1 + 4 / 6 - 2)


def test_without_two_right_responses_nothing_is_said_of_them() -> None:
    frame = answered({"p": [0, 1, None]})
    change = diversity_change(frame, frame, seed=0)
    assert change.right is None
    assert change.problems == 0
    assert change.wrong.value == 0
