"""Forecasts: each piece of arithmetic against brute force, and the whole against what it is for."""

from itertools import product

import numpy as np
import pytest

from rft.bundled import bundled
from rft.estimates.forecast import (
    Probes,
    Range,
    at_most,
    average,
    described,
    expected_draws,
    forecast,
    per_problem,
    share,
    span,
    student,
)
from rft.estimates.model_size import shape_of
from rft.recipe import Until
from rft.recipe.loading import load_recipe

TINY = shape_of(bundled("data") / "tiny")
MEASURED = {"dev": 400, "test": 1600}


def probes(**changes) -> Probes:
    given = {
        "tokens": [[40, 50], [60, 50]],
        "tokens_per_second": 100.0,
        "accepted": [[True, False], [False, False]],
        "grading_seconds": 0.001,
        "prompt_tokens": 20.0,
        "matrix_speed": 1e11,
    }
    return Probes(**(given | changes))


@pytest.mark.parametrize(
    "until",
    [
        Until(accepted=1, max=3, wave=1),
        Until(accepted=2, max=6, wave=2),
        Until(accepted=2, max=5, wave=2),
    ],
)
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_expected_draws_equal_the_sum_over_every_course(until, rate):
    mean = 0.0
    for course in product([True, False], repeat=until.max):
        chance = 1.0
        for accepted in course:
            chance *= rate if accepted else 1 - rate
        drawn = 0
        while drawn < until.max and sum(course[:drawn]) < until.accepted:
            drawn = min(drawn + until.wave, until.max)
        mean += chance * drawn
    assert expected_draws(rate, until) == pytest.approx(mean, abs=1e-12)


def test_the_share_is_wilsons():
    # Brown, Cai and DasGupta 2001: 7 of 25 and the edges.
    ahead = share(7, 25)
    assert (ahead.low, ahead.high) == pytest.approx((0.1428, 0.4758), abs=1e-4)
    assert share(0, 8).low == 0.0
    assert share(0, 8).high == pytest.approx(0.3244, abs=1e-4)
    assert share(8, 8).high == 1.0


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(3, 3.182), (7, 2.365), (31, 2.040), (63, 1.998), (10**6, 1.960)]
)
def test_the_quantile_is_students(freedom, quantile):
    assert student(freedom) == pytest.approx(quantile, rel=0.02)


def test_answers_to_one_problem_say_less_than_answers_to_many():
    recipe, given = load_recipe("quickstart"), {"problems": 999, "measured": MEASURED}
    one = forecast(recipe, probes(tokens=[[40, 60] * 8] * 2), model=TINY, **given).tokens
    assert one.low == one.high == one.value  # the two problems agree; nothing else is known
    apart = forecast(recipe, probes(tokens=[[40] * 8, [60] * 8]), model=TINY, **given).tokens
    mixed = forecast(recipe, probes(tokens=[[40]] * 8 + [[60]] * 8), model=TINY, **given).tokens
    assert apart.value == mixed.value
    assert apart.high - apart.low > 2 * (mixed.high - mixed.low)


def test_intervals_of_lengths_cover():
    source = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        problems = source.exponential(40, size=32)
        ahead = average(list(problems), 0, 1000)
        inside += ahead.low <= 40 <= ahead.high
    assert inside / 400 > 0.9


def test_a_fixed_number_has_no_doubt_and_its_yield_the_doubt_of_the_rate():
    drawn, solved = per_problem(None, 8, [[True, False], [False, False]])
    assert drawn == Range(8.0)
    assert solved.value == pytest.approx(2.0)
    assert solved.low == pytest.approx(8 * share(1, 4).low)


def test_hard_problems_take_more_and_promise_less_than_mean_times_mean():
    until = Until(accepted=2, max=32, wave=2)
    accepted = [[True] * 8] * 4 + [[False] * 8] * 4
    drawn, solved = per_problem(until, 4, accepted)
    assert until.wave < drawn.low < drawn.value < drawn.high < until.max
    assert solved.value < drawn.value * 0.5


def test_the_whole_adds_up():
    recipe = load_recipe("quickstart")
    ahead = forecast(recipe, probes(), problems=10_000, measured=MEASURED, model=TINY)
    assert ahead.rollouts == Range(2 * 256 * 8)
    assert ahead.tokens.value == 4096 * 50
    assert ahead.tokens.low < ahead.tokens.value < ahead.tokens.high
    assert ahead.sampling_hours.value == pytest.approx(4096 * 50 / 100 / 3600)
    assert ahead.evaluation_tokens.value == (400 + 1600) * 3 * 50
    assert ahead.training_tokens.value == 512 * 2 * 2 * (50 + 20)
    assert ahead.grading_hours.value == pytest.approx(4096 * 0.001 / 3600)
    hours = (ahead.sampling_hours, ahead.grading_hours, ahead.training_hours)
    assert ahead.hours == sum(each.value for each in (*hours, ahead.evaluation_hours))


def test_several_engines_take_their_share_of_the_time_and_no_more_tokens():
    recipe = load_recipe("quickstart")
    given = {"problems": 10_000, "measured": MEASURED, "model": TINY}
    one, four = (forecast(recipe, probes(), **given, engines=engines) for engines in (1, 4))
    assert four.sampling_hours.value == pytest.approx(one.sampling_hours.value / 4)
    assert four.evaluation_hours.value == pytest.approx(one.evaluation_hours.value / 4)
    assert (four.tokens, four.training_hours) == (one.tokens, one.training_hours)


def test_fewer_problems_than_asked_for_and_a_test_at_the_end_cost_less():
    recipe = load_recipe("quickstart", ["evaluate.test=end", "rounds=3"])
    ahead = forecast(recipe, probes(), problems=10, measured=MEASURED, model=TINY)
    assert ahead.rollouts == Range(3 * 10 * 8)
    assert ahead.evaluation_tokens.value == (400 * 4 + 1600 * 2) * 50


def test_nothing_accepted_trains_on_nothing():
    ahead = forecast(
        load_recipe("quickstart"),
        probes(accepted=[[False]] * 4),
        problems=10,
        measured=MEASURED,
        model=TINY,
    )
    assert ahead.training_tokens.value == 0
    assert ahead.accepted.value == 0
    assert ahead.accepted.high > 0


def test_training_memory_counts_weights_gradients_and_two_moments():
    full = forecast(load_recipe("quickstart"), probes(), problems=10, measured=MEASURED, model=TINY)
    assert full.training_gb == pytest.approx(TINY.weights / 4 * 16 / 1e9)


def test_disk_counts_rollouts_models_and_the_checkpoints_of_a_training():
    recipe = load_recipe("quickstart")  # keeps all models, of two rounds
    ahead = forecast(recipe, probes(), problems=10_000, measured=MEASURED, model=TINY)
    # While the last one is written: three models, and two checkpoints of weights and two moments.
    models = 3 * TINY.weights + 2 * 3 * TINY.weights
    assert ahead.disk_gb == pytest.approx((ahead.tokens.value * 11 * 2 + models) / 1e9)


def test_words_show_intervals_where_there_is_doubt():
    ahead = forecast(
        load_recipe("quickstart"), probes(), problems=10_000, measured=MEASURED, model=TINY
    )
    lines = dict(described(ahead))
    assert lines["sampling"].startswith("204,800 [")
    assert "in 4,096 rollouts" in lines["sampling"]
    assert [span(hours) for hours in (0.001, 0.5, 12)] == ["4 s", "30 min", "12.0 h"]


def test_without_probes_there_is_plain_arithmetic():
    until = "sample.until={accepted: 2, max: 64, wave: 4}"
    assert "32,768 rollouts" in at_most(load_recipe("quickstart", [until]), "not installed")
    assert "524,288 tokens" in at_most(load_recipe("quickstart"), "not installed")
