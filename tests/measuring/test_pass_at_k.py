"""Pins Pass@k and its intervals: unbiased, stable, and covering the truth at the ceiling too.

The oracles are enumeration of subsets, exact fractions, and counting how often an interval covers
a truth that the test knows.
"""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from rft.measuring.pass_at_k import (
    Interval,
    mean_interval,
    paired_interval,
    pass_at_k,
    pass_curves,
    passes,
)
from tests.answer_frames import solved_of

PROBLEMS = 100


def brute_force(n: int, c: int, k: int) -> Fraction:
    """Count the subsets of k samples that hold a correct one, of which the first c are."""
    subsets = list(combinations(range(n), k))
    return Fraction(sum(min(subset) < c for subset in subsets), len(subsets))


def closed_form(n: int, c: int, k: int) -> Fraction:
    return 1 - Fraction(math.comb(n - c, k), math.comb(n, k))


def percentile_bootstrap(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Resample the values alone, as textbooks do."""
    draws = np.random.default_rng(seed).integers(len(values), size=(4000, len(values)))
    low, high = np.percentile(values[draws].mean(1), [2.5, 97.5])
    return float(low), float(high)


def solved(count: int) -> np.ndarray:
    return np.array([1.0] * count + [0.0] * (PROBLEMS - count))


def coverage(interval_of_count, truth: float) -> float:
    """Give the exact chance that an interval covers the truth, if each problem is solved with it.

    The interval depends on the number of solved problems alone, so no luck is involved.
    """
    chance = 0.0
    for count in range(PROBLEMS + 1):
        ways = math.comb(PROBLEMS, count) * truth**count * (1 - truth) ** (PROBLEMS - count)
        if ways > 1e-6:
            low, high = interval_of_count(count)
            chance += ways * (low <= truth <= high)
    return chance


def ours(count: int) -> tuple[float, float]:
    interval = mean_interval(solved(count), seed=count)
    return interval.low, interval.high


def plain(count: int) -> tuple[float, float]:
    return percentile_bootstrap(solved(count))


# Pass@k -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 9))
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(n):
    for k in range(1, n + 1):
        found = pass_at_k([n] * (n + 1), list(range(n + 1)), k)
        wanted = [float(brute_force(n, c, k)) for c in range(n + 1)]
        assert found == pytest.approx(wanted, abs=1e-15)


def test_pass_at_k_keeps_its_digits_with_ten_thousand_samples():
    n = 10_000
    for c in (0, 1, 2, 77, 5000, 9999, n):
        for k in (1, 2, 64, 1024, n):
            (found,) = pass_at_k([n], [c], k)
            assert found == pytest.approx(float(closed_form(n, c, k)), rel=1e-10)


def test_each_problem_has_its_own_number_of_samples():
    found = pass_at_k([2, 4, 8], [1, 1, 1], 2)
    assert found == pytest.approx([1.0, 0.5, 0.25])


def test_nothing_solved_is_exactly_zero_and_all_solved_exactly_one():
    for n, k in [(1, 1), (64, 64), (1000, 7)]:
        assert list(pass_at_k([n, n], [0, n], k)) == [0.0, 1.0]


def test_numpy_counts_of_any_integer_type_will_do():
    # polars counts in unsigned 32 bits, in which 1 - 2 is four billion.
    n, c = np.array([4, 4], np.uint32), np.array([0, 4], np.uint32)
    assert list(pass_at_k(n, c, 2)) == [0.0, 1.0]


def test_no_problems_have_no_values():
    assert pass_at_k([], [], 3).shape == (0,)


@pytest.mark.parametrize(("n", "c", "k"), [(3, 1, 4), (3, 4, 1), (3, -1, 1)])
def test_impossible_counts_are_a_mistake_of_ours(n, c, k):
    with pytest.raises(AssertionError):
        pass_at_k([n], [c], k)


# One model ----------------------------------------------------------------------------------------


def test_at_the_ceiling_the_interval_covers_where_the_plain_bootstrap_does_not():
    # Pass@64 = 0.99 and as many samples: a problem is solved or it is not.
    assert coverage(plain, 0.99) < 0.70
    assert coverage(ours, 0.99) >= 0.93


def test_at_the_floor_too():
    assert coverage(plain, 0.01) < 0.70
    assert coverage(ours, 0.01) >= 0.93


@pytest.mark.parametrize("truth", [0.2, 0.5, 0.9])
def test_in_the_middle_the_coverage_is_what_it_says(truth):
    assert 0.92 <= coverage(ours, truth) <= 0.98


def test_the_middle_costs_little_width():
    (low, high), (low_plain, high_plain) = ours(50), plain(50)
    assert (high - low) / (high_plain - low_plain) < 1.05


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("count", [1, 2, 30, 500])
def test_equal_values_have_an_interval_with_width_that_holds_the_mean(value, count):
    interval = mean_interval(np.full(count, value), seed=3)
    assert interval.value == value
    assert interval.low <= value <= interval.high
    assert 0 < interval.high - interval.low < 1 if count > 2 else interval.high > interval.low
    assert interval.low >= 0
    assert interval.high <= 1


def test_the_value_is_the_mean_without_pseudo_problems():
    assert mean_interval(np.array([1.0, 1.0, 0.25]), seed=0).value == 0.75


def test_a_seed_gives_one_interval_and_the_next_another():
    values = np.random.default_rng(0).random(40)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_resampling_is_fine_enough_that_seeds_hardly_differ():
    values = np.random.default_rng(0).random(100)
    lows = [mean_interval(values, seed=seed).low for seed in range(10)]
    assert max(lows) - min(lows) < 0.004


def test_more_problems_make_the_interval_narrower():
    source = np.random.default_rng(0)
    widths = []
    for count in (25, 100, 400):
        interval = mean_interval(source.random(count), seed=0)
        widths.append(interval.high - interval.low)
    assert widths[0] > 1.5 * widths[1] > 2.25 * widths[2]


def test_no_problems_are_a_mistake_of_ours():
    with pytest.raises(AssertionError):
        mean_interval(np.array([]), seed=0)
    with pytest.raises(AssertionError):
        paired_interval(np.array([]), np.array([]), seed=0)


def test_the_curve_of_a_problem_is_its_pass_at_each_k():
    frame = solved_of([(0, 6), (1, 6), (4, 8), (6, 6), (7, 9)])
    curves = pass_curves(frame, 6)
    for k in range(1, 7):
        assert curves[:, k - 1] == pytest.approx(passes(frame, k), abs=1e-15)
    with pytest.raises(AssertionError, match="needs 7 samples"):
        pass_curves(frame, 7)


# Two models ---------------------------------------------------------------------------------------


def measured(source: np.random.Generator, chances: np.ndarray, samples: int) -> np.ndarray:
    """Measure Pass@1 of problems with these chances to be solved."""
    return source.binomial(samples, chances) / samples


def trials(count: int, samples: int, shift, seed: int) -> list[tuple[float, Interval]]:
    """Compare two models many times: (the true change, its interval) of each."""
    source = np.random.default_rng(seed)
    made = []
    for trial in range(count):
        before = source.random(PROBLEMS)
        after = np.clip(shift(source, before), 0, 1)
        interval = paired_interval(
            measured(source, before, samples), measured(source, after, samples), seed=trial
        )
        made.append((float((after - before).mean()), interval))
    return made


def same(_: np.random.Generator, chances: np.ndarray) -> np.ndarray:
    return chances


def moved(source: np.random.Generator, chances: np.ndarray) -> np.ndarray:
    """Move each problem up or down by about 0.1."""
    return chances + source.normal(0, 0.1, len(chances))


def worse(_: np.random.Generator, chances: np.ndarray) -> np.ndarray:
    return chances - 0.1


@pytest.mark.parametrize("shift", [same, moved])
def test_the_interval_of_a_change_covers_the_truth_and_is_not_far_too_wide(shift):
    made = trials(250, 16, shift, seed=5)
    # On average over such problems, nothing changed.
    covered = np.mean([interval.low <= 0 <= interval.high for _, interval in made])
    assert covered >= 0.93
    width = np.mean([interval.high - interval.low for _, interval in made])
    spread = np.std([interval.value for _, interval in made])
    # Twice 1.96 standard deviations is the least that covers 95%; -1 and 1 would make it 1.4 times.
    assert width / (2 * 1.96 * spread) < 1.2


def test_the_interval_of_an_equal_model_is_below_zero_in_at_most_one_of_forty_cases():
    made = trials(400, 4, same, seed=6)
    assert sum(interval.high < 0 for _, interval in made) / len(made) <= 0.025


def test_the_interval_sees_most_real_losses_of_a_tenth():
    made = trials(150, 4, worse, seed=7)
    assert sum(interval.high < 0 for _, interval in made) / len(made) >= 0.8


def test_where_nothing_changed_the_interval_is_as_honest_as_that_of_one_model():
    for values in (np.ones(PROBLEMS), np.zeros(PROBLEMS), np.random.default_rng(0).random(100)):
        change = paired_interval(values, values, seed=0)
        assert change.value == 0
        # 37 in 100 times no problem of 100 changes though 1 in 100 does.
        assert change.low <= -0.01
        assert change.high >= 0.01
        assert change.high - change.low < 0.1


def test_where_problems_change_wholly_or_not_at_all_the_interval_covers():
    # One in a hundred problems is lost altogether: most trials see 0, 1 or 2 of them.
    chance = 0.0
    for lost in range(8):
        after = np.array([0.0] * lost + [1.0] * (PROBLEMS - lost))
        change = paired_interval(np.ones(PROBLEMS), after, seed=lost)
        ways = math.comb(PROBLEMS, lost) * 0.01**lost * 0.99 ** (PROBLEMS - lost)
        chance += ways * (change.low <= -0.01 <= change.high)
    assert chance >= 0.93


def test_a_difference_of_rounding_is_no_difference():
    same = np.random.default_rng(0).random(PROBLEMS)
    exact, off = paired_interval(same, same, seed=0), paired_interval(same, same + 1e-16, seed=0)
    assert off.low == pytest.approx(exact.low, abs=1e-9)
    assert off.high == pytest.approx(exact.high, abs=1e-9)


def test_a_change_and_its_opposite_mirror_each_other():
    source = np.random.default_rng(0)
    before, after = source.random(60), source.random(60)
    there, back = paired_interval(before, after, seed=1), paired_interval(after, before, seed=1)
    assert back.value == pytest.approx(-there.value)
    assert back.low == pytest.approx(-there.high, abs=0.01)


def test_pairing_uses_that_hard_problems_stay_hard():
    before = np.repeat([0.0, 1.0], 50)
    after = np.clip(before + 0.05, 0, 1)
    change = paired_interval(before, after, seed=0)
    assert change.low > 0
    first, second = mean_interval(before, seed=0), mean_interval(after, seed=0)
    assert first.high > second.low, "without pairs the two could not be told apart"


def test_the_change_of_one_problem_proves_nothing():
    for change in (-1.0, 1.0):
        interval = paired_interval(np.array([0.5]), np.array([0.5 + change / 2]), seed=0)
        assert interval.low < 0 < interval.high


def test_problems_of_different_number_are_not_compared():
    with pytest.raises(AssertionError):
        paired_interval(np.ones(3), np.ones(4), seed=0)
    with pytest.raises(AssertionError):
        paired_interval(np.ones(1), np.ones(4), seed=0)
