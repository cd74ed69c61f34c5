"""What is left of a round is told from what was measured, else foreseen, else not at all."""

from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest

from pipelines.readers.ahead import expected, left_of_round, took
from pipelines.readers.status import status
from rft.runs.folder import Run
from tests.small_run import RIGHT, evaluate, new_run, prepare, solved, whole_round

MEASURED = {("test", "test", f"t{i}"): solved(2, 4) for i in range(2)}
SAMPLES = [("p0", "a1 " + RIGHT, "stop", 0.5), ("p1", "b2 " + RIGHT, "stop", 0.75)]
FORECAST = {
    "rounds": 2,
    "sampling_hours": 1.0,
    "grading_hours": 0.5,
    "training_hours": 0.25,
    "speed": {"tokens_per_second": 50.0},
}


def begun(path, *settings: str) -> Run:
    run = new_run(path, "select.noise=0", "rounds=2", *settings)
    prepare(run, answers=MEASURED)
    evaluate(run, 0, MEASURED)
    return run


def note(run: Run, stage: str, round: int, /, **told: object) -> None:
    """Have a manifest say what else it has to."""
    run.write_manifest(stage, round, (run.manifest(stage, round) or {}) | told)


def foresee(run: Run, forecast: object = FORECAST) -> None:
    about = {"key": "k", "settings": {}, "inputs": {}, "outputs": {}, "counts": {}}
    note(run, "preflight", 0, stage="preflight", round=0, **about, forecast=forecast)


def test_the_first_round_is_foreseen_at_the_speed_that_the_base_had(tmp_path):
    run = begun(tmp_path / "run")
    note(run, "evaluate", 0, seconds=30.0, sampling_seconds=20.0, tokens_per_second=100)
    foresee(run)
    # Half an hour at 50 tokens/s, a quarter at 100, and ten seconds before the first token.
    assert expected(run, 1, "sample") == 900 + 10
    assert expected(run, 1, "grade") == 900
    assert expected(run, 1, "filter") == expected(run, 1, "select") == 0
    assert expected(run, 1, "sft") == 450 + 10
    assert expected(run, 2, "evaluate") == 30
    assert left_of_round(run, 2, "grade", 5.0) == 5 + 450 + 10 + 30


@pytest.mark.parametrize("forecast", [None, [], {}, {"rounds": 0}, FORECAST | {"rounds": "many"}])
def test_where_nothing_is_foreseen_nothing_is_told(tmp_path, forecast):
    run = begun(tmp_path / "run")
    foresee(run, forecast)
    assert expected(run, 1, "sample") is None
    assert left_of_round(run, 1, "sample", 5.0) is None
    assert left_of_round(run, 1, "sft", 5.0) is not None  # only `evaluate` comes after it


@pytest.mark.parametrize("speed", [None, "fast", {}, {"tokens_per_second": "many"}])
def test_without_a_speed_it_is_told_as_it_was_foreseen(tmp_path, speed):
    run = begun(tmp_path / "run")
    note(run, "evaluate", 0, seconds=30.0, sampling_seconds=30.0)
    foresee(run, FORECAST | {"speed": speed})
    assert expected(run, 1, "sample") == 1800


def test_later_rounds_are_told_from_the_last_one(tmp_path):
    run = begun(tmp_path / "run")
    whole_round(run, 1, SAMPLES, MEASURED)
    seconds = {"sample": 100.0, "grade": 10.0, "filter": 1.0, "select": 2.0, "sft": 40.0}
    for stage, took_so_many in seconds.items():
        note(run, stage, 1, seconds=took_so_many)
    note(run, "evaluate", 1, seconds=60.0)
    assert left_of_round(run, 2, "sample", 7.5) == 7.5 + 10 + 1 + 2 + 40 + 60
    assert left_of_round(run, 2, "evaluate", 7.5) == 7.5
    assert left_of_round(run, 2, "sample", None) is None
    # What is done again of a round that was done is not all of it.
    assert left_of_round(run, 1, "sample", 7.5) is None
    assert left_of_round(run, 0, "evaluate", 7.5) is None
    assert left_of_round(run, 2, "preflight", 7.5) is None


def test_earlier_attempts_count():
    assert took({"seconds": 10.0, "sampling_seconds": 90.0}) == 90
    assert took({"seconds": 10.0, "step_seconds": 5.0}) == 10
    assert took({}) == 0


def test_more_answers_take_longer(tmp_path):
    dev = "prepare.dev={source: bundled:arithmetic, split: dev}"
    run = new_run(tmp_path / "run", "rounds=2", dev, "evaluate.dev_n=2", "evaluate.n=4")
    places = {("dev", "dev", "d0"): solved(1, 2), ("test", "test", "t0"): solved(1, 4)}
    prepare(run, answers=places)
    evaluate(run, 0, places)
    note(run, "evaluate", 0, seconds=60.0)
    every = run.recipe.evaluate.test == "every_round"
    assert expected(run, 1, "evaluate") == (60 if every else 20)  # of six answers, or two of them
    assert expected(run, 2, "evaluate") == 60


def test_the_status_tells_it_while_the_run_is_at_work(tmp_path, monkeypatch):
    run = begun(tmp_path / "run")
    whole_round(run, 1, SAMPLES, MEASURED)
    seconds = {"grade": 100.0, "filter": 0.0, "select": 0.0, "sft": 40.0, "evaluate": 60.0}
    for stage, took_so_many in seconds.items():
        note(run, stage, 1, seconds=took_so_many)
    run.event("start", stage="grade", round=2)
    since = datetime.fromisoformat(run.events()[-1]["time"])
    clock = SimpleNamespace(
        now=lambda _: since + timedelta(seconds=3), fromisoformat=datetime.fromisoformat
    )
    with run.lock(), monkeypatch.context() as patch:
        patch.setattr("pipelines.readers.status.datetime", clock)
        told = status(run)
    # So far nothing but the clock tells how far it is.
    assert (told["stage_eta_s"], told["round_eta_s"]) == (97.0, 197.0)
    stopped = status(run)
    assert (stopped["stage_eta_s"], stopped["round_eta_s"]) == (None, None)
