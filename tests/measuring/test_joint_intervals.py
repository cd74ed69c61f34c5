"""Pins the joint intervals: exact where luck can be counted, and right about all rows together."""

from itertools import product

import numpy as np
import pytest

from rft.measuring.joint_intervals import joint_intervals, reach_of, sizes


def chance_of_lowest(changes: np.ndarray) -> float:
    """Go through all choices of signs: how often is the lowest row as low as it is?"""
    size = np.sqrt((changes**2).sum(1))
    lowest = (changes.sum(1) / size).min()
    turned = [
        (changes * signs).sum(1) / size for signs in product([-1.0, 1.0], repeat=changes.shape[1])
    ]
    return float(np.mean([each.min() <= lowest + 1e-12 for each in turned]))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rows", [1, 3])
def test_a_row_lies_below_zero_where_luck_would_make_it_so_in_fewer_cases_than_the_level(
    seed, rows
):
    changes = np.random.default_rng(seed).normal(-0.4, 1, (rows, 10))
    chance = chance_of_lowest(changes)
    for level, refuses in ((chance + 0.03, True), (chance - 0.03, False)):
        if 0.01 < level < 0.5:
            lowest = min(each.high for each in joint_intervals(changes, level=level, seed=seed))
            assert (lowest < 0) == refuses


def test_four_problems_lost_and_none_gained_are_luck_in_one_of_sixteen_and_five_in_fewer():
    for lost, refuses in ((4, False), (5, True)):
        changes = np.array([[-1.0] * lost + [0.0] * (100 - lost)])
        (interval,) = joint_intervals(changes, level=0.05, seed=0)
        assert (interval.high < 0) == refuses


def test_one_row_of_many_problems_reaches_as_far_as_the_normal_distribution():
    changes = np.random.default_rng(0).normal(0, 1, (1, 200))
    for level, normal in ((0.05, 1.645), (0.025, 1.960)):
        assert reach_of(changes, level=level, seed=1) == pytest.approx(normal, abs=0.08)


def test_a_row_twice_reaches_no_further_and_other_rows_do():
    row = np.random.default_rng(0).normal(0, 1, (1, 200))
    others = np.random.default_rng(1).normal(0, 1, (6, 200))
    once = reach_of(row, level=0.05, seed=1)
    assert reach_of(np.repeat(row, 5, 0), level=0.05, seed=1) == pytest.approx(once)
    # Six independent looks: 1 - 0.95^(1/6) on each is 0.05 on all.
    assert reach_of(others, level=0.05, seed=1) == pytest.approx(2.386, abs=0.1)


def test_one_of_several_equal_models_looks_worse_no_more_often_than_the_level():
    source, level, trials = np.random.default_rng(3), 0.1, 400
    rates = source.beta(0.6, 1.4, 60)
    low = 0
    for trial in range(trials):
        old, new = source.binomial(4, rates, (5, 60)), source.binomial(4, rates)
        made = joint_intervals((new - old) / 4, level=level, seed=trial)
        low += any(each.high < 0 for each in made)
    assert low / trials <= level + 2 * (level * (1 - level) / trials) ** 0.5


def test_where_nothing_changed_the_interval_has_a_width_and_no_row_is_worse():
    zero = np.zeros((2, 100))
    for interval in joint_intervals(zero, level=0.05, seed=0):
        assert interval.value == 0
        assert interval.low == -interval.high == pytest.approx(-0.01645, abs=1e-4)
    assert list(sizes(zero)) == [1, 1]


def test_a_seed_gives_the_same_intervals_and_others_hardly_differ():
    changes = np.random.default_rng(0).normal(0, 1, (4, 100))
    assert joint_intervals(changes, level=0.05, seed=1) == joint_intervals(
        changes, level=0.05, seed=1
    )
    reaches = [reach_of(changes, level=0.05, seed=seed) for seed in range(8)]
    assert max(reaches) - min(reaches) < 0.15
