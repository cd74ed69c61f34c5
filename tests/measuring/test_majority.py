"""Pins majority votes against counting by hand and enumeration of subsets.

Run: python -m pytest tests/measuring/test_majority.py
"""

import random
from collections import Counter
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from rft.measuring.majority import majority, share_of_votes
from tests.answer_frames import answered


def test_the_most_frequent_answer_decides_and_a_tie_is_shared() -> None:
    frame = answered(
        {
            "a": [0, 0, 1],
            "b": [1, 1, 0],
            "c": [0, 1],
            "d": [None, None, 0],
            "e": [None, None],
            "f": [0, 1, 2, 2, 0, None],
        }
    )
    assert majority(frame).tolist() == [1, 0, 0.5, 1, 0, 0.5]


def test_random_votes_agree_with_counting_by_hand() -> None:
    source = random.Random(0)
    problems = {
        f"p{index:03d}": source.choices([None, 0, 1, 2, 3], k=source.randrange(1, 9))
        for index in range(200)
    }
    expected = []
    for name in sorted(problems):
        votes = Counter(each for each in problems[name] if each is not None)
        best = [each for each, count in votes.items() if count == max(votes.values())]
        expected.append((0 in best) / len(best) if best else 0)
    assert majority(answered(problems)).tolist() == pytest.approx(expected)


def vote(classes: tuple[int | None, ...]) -> Fraction:
    votes = Counter(each for each in classes if each is not None)
    best = [each for each, count in votes.items() if count == max(votes.values())]
    return Fraction(0 in best, len(best)) if best else Fraction(0)


def by_enumeration(classes: list[int | None], k: int) -> float:
    """Let every subset of k samples vote."""
    subsets = list(combinations(classes, k))
    return float(sum(vote(subset) for subset in subsets) / len(subsets))


def test_maj_at_k_is_the_mean_vote_of_all_subsets() -> None:
    source = random.Random(1)
    for _ in range(60):
        classes = source.choices([None, 0, 0, 1, 2, 3], k=source.randrange(1, 10))
        frame = answered({"p": classes})
        for k in range(1, len(classes) + 1):
            assert majority(frame, k).tolist() == pytest.approx([by_enumeration(classes, k)])


def test_all_answers_voting_is_the_special_case_of_k_equal_to_n() -> None:
    source = random.Random(2)
    problems = {f"p{index:02d}": source.choices([None, 0, 1, 2], k=8) for index in range(60)}
    frame = answered(problems)
    assert majority(frame, 8) == pytest.approx(majority(frame))
    right = np.array([problems[name].count(0) / 8 for name in sorted(problems)])
    assert majority(frame, 1) == pytest.approx(right)


def test_problems_with_other_numbers_of_samples_vote_by_their_own() -> None:
    frame = answered({"b": [0, 1, 1], "a": [0, 0, 1, None, 2], "c": [None, None]})
    wanted = [by_enumeration(each, 2) for each in ([0, 0, 1, None, 2], [0, 1, 1], [None, None])]
    assert majority(frame, 2) == pytest.approx(wanted)
    with pytest.raises(AssertionError, match="maj@3 needs 3 samples"):
        majority(frame, 3)


def test_many_samples_vote_without_overflow_and_as_random_subsets_do() -> None:
    assert share_of_votes(3000, (2000, 1000), 500, 301) == pytest.approx(1, abs=1e-3)
    assert share_of_votes(1500, (1500,), 24, 200) == pytest.approx(0.5)
    source = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2, 3, -1], [20, 18, 12, 8, 6])
    drawn = source.permuted(np.tile(classes, (20_000, 1)), axis=1)[:, :16]
    votes = np.stack([(drawn == each).sum(1) for each in range(4)])
    best = votes == votes.max(0)
    share = (best[0] / best.sum(0)).mean()
    assert share_of_votes(20, (18, 12, 8), 6, 16) == pytest.approx(share, abs=0.012)
