"""Pins intervals over seeds and problems: the variance against sums of squares written out, how
often they hold and how often equal arms differ against worlds whose truth is known.

The longer simulations are tests/bench/coverage.py.
"""

from itertools import product

import numpy as np
import pytest

from rft.measuring.pass_at_k import mean_interval, paired_interval
from rft.measuring.student import reach, tails
from rft.measuring.two_level import crossed_interval, crossed_intervals, holm, p_values
from tests.bench.coverage import alarms, held
from tests.seed_simulation import World


def wide(values: np.ndarray, level: float = 0.05) -> float:
    interval = crossed_interval(values, seed=0, level=level, change=True)
    return (interval.high - interval.low) / 2


def by_the_book(values: np.ndarray) -> tuple[float, float, float]:
    """Write out the analysis of variance: mean squares of seeds, problems and the rest."""
    seeds, problems = values.shape
    whole = sum(values[cell] for cell in np.ndindex(values.shape)) / values.size
    rows = [sum(row) / problems for row in values]
    columns = [sum(column) / seeds for column in values.T]
    of_seeds = problems * sum((row - whole) ** 2 for row in rows) / (seeds - 1)
    of_problems = seeds * sum((column - whole) ** 2 for column in columns) / (problems - 1)
    of_rest = sum(
        (values[s, p] - rows[s] - columns[p] + whole) ** 2
        for s, p in product(range(seeds), range(problems))
    ) / ((seeds - 1) * (problems - 1))
    return of_seeds, of_problems, of_rest


def test_the_method_of_moments_is_unbiased_for_the_variance_of_the_mean():
    # Every world of two seeds and two problems whose effects are -1 or 1, and noise likewise.
    means, told = [], []
    signs = [-1.0, 1.0]
    for effects in product(signs, repeat=8):
        seeds, problems, rest = effects[:2], effects[2:4], effects[4:]
        values = np.array(
            [[3 * seeds[s] + 2 * problems[p] + rest[2 * s + p] for p in (0, 1)] for s in (0, 1)]
        )
        of_seeds, of_problems, of_rest = by_the_book(values)
        means.append(values.mean())
        told.append((of_seeds + of_problems - of_rest) / 4)
    assert np.mean(told) == pytest.approx(np.var(means))


@pytest.mark.parametrize("shape", [(3, 40), (5, 30), (2, 300)])
def test_the_width_is_what_the_mean_squares_give(shape):
    source, (seeds, problems) = np.random.default_rng(0), shape
    values = source.normal(0.2, 0.1, shape) + source.normal(0, 0.1, problems)
    values = np.clip(values + source.normal(0, 0.005, (seeds, 1)), -1, 1)
    of_seeds, _, of_rest = by_the_book(values)
    # Two pseudo-problems, one gained and one lost as much as the one that changed most.
    most = abs(values.mean(0)).max()
    more = np.column_stack([values, np.full(seeds, -most), np.full(seeds, most)])
    of_problems = by_the_book(more)[1] / (seeds * (problems + 2))
    from_seeds, from_rest = of_seeds / values.size, of_rest / values.size
    variance = max(of_problems + from_seeds - from_rest, of_problems, from_seeds)
    weight = from_seeds / (from_seeds + of_problems)
    for level in (0.05, 0.005):
        far = weight * reach(level, seeds - 1) + (1 - weight) * reach(level, problems + 1)
        assert wide(values, level) == pytest.approx(far * variance**0.5)


def test_neither_margin_alone_gives_more():
    source = np.random.default_rng(1)
    for seeds, problems in ((3, 4), (4, 3), (3, 30)):
        for _ in range(50):
            values = source.normal(0, 0.2, (seeds, problems))
            error = wide(values) / reach(0.05, 1e6)
            assert error >= values.mean(0).std(ddof=1) / problems**0.5 * (problems / (problems + 2))
            assert error >= values.mean(1).std(ddof=1) / seeds**0.5


def test_one_seed_has_the_interval_over_problems():
    values = np.random.default_rng(0).uniform(0, 1, (1, 40))
    assert crossed_interval(values, seed=3) == mean_interval(values[0], seed=3)
    change = crossed_interval(values - 0.4, seed=3, change=True)
    assert change == paired_interval(np.full(40, 0.4), values[0], seed=3)
    wider = crossed_interval(values, seed=3, level=0.01)
    assert wider.low < mean_interval(values[0], seed=3).low


def test_at_the_floor_and_the_ceiling_there_is_a_width_and_no_impossible_value():
    for value in (0.0, 1.0):
        interval = crossed_interval(np.full((3, 40), value), seed=0)
        assert interval.value == value
        assert 0 <= interval.low <= interval.high <= 1
        # Three problems of forty that are never seen to differ: the rule of three.
        assert interval.high - interval.low == pytest.approx(3 / 40, abs=0.005)
    change = crossed_interval(np.zeros((3, 40)), seed=0, change=True)
    assert change.low == -change.high < -0.02
    assert p_values([np.zeros((3, 40))]) == [1]


def test_a_p_value_is_the_level_at_which_the_interval_touches_zero():
    source = np.random.default_rng(2)
    for shape in ((3, 40), (5, 300), (2, 30)):
        values = np.clip(source.normal(0.05, 0.2, shape), -1, 1)
        (p,) = p_values([values])
        assert crossed_interval(values, seed=0, level=0.99 * p, change=True).low < 0
        assert crossed_interval(values, seed=0, level=min(1.01 * p, 0.999), change=True).low > 0
        assert p_values([-values]) == pytest.approx([p])


def test_the_p_value_of_one_seed_is_students_over_problems():
    values = np.random.default_rng(3).normal(0.05, 0.2, (1, 40))
    more = np.concatenate([values[0], [-abs(values).max(), abs(values).max()]])
    t = more.mean() / (more.std(ddof=1) / 42**0.5)
    assert p_values([values]) == pytest.approx([tails(t, 41)], rel=1e-3)


def test_several_arms_tell_together_what_seeds_do_and_hold_all_at_once():
    source = np.random.default_rng(0)
    arms = [
        np.clip(source.normal(0.1, 0.2, (3, 40)) + source.normal(0, sd, (3, 1)), -1, 1)
        for sd in (0.0, 0.05, 0.2, 0.05)
    ]
    level = 1 - 0.95**0.25
    own = [float(arm.mean(1).var(ddof=1)) for arm in arms]
    # Four arms of two degrees of freedom each; squares that correlate with 1/4 are worth less.
    freedom = 8 / (1 + 3 / 4)
    for arm, variance, interval in zip(arms, own, crossed_intervals(arms, seed=0), strict=True):
        most = abs(arm.mean(0)).max()
        more = np.column_stack([arm, np.full(3, -most), np.full(3, most)])
        of_problems = by_the_book(more)[1] / more.size
        of_seeds = max(variance, np.mean(own)) / 3
        of_rest = by_the_book(arm)[2] / arm.size
        total = max(of_problems + of_seeds - of_rest, of_problems, of_seeds)
        weight = of_seeds / (of_seeds + of_problems)
        far = weight * reach(level, freedom) + (1 - weight) * reach(level, 41)
        assert interval.value == pytest.approx(arm.mean())
        assert (interval.high - interval.low) / 2 == pytest.approx(far * total**0.5)


def test_a_single_arm_among_none_is_as_by_itself():
    arm = np.clip(np.random.default_rng(0).normal(0.1, 0.2, (3, 40)), -1, 1)
    (alone,) = crossed_intervals([arm], seed=0)
    wanted = crossed_interval(arm, seed=0, change=True)
    assert (alone.low, alone.high) == pytest.approx((wanted.low, wanted.high))
    assert crossed_intervals([], seed=0) == []
    assert p_values([]) == []


def test_arms_of_one_seed_have_intervals_over_problems_and_one_among_others_has_theirs():
    source = np.random.default_rng(0)
    arms = [np.clip(source.normal(0.1, 0.2, (seeds, 40)), -1, 1) for seeds in (1, 1, 5)]
    level = 1 - 0.95**0.5
    wanted = [crossed_interval(arm, seed=2, level=level, change=True) for arm in arms[:2]]
    assert crossed_intervals(arms[:2], seed=2) == wanted
    # A seed of its own tells nothing of others: the arm with five does.
    alone, *_ = crossed_intervals([arms[0], arms[2] + np.linspace(-0.2, 0.2, 5)[:, None]], seed=2)
    assert alone.high - alone.low > 2 * (wanted[0].high - wanted[0].low)


def test_p_values_of_several_arms_belong_to_their_intervals():
    source = np.random.default_rng(4)
    arms = [np.clip(source.normal(0.03, 0.2, (3, 40)), -1, 1) for _ in range(3)]
    for place, p in enumerate(p_values(arms)):
        for level, outside in ((1.01 * p, True), (0.99 * p, False)):
            # The level of each of three, from which all together have their own.
            together = 1 - (1 - level) ** 3
            interval = crossed_intervals(arms, seed=0, level=together)[place]
            assert (interval.low > 0 or interval.high < 0) == outside


def test_p_values_are_adjusted_step_by_step():
    # 3 x 0.01, 2 x 0.02 and 0.04, none below the one before it.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("values", [np.full((2, 2), 1.2), np.full((2, 2), np.nan), np.ones(3)])
def test_what_is_no_share_is_a_mistake_of_ours(values):
    with pytest.raises(AssertionError):
        crossed_interval(values, seed=0)


@pytest.mark.parametrize(
    ("world", "k"),
    [
        (World(40, 3, by_seed=0.1, by_problem=0.7), 1),
        (World(40, 3, by_seed=0.3), 8),
        (World(300, 3, by_seed=0.3, by_problem=0.7), 1),
        (World(30, 5, by_seed=0.1, by_problem=0.7), 8),
        (World(40, 3, mean=-7), 1),
        (World(40, 3, mean=7), 1),
    ],
)
def test_intervals_hold_over_seeds_and_problems(world, k):
    source, worlds = np.random.default_rng(0), 150
    of_arm, of_change = held(world, k, worlds, source)
    # Two standard errors of a share of so many worlds.
    least = 0.93 - 2 * (0.93 * 0.07 / worlds) ** 0.5
    assert of_arm >= least
    assert of_change >= least


def test_equal_arms_differ_no_more_often_than_the_level():
    source, worlds = np.random.default_rng(1), 60
    world = World(100, 3, by_seed=0.3, by_problem=0.7)
    unstable = World(100, 3, by_seed=0.6, by_problem=0.7)
    any_of_them, of_first, *of_each = alarms(world, [unstable, *[world] * 7], 1, worlds, source)
    allowed = 0.05 + 2 * (0.05 * 0.95 / worlds) ** 0.5
    assert max(any_of_them, of_first, *of_each) <= allowed
