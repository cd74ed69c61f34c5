"""The rules that end a run: each at its border, told with what to do, gone once it is raised."""

import json

import pytest

from pipelines.readers.report import text_report
from pipelines.readers.status import status, text_status
from pipelines.run import next_round, plan, run_all
from rft.ending import budgets, ending
from rft.processes.stopping import Stop
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run
from tests.small_run import RIGHT, evaluate, new_run, prepare, whole_round

SAMPLES = [("p0", "a1 " + RIGHT, "stop", 0.5), ("p1", "b2 " + RIGHT, "stop", 0.75)]
ANSWERS = {("test", "test", f"t{i}"): [RIGHT] * 4 for i in range(2)}


def one_round(path, *settings: str) -> Run:
    """Make a run of which the first of three rounds is done."""
    run = new_run(path, "select.noise=0", "rounds=3", *settings)
    prepare(run, answers=ANSWERS)
    evaluate(run, 0, ANSWERS)
    whole_round(run, 1, SAMPLES, ANSWERS)
    return run


def with_stop(run: Run, stop: str) -> Run:
    return Run(run.path, load_recipe("smoke", ["select.noise=0", "rounds=3", f"stop={stop}"]))


def tokens_of(run: Run) -> int:
    return sum(
        made.get("tokens") or 0
        for made in run.manifests()
        if made["stage"] in ("sample", "evaluate")
    )


def test_a_budget_ends_the_run_when_it_is_spent_and_not_one_token_before(tmp_path):
    run = one_round(tmp_path / "run")
    spent = tokens_of(run)
    assert spent == len("a1 " + RIGHT) + len("b2 " + RIGHT) + 2 * 8 * len(RIGHT)
    assert ending(with_stop(run, f"{{tokens: {spent}}}"), 2).text == (
        f"stop.tokens: {spent} of {spent} are spent; --set stop.tokens=N raises it"
    )
    # What is left is less than the round before took, so that a new one would not be finished.
    short = ending(with_stop(run, f"{{tokens: {spent + 1}}}"), 2)
    last = spent - 8 * len(RIGHT)
    assert short.text == (
        f"stop.tokens: 1 of {spent + 1} are left, and a round like the last takes {last}; "
        "--set stop.tokens=N raises it"
    )
    assert ending(with_stop(run, f"{{tokens: {spent + last}}}"), 2) is None


def test_a_round_that_is_begun_goes_on_to_the_last_token(tmp_path):
    run = one_round(tmp_path / "run")
    run.work("sample", 2).mkdir(parents=True)
    (run.work("sample", 2) / "key").write_text("k")
    spent = tokens_of(run)
    assert ending(with_stop(run, f"{{tokens: {spent + 1}}}"), 2) is None
    assert ending(with_stop(run, f"{{tokens: {spent}}}"), 2).rule == "tokens"


def test_hours_and_gpu_hours_are_budgets_too(tmp_path):
    run = one_round(tmp_path / "run")
    times = [("10:00:00", "start", {"gpus": 4}), ("11:30:00", "done", {})]
    lines = [
        json.dumps({"time": f"2026-11-28T{at}+00:00", "event": kind} | rest)
        for at, kind, rest in times
    ]
    (run.path / "events.jsonl").write_text("\n".join(lines) + "\n")
    assert ending(with_stop(run, "{hours: 1.5}"), 2).text.startswith(
        "stop.hours: 1.5 of 1.5 are spent"
    )
    assert ending(with_stop(run, "{hours: 1.6}"), 2) is None
    assert ending(with_stop(run, "{gpu_hours: 6}"), 2).rule == "gpu_hours"
    assert ending(with_stop(run, "{gpu_hours: 6.1}"), 2) is None


def test_rounds_end_a_run_however_often_one_more_is_asked_for(tmp_path):
    run = one_round(tmp_path / "run", "stop={rounds: 1}")
    said: list[str] = []
    assert next_round(run, said.append) == 1
    assert said == ["nothing to do: stop.rounds: 1 are done; --set stop.rounds=N raises it"]
    assert not run_all(run, 3, Stop(), said.append), "and nothing is done"


def test_the_end_is_noted_once_and_told_by_status_and_report(tmp_path):
    run = one_round(tmp_path / "run", "stop={rounds: 1, tokens: 5000}")
    said: list[str] = []
    for _ in range(2):
        run_all(run, 3, Stop(), said.append)
    assert said == 2 * ["the run ends here: stop.rounds: 1 are done; --set stop.rounds=N raises it"]
    ends = [event for event in run.events() if event["event"] == "ended"]
    assert [(event["rule"], event["text"]) for event in ends] == [
        ("rounds", "stop.rounds: 1 are done; --set stop.rounds=N raises it")
    ]
    where = status(run)
    assert (where["state"], where["ended_by"], where["exit_hint"]) == (
        "done",
        "stop.rounds: 1 are done; --set stop.rounds=N raises it",
        0,
    )
    assert where["budgets"] == budgets(run) == {"tokens": 5000}
    assert where["spent"]["tokens"] == tokens_of(run)
    assert "1 of 3 rounds done (stop.rounds: 1 are done;" in text_status(where)
    assert f"{tokens_of(run)} of 5,000 tokens" in text_status(where)
    assert f"{tokens_of(run)} of 5,000 tokens" in text_report(run)
    assert "stop.rounds: 1 are done" in text_report(run)


def test_what_is_done_stays_done_when_a_budget_is_lowered_below_it(tmp_path):
    run = one_round(tmp_path / "run", "stop={tokens: 1}", "rounds=1")
    assert not run_all(run, 1, Stop(), lambda _: None)
    assert status(run)["ended_by"] is None, "its rounds are done: no rule ended it"


@pytest.mark.parametrize("stop", ["{rounds: 1}", "{tokens: 1}", "{hours: 0.000001}"])
def test_no_rule_makes_anything_out_of_date(tmp_path, stop):
    run = one_round(tmp_path / "run")
    assert plan(run, 3) == plan(with_stop(run, stop), 3)
