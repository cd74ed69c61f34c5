"""Pins where the base overtakes, on problems built so that the crossing is known."""

import numpy as np
import polars as pl
import pytest

from rft.measuring.crossover import _resampled, crossover, first_ahead
from rft.measuring.pass_at_k import passes
from tests.answer_frames import solved_of

N = 64


def curves(before, after) -> list[float]:
    return [float((passes(before, k) - passes(after, k)).mean()) for k in range(1, N + 1)]


def test_the_base_overtakes_where_its_curve_crosses() -> None:
    # The base solves all problems rarely; the tuned model half of them always.
    before, after = solved_of([(3, N)] * 200), solved_of([(N, N), (0, N)] * 100)
    crossing = crossover([(before, after)], most=N, seed=0)
    ahead = curves(before, after)
    assert crossing.k is not None
    assert ahead[crossing.k - 2] < 0 <= ahead[crossing.k - 1]
    # C(61, k) / C(64, k) of k = 12 and 13: 52 x 51 x 50 and 51 x 50 x 49 of 64 x 63 x 62.
    assert crossing.k == 13
    assert crossing.share > 0.99
    assert crossing.low is not None
    assert crossing.high is not None
    assert 9 <= crossing.low < crossing.k < crossing.high <= 20


def test_a_base_that_never_overtakes_has_none() -> None:
    before, after = solved_of([(1, N)] * 30), solved_of([(9, N)] * 30)
    crossing = crossover([(before, after)], most=N, seed=0)
    assert (crossing.k, crossing.low, crossing.high, crossing.share) == (None, None, None, 0.0)


def test_equal_models_and_ones_that_meet_at_the_end_do_not_overtake() -> None:
    same = solved_of([(5, N)] * 10)
    assert crossover([(same, same)], most=N, seed=0).k is None
    lazy, sure = solved_of([(2, N)] * 10), solved_of([(N, N)] * 10)
    assert crossover([(lazy, sure)], most=N, seed=0).k is None


def test_a_base_ahead_from_the_start_overtakes_at_one() -> None:
    before, after = solved_of([(9, N)] * 10), solved_of([(3, N)] * 10)
    assert crossover([(before, after)], most=8, seed=0).k == 1


def test_an_undecided_crossing_has_an_open_end_and_says_how_often_there_is_one() -> None:
    source = np.random.default_rng(0)
    rates = source.beta(0.3, 1, 60)
    before, after = (solved_of([(int(c), N) for c in source.binomial(N, rates)]) for _ in range(2))
    crossing = crossover([(before, after)], most=N, seed=0)
    assert 0 < crossing.share < 1
    assert crossing.high is None
    assert crossing == crossover([(before, after)], most=N, seed=0)


def test_models_of_several_seeds_are_not_one_that_solves_more() -> None:
    # Each seed's model always solves another third of the problems; together they solve all.
    base = solved_of([(8, N)] * 90)
    own = [
        solved_of([(N if index % 3 == seed else 0, N) for index in range(90)]) for seed in (0, 1, 2)
    ]
    each = {crossover([(base, after)], most=N, seed=0).k for after in own}
    together = crossover([(base, after) for after in own], most=N, seed=0)
    assert each == {together.k}
    assert together.k == 1 + sum(value < 0 for value in curves(base, own[0]))
    assert together.high is not None
    assert crossover([(base, pl.concat(own))], most=N, seed=0).k is None


def test_where_seeds_disagree_the_interval_is_wider_than_that_of_their_problems() -> None:
    base = solved_of([(6, N)] * 300)
    seeds = [solved_of([(N, N)] * many + [(0, N)] * (300 - many)) for many in (60, 150, 240)]
    same = [(base, seeds[1])] * 3
    alike, apart = (
        crossover(pairs, most=N, seed=0) for pairs in (same, [(base, after) for after in seeds])
    )
    assert alike.k == apart.k
    assert apart.low < alike.low <= alike.k <= alike.high < (apart.high or N + 1)


def test_the_weights_of_seeds_have_the_variance_of_their_mean() -> None:
    source = np.random.default_rng(0)
    ahead = np.array([[[1.0]], [[2.0]], [[6.0]]])  # three seeds, a problem, a k
    drawn = np.concatenate([_resampled(ahead, source)[:, 0] for _ in range(200)])
    assert drawn.mean() == pytest.approx(3, abs=0.02)
    assert drawn.var() == pytest.approx(np.var([1, 2, 6], ddof=1) / 3, rel=0.03)


@pytest.mark.parametrize(
    ("ahead", "k"),
    [
        ([-1, -1, 0, 1], 3),
        ([1, -1, 1, 1], 3),
        ([1, 1, 1, -1], 5),
        ([-1, 0, 0, 0], 5),
        ([0, 0, 1e-12, 1], 1),
        ([0, 0, 0, 0], 5),
        ([-1, 1, 0, 0], 2),
    ],
)
def test_the_last_time_behind_decides(ahead, k) -> None:
    assert first_ahead(np.array([ahead], float)).tolist() == [k]
