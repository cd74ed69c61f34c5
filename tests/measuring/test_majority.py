"""Pins majority votes and distinct answers, against counting by hand.

Run: python -m pytest tests/measuring/test_majority.py
"""

import random
from collections import Counter

import polars as pl
import pytest

from rft.measuring.majority import distinct_answers, majority


def answers(problems: dict[str, list[int | None]]) -> pl.DataFrame:
    rows = [
        {"benchmark": "b", "problem_id": name, "answer_class": each}
        for name, classes in problems.items()
        for each in classes
    ]
    return pl.DataFrame(rows, schema_overrides={"answer_class": pl.Int32})


def test_the_most_frequent_answer_decides_and_a_tie_is_shared() -> None:
    frame = answers(
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
    assert distinct_answers(frame).tolist() == [2, 2, 2, 1, 0, 3]


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
    assert majority(answers(problems)).tolist() == pytest.approx(expected)
