"""Forecasts: what a run is made of, added up by hand; what problems take is in test_solving."""

from dataclasses import replace

import pytest

from rft.bundled import bundled
from rft.estimates.forecast import Probes, Speed, at_most, described, forecast, span
from rft.estimates.model_size import Shape, shape_of
from rft.recipe.loading import load_recipe

TINY = shape_of(bundled("data") / "tiny")
SPEED = Speed(100.0, "timed on 24 answers", rough=True)


def probes(**changes) -> Probes:
    given = {
        "tokens": [[40, 50], [60, 50]] * 4,
        "responses": [[30, 45], [60, 35]] * 4,
        "accepted": [[True, False], [False, False]] * 4,
        "evaluated": [],
        "tokens_per_second": 100.0,
        "timed": 24,
        "grading_seconds": 0.001,
        "prompt_tokens": 20.0,
        "matrix_speed": 1e11,
    }
    return Probes(**(given | changes))


def ahead_of(
    *settings: str,
    problems: int = 10_000,
    speed: Speed = SPEED,
    model: Shape = TINY,
    **changes,
):
    """Forecast the quickstart: two rounds of 256 problems x 8, 512 samples for two epochs."""
    recipe = load_recipe("quickstart", settings)
    measured = {"dev": 400, "test": 1600}
    return forecast(
        recipe, probes(**changes), problems=problems, measured=measured, model=model, speed=speed
    )


def test_raw_samples_are_short_of_nothing_and_as_long_as_all_of_them():
    raw = ("select.verdicts=any", "select.noise=0")
    ahead = ahead_of(*raw)
    # 512 samples for two epochs in each of two rounds: prompt, mean response, end.
    assert ahead.training_tokens == pytest.approx(2 * 2 * 512 * (20 + 42.5 + 1))
    # Of 64 problems at most 256 samples where each gives four at most.
    fewer = ahead_of(*raw, problems=64)
    assert fewer.training_tokens == pytest.approx(ahead.training_tokens / 2)


def test_the_whole_adds_up():
    ahead = ahead_of()
    assert ahead.rollouts.value == pytest.approx(2048)
    assert (ahead.rollouts.low, ahead.rollouts.high) == (2048, 2048)
    assert ahead.tokens.value == pytest.approx(2048 * 50, rel=0.02)
    assert ahead.tokens.low < ahead.tokens.value < ahead.tokens.high
    assert ahead.accepted.value == pytest.approx(2048 / 4, rel=0.3)
    assert ahead.sampling_hours == pytest.approx(2 * ahead.tokens.value / 100 / 3600)
    assert ahead.grading_hours == pytest.approx(2 * 2048 * 0.001 / 3600)
    assert ahead.evaluation_tokens == (400 + 1600) * 3 * 50
    assert ahead.evaluation_hours == pytest.approx(2000 * 3 * 50 / 100 / 3600)
    parts = (ahead.sampling_hours, ahead.grading_hours, ahead.training_hours)
    assert ahead.hours == pytest.approx(sum(parts) + ahead.evaluation_hours)


def test_training_rows_are_prompt_trimmed_response_and_end_of_what_is_accepted():
    everything = {"accepted": [[True] * 2] * 8, "responses": [[30, 40]] * 8}
    plain = ["select.per_problem=null", "select.noise=0"]
    assert ahead_of(*plain, **everything).training_tokens == 512 * 2 * 2 * (20 + 35 + 1)
    # Of four probes one is accepted, whose response has 30 tokens; the wrong ones have 140 / 3.
    noisy = ahead_of("select.per_problem=null", "select.noise=0.25", "select.budget=100")
    assert noisy.training_tokens == pytest.approx(2 * 2 * (75 * 51 + 25 * (21 + 140 / 3)))


def test_where_too_few_are_accepted_noise_shrinks_with_them_and_problems_give_their_cap():
    half = {"accepted": [[True] * 2] * 4 + [[False] * 2] * 4}
    few = ahead_of("select.budget=100000", "select.noise=0.5", "select.per_problem=null", **half)
    rows = few.training_tokens / (2 * 2) / (20 + 42.5 + 1)
    assert rows == pytest.approx(2 * few.accepted.value)
    capped = ahead_of("select.budget=100000", "select.noise=0.5", "select.per_problem=1", **half)
    rows = capped.training_tokens / (2 * 2) / (20 + 42.5 + 1)
    assert 0.3 * 512 < rows < 2 * 256


def test_a_run_that_trains_on_all_rounds_trains_on_the_first_ones_again_and_again():
    rounds = [ahead_of("rounds=4", f"sft.data={data}") for data in ("round", "all")]
    assert rounds[1].training_tokens == pytest.approx(rounds[0].training_tokens * 10 / 4)


def test_where_no_probe_is_accepted_training_is_told_from_all_and_says_so():
    ahead = ahead_of(accepted=[[False] * 2] * 8, responses=[[30, 40]] * 8)
    assert 0 < ahead.accepted.value < ahead.accepted.high
    assert ahead.training_tokens > 0
    assert "no probe was accepted" in dict(described(ahead))["training"]
    assert "no probe" not in dict(described(ahead_of()))["training"]


def test_evaluation_that_samples_in_its_own_way_is_told_from_probes_of_its_own():
    assert ahead_of(evaluated=[100, 300]).evaluation_tokens == 2000 * 3 * 200


def test_fewer_problems_than_asked_for_and_a_test_at_the_end_cost_less():
    ahead = ahead_of("evaluate.test=end", "rounds=3", problems=10)
    assert ahead.rollouts.value == pytest.approx(10 * 8)
    assert ahead.evaluation_tokens == (400 * 4 + 1600 * 2) * 50


def test_each_candidate_of_a_blend_is_a_look_at_dev_more():
    search = "sft.blend={search: [0.25, 0.5, 1.0], on: pass@4}"
    assert ahead_of(search).evaluation_tokens == (400 * (3 + 2 * 3) + 1600 * 3) * 50
    assert ahead_of("sft.blend=0.5").evaluation_tokens == ahead_of().evaluation_tokens


def test_training_memory_counts_weights_gradients_moments_and_what_a_batch_makes():
    # On a GPU what goes into each layer is kept, 32 rows of 512 tokens; so too where nobody knows.
    kept = TINY.layers * 32 * 512 * TINY.hidden * 4
    wanted = pytest.approx((TINY.weights / 4 * 16 + kept) / 1e9)
    assert ahead_of(on_gpu=True).training_gb == ahead_of().training_gb == wanted
    model = replace(TINY, layers=4, hidden=100, wide=300, vocabulary=1000)
    settings = ("sft.micro_batch=8", "sft.max_length=512")
    ahead = ahead_of(*settings, model=model, on_gpu=False)
    # All of it, since it is little: 5 x 100 + 4 x 300 numbers a token in each layer, the last
    # layer's tiles four times, each number of four bytes.
    made = 4 * (4 * 4096 * (5 * 100 + 4 * 300) + 4 * 4096 * 1000)
    assert ahead.training_gb == pytest.approx((TINY.weights / 4 * 16 + made) / 1e9)
    # Of 100 layers what went in, and all of one.
    model = replace(model, layers=100)
    ahead = ahead_of(*settings, model=model, on_gpu=False)
    made = 4 * (4096 * (100 * 100 + 5 * 100 + 4 * 300) + 4 * 4096 * 1000)
    assert ahead.training_gb == pytest.approx((TINY.weights / 4 * 16 + made) / 1e9)


def test_disk_counts_rollouts_models_and_the_checkpoints_of_a_training():
    ahead = ahead_of()  # keeps all models, of two rounds
    # While the last one is written: three models, and three checkpoints of weights and two moments.
    models = 3 * TINY.weights + 3 * 3 * TINY.weights
    # Rollouts are there twice while they are put together; those of evaluations stay as well.
    tokens = 2 * ahead.tokens.value * 2 + ahead.evaluation_tokens
    assert ahead.disk_gb == pytest.approx((tokens * 11 + models) / 1e9)


def test_words_give_intervals_of_round_1_only_and_times_as_sure_as_they_are():
    ahead = ahead_of()
    lines = dict(described(ahead))
    tokens = f"{ahead.tokens.value:,.0f} [{ahead.tokens.low:,.0f}, {ahead.tokens.high:,.0f}]"
    assert lines["round 1"] == f"{tokens} tokens in 2,048 rollouts"
    assert lines["accepted"].startswith(f"{ahead.accepted.value:,.0f} [")
    assert "in 4,096 rollouts" in lines["sampling"]
    assert "if all 2 rounds are like round 1; up to" in lines["sampling"]
    assert "[" not in lines["sampling"] + lines["training"] + lines["evaluation"]
    assert "100 tokens/s, timed on 24 answers; more answers at once" in lines["speed"]
    sure = dict(described(replace(ahead, speed=Speed(400.0, "as in evaluate", rough=False))))
    assert sure["in all"].startswith("about")
    assert sure["speed"] == "400 tokens/s, as in evaluate"
    assert dict(described(ahead_of("rounds=1")))["sampling"].startswith("up to")
    assert [span(hours) for hours in (0.001, 0.5, 12)] == ["4 s", "30 min", "12.0 h"]


def test_without_probes_there_is_plain_arithmetic():
    until = "sample.until={accepted: 2, max: 64, wave: 4}"
    assert "32,768 rollouts" in at_most(load_recipe("quickstart", [until]), "not installed")
    assert "524,288 tokens" in at_most(load_recipe("quickstart"), "not installed")
