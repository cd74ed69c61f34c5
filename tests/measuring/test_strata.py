"""Strata against counting: fifths by rank, problems by their pass rate.

Run: python -m pytest tests/measuring/test_strata.py
"""

from fractions import Fraction

import numpy as np
import polars as pl
import pytest

from rft.measuring.strata import TENTHS, by_difficulty, fifths, tenth


def test_fifths_are_by_rank_and_equal_values_are_in_the_same_one():
    values = np.random.default_rng(0).permutation(103).astype(float)
    for value, place in zip(values, fifths(values), strict=True):
        assert place == int((values < value).sum()) * 5 // 103
    assert fifths(np.array([1.0, 1.0, 1.0, 1.0, 2.0])).tolist() == [0, 0, 0, 0, 4]
    assert fifths(np.zeros(0)).tolist() == []


@pytest.mark.parametrize("n", [3, 7, 8, 10, 16, 64])
def test_a_pass_rate_is_in_the_tenth_that_fractions_say(n):
    for solved in range(n + 1):
        share = Fraction(solved, n)
        place = next(i for i in range(11) if share <= Fraction(i, 10))
        assert tenth(solved / n) == place, (solved, n)
    assert TENTHS[tenth(0.1)], TENTHS[tenth(0.11)] == ("1-10", "11-20")


def test_shares_of_problems_and_samples_add_up_and_agree_with_counting():
    source = np.random.default_rng(1)
    rates = {f"p{i}": int(source.integers(9)) / 8 for i in range(50)}
    names = [f"p{i}" for i in source.integers(50, size=200)]
    made = by_difficulty(rates, {"kept": pl.DataFrame({"problem_id": names})})
    for what in ("problems", "kept"):
        assert made.filter(pl.col("what") == what)["share"].sum() == pytest.approx(1)
    for row in made.filter(pl.col("what") == "kept").to_dicts():
        here = {name for name, rate in rates.items() if TENTHS[tenth(rate)] == row["tenth"]}
        count = sum(name in here for name in names)
        assert row["count"] == count
        assert row["per_problem"] == (count / len(here) if here else None)


def test_without_samples_a_share_is_null():
    made = by_difficulty({"p": 0.5}, {"kept": pl.DataFrame({"problem_id": []})})
    assert made.filter(pl.col("what") == "kept")["share"].to_list() == [None] * 11
