"""Means of clustered values against loops over them, and how often their intervals hold.

Run: python -m pytest tests/measuring/test_clustered.py
"""

import math

import numpy as np
import pytest

from rft.measuring.clustered import (
    FEWEST,
    clustered_difference,
    clustered_levels,
    clustered_means,
    clustered_shares,
    gathered,
)
from rft.measuring.student import reach

# Student's t, 97.5%, from any table.
TABLE = {4: 2.7764, 5: 2.5706, 9: 2.2622, 14: 2.1448, 29: 2.0452, 99: 1.9842}


def ragged(seed: int, clusters: int):
    """Draw values of three groups in clusters that are alike inside, of unequal size."""
    source = np.random.default_rng(seed)
    owner = np.repeat(np.arange(clusters), source.integers(1, 9, size=clusters))
    group = source.integers(3, size=len(owner))
    shift = source.normal(size=clusters)
    return shift[owner] + source.normal(size=len(owner)) + group, owner, group


def by_loops(values, owner, group, which):
    """Compute a group's mean and standard error one value at a time."""
    mine = [float(v) for v, g in zip(values, group, strict=True) if g == which]
    mean = sum(mine) / len(mine)
    there = sorted({int(o) for o, g in zip(owner, group, strict=True) if g == which})
    squares = 0.0
    for cluster in there:
        residual = sum(
            float(v) - mean
            for v, o, g in zip(values, owner, group, strict=True)
            if o == cluster and g == which
        )
        squares += residual**2
    c = len(there)
    return mean, math.sqrt(c / (c - 1) * squares) / len(mine), c


def test_means_and_intervals_agree_with_loops():
    values, owner, group = ragged(0, 25)
    told = clustered_means(*gathered(values, owner, group, 3))
    for which, each in enumerate(told):
        mean, error, clusters = by_loops(values, owner, group, which)
        assert each.value == pytest.approx(mean)
        assert each.high - each.value == pytest.approx(reach(0.05, clusters - 1) * error)
        assert each.value - each.low == pytest.approx(each.high - each.value)


def test_the_quantile_agrees_with_the_table():
    for degrees, value in TABLE.items():
        assert reach(0.05, degrees) == pytest.approx(value, abs=1.5e-3)


def test_a_difference_of_groups_in_the_same_clusters_is_narrower_than_their_intervals_suggest():
    source = np.random.default_rng(3)
    shift = 5 * source.normal(size=40)
    sums = np.stack([shift, shift + 1 + 0.01 * source.normal(size=40)], 1)
    counts = np.ones((40, 2))
    each = clustered_difference(sums, counts, 1, 0)
    assert each.value == pytest.approx(1, abs=0.01)
    assert each.high - each.low < 0.02
    same = clustered_difference(sums, counts, 0, 0)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_what_is_not_known_is_nan_and_never_zero():
    sums, counts = gathered(np.ones(FEWEST - 1), np.arange(FEWEST - 1), np.zeros(4, np.int64), 2)
    few, none = clustered_means(sums, counts)
    assert few.value == 1
    assert math.isnan(few.low)
    assert math.isnan(none.value)
    assert math.isnan(clustered_difference(sums, counts, 0, 1).value)
    empty = gathered(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64), 2)
    assert all(math.isnan(each.value) for each in clustered_means(*empty))


@pytest.mark.parametrize("clusters", [12, 60])
def test_intervals_hold_the_true_mean_in_some_95_percent_of_cases(clusters):
    held = ignoring = 0
    for seed in range(400):
        values, owner, group = ragged(seed, clusters)
        values = values - group  # what is left is around 0
        each = clustered_means(*gathered(values, owner, np.zeros_like(owner), 1))[0]
        held += each.low <= 0 <= each.high
        ignoring += abs(values.mean()) <= 1.96 * values.std() / len(values) ** 0.5
    assert 0.92 <= held / 400 <= 0.985
    assert ignoring / 400 < 0.85, "were the clusters ignored, it would not hold"


@pytest.mark.parametrize("chance", [0.0, 0.02, 0.5, 1.0])
def test_intervals_of_shares_hold_at_none_and_at_all_and_stay_between_0_and_1(chance):
    held = 0
    for seed in range(200):
        source = np.random.default_rng(seed)
        owner = np.repeat(np.arange(25), source.integers(1, 9, size=25))
        right = (source.random(len(owner)) < chance).astype(float)
        made = gathered(right, owner, np.zeros_like(owner), 1)
        (each,) = clustered_shares(*made)
        assert each.value == pytest.approx(right.mean())
        assert 0 <= each.low <= each.value <= each.high <= 1
        assert each.high > each.low
        held += each.low <= chance <= each.high
    assert held / 200 >= 0.93


def test_a_level_has_no_end_below_zero_and_else_the_interval_of_a_mean():
    sums, counts = np.array([[9.0, 9.0]] + 7 * [[0.0, 8.0]]), np.ones((8, 2))
    skewed, narrow = clustered_levels(sums, counts)
    (mean, same) = clustered_means(sums, counts)
    assert mean.low < 0
    assert (skewed.value, skewed.low, skewed.high) == (mean.value, 0, mean.high)
    assert narrow == same
    (few,) = clustered_levels(np.ones((FEWEST - 1, 1)), np.ones((FEWEST - 1, 1)))
    assert math.isnan(few.low)


def test_a_share_of_too_few_clusters_has_no_interval():
    (few,) = clustered_shares(np.ones((FEWEST - 1, 1)), np.ones((FEWEST - 1, 1)))
    assert few.value == 1
    assert math.isnan(few.low)
