"""Pins where the base overtakes, on problems built so that the crossing is known."""

import numpy as np
import pytest

from rft.measuring.crossover import crossover, first_ahead
from rft.measuring.pass_at_k import passes
from tests.answer_frames import solved_of

N = 64


def curves(before, after) -> list[float]:
    return [float((passes(before, k) - passes(after, k)).mean()) for k in range(1, N + 1)]


def test_the_base_overtakes_where_its_curve_crosses() -> None:
    # The base solves all problems rarely; the tuned model half of them always.
    before, after = solved_of([(3, N)] * 200), solved_of([(N, N), (0, N)] * 100)
    crossing = crossover(before, after, most=N, seed=0)
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
    crossing = crossover(before, after, most=N, seed=0)
    assert (crossing.k, crossing.low, crossing.high, crossing.share) == (None, None, None, 0.0)


def test_equal_models_and_ones_that_meet_at_the_end_do_not_overtake() -> None:
    same = solved_of([(5, N)] * 10)
    assert crossover(same, same, most=N, seed=0).k is None
    lazy, sure = solved_of([(2, N)] * 10), solved_of([(N, N)] * 10)
    assert crossover(lazy, sure, most=N, seed=0).k is None


def test_a_base_ahead_from_the_start_overtakes_at_one() -> None:
    assert crossover(solved_of([(9, N)] * 10), solved_of([(3, N)] * 10), most=8, seed=0).k == 1


def test_an_undecided_crossing_has_an_open_end_and_says_how_often_there_is_one() -> None:
    source = np.random.default_rng(0)
    rates = source.beta(0.3, 1, 60)
    before, after = (solved_of([(int(c), N) for c in source.binomial(N, rates)]) for _ in range(2))
    crossing = crossover(before, after, most=N, seed=0)
    assert 0 < crossing.share < 1
    assert crossing.high is None
    assert crossing == crossover(before, after, most=N, seed=0)


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
