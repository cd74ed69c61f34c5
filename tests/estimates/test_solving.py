"""What problems take: sums over the grid against enumeration and formulas, and that it covers."""

import math
from itertools import product
from statistics import NormalDist

import numpy as np
import pytest

from rft.estimates import solving
from rft.estimates.solving import Probed, beta, betas, courses, quantile, rates
from rft.recipe import Until
from tests.bench.forecast import SHAPES, UNTIL, covered


@pytest.mark.parametrize(
    "until",
    [
        Until(accepted=1, max=3, wave=1),
        Until(accepted=2, max=6, wave=2),
        Until(accepted=2, max=5, wave=2),
        Until(accepted=2, max=6, wave=5),
    ],
)
@pytest.mark.parametrize("at", [0, 60, 75, -1])
def test_courses_are_the_sum_over_every_course(until, at):
    rate, wanted = rates()[at], np.zeros(5)
    for course in product([True, False], repeat=until.max):
        chance = math.prod(rate if accepted else 1 - rate for accepted in course)
        drawn = 0
        while drawn < until.max and sum(course[:drawn]) < until.accepted:
            drawn = min(drawn + until.wave, until.max)
        accepted = sum(course[:drawn])
        wanted += chance * np.array([drawn, drawn**2, accepted, accepted**2, min(accepted, 1)])
    course = courses(until, 99, 1)
    parts = (course.drawn, course.drawn_squared, course.accepted, course.accepted_squared)
    assert [each[at] for each in (*parts, course.taken)] == pytest.approx(wanted, abs=1e-12)


def test_answers_of_a_fixed_number_are_binomial():
    course, p = courses(None, 8, 2), rates()
    assert (course.least, course.most) == (8, 8)
    assert course.drawn == pytest.approx(np.full(len(p), 8.0))
    assert course.accepted == pytest.approx(8 * p)
    assert course.accepted_squared == pytest.approx(8 * p * (1 - p) + (8 * p) ** 2)
    # At most two of each: 2 less what none and one lack of it.
    assert course.taken == pytest.approx(2 - 2 * (1 - p) ** 8 - 8 * p * (1 - p) ** 7)


@pytest.mark.parametrize(("a", "b"), [(0.02, 0.3), (0.3, 4), (1, 1), (9, 3), (20, 0.5)])
def test_sums_over_rates_are_the_moments_of_a_beta(a, b):
    p, chances = rates(), beta(a, b)
    # Raising factorials: the chances that m of m, and none of m, are accepted.
    for m in (1, 2, 4):
        rising = math.prod((a + i) / (a + b + i) for i in range(m))
        falling = math.prod((b + i) / (a + b + i) for i in range(m))
        assert chances @ p**m == pytest.approx(rising, abs=1e-5)
        assert chances @ (1 - p) ** m == pytest.approx(falling, abs=1e-5)


def test_betas_are_weighted_by_how_likely_they_make_the_probes():
    solved = [0, 0, 1, 4, 2]
    probed = Probed([[True] * a + [False] * (4 - a) for a in solved], [40.0] * 5)
    mean, correlation = np.meshgrid(
        np.sin(np.pi / 2 * (np.arange(solving.MEANS) + 0.5) / solving.MEANS) ** 2,
        (np.arange(solving.SPREADS) + 0.5) / solving.SPREADS,
        indexing="ij",
    )
    wanted = []
    for mu, rho in zip(mean.ravel(), correlation.ravel(), strict=True):
        a, b = mu * (1 / rho - 1), (1 - mu) * (1 / rho - 1)

        def log_beta(x: float, y: float) -> float:
            return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

        wanted.append(sum(log_beta(a + k, b + 4 - k) - log_beta(a, b) for k in solved))
    assert probed.weights == pytest.approx(
        np.exp(wanted) / np.exp(wanted).sum(), rel=1e-3, abs=1e-7
    )
    assert len(betas()) == len(wanted)


def test_a_quantile_of_a_mixture_is_where_its_share_lies():
    weights, means, deviations = np.array([0.3, 0.7]), np.array([0.0, 5.0]), np.array([1.0, 2.0])
    at = quantile(weights, means, deviations, 0.4)
    share = 0.3 * NormalDist(0, 1).cdf(at) + 0.7 * NormalDist(5, 2).cdf(at)
    assert share == pytest.approx(0.4, abs=1e-5)


def test_a_fixed_number_has_no_doubt():
    spent = Probed([[True, False], [False, False]], [40, 50]).spend(
        courses(None, 8, None), problems=10, longest=100
    )
    assert (spent.rollouts.value, spent.rollouts.low, spent.rollouts.high) == (80, 80, 80)
    # Of two problems nobody can tell how lengths differ.
    assert (spent.tokens.low, spent.tokens.high) == (0, 8000)


def test_hard_problems_take_more_tokens_than_mean_times_mean():
    accepted = [[True] * 4] * 8 + [[False] * 4] * 8
    alike, harder = (
        Probed(accepted, [easy] * 8 + [hard] * 8).spend(
            courses(UNTIL, 8, None), problems=100, longest=500
        )
        for easy, hard in ((60, 60), (40, 80))
    )
    assert alike.rollouts == harder.rollouts
    assert harder.tokens.value > 1.2 * alike.tokens.value


def test_probes_that_were_never_accepted_leave_room_for_some_that_are():
    spent = Probed([[False] * 4] * 16, [50 + i for i in range(16)]).spend(
        courses(UNTIL, 8, None), problems=100, longest=500
    )
    assert 0 <= spent.accepted.low < 30 < spent.accepted.high < 400
    assert 5500 < spent.rollouts.value < 6400


@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_until_solved_cover(shape):
    """Cover 95% within the noise of 200 (BENCHMARKS.md has 1,000).

    As many problems and probes as a preflight has of a long run.
    """
    inside = covered(SHAPES[shape], UNTIL, probed=16, each=4, times=200)
    assert min(inside) >= 0.9


@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_of_a_fixed_number_cover_though_answers_to_a_problem_are_alike(shape):
    inside = covered(SHAPES[shape], None, probed=64, each=1, times=200)
    assert min(inside) >= 0.9
