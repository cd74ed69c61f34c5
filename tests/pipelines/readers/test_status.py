"""Status tells where a run stands at any moment, without the lock, and what to do next."""

import json
import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from pipelines.readers.status import shares, status, text_status
from rft.cli import cli
from rft.recipe.loading import load_recipe
from rft.runs import tables
from rft.runs.atomic import atomic_text
from rft.runs.folder import Run, save_recipe
from tests.small_run import (
    RIGHT,
    WRONG,
    evaluate,
    frame,
    new_run,
    prepare,
    sample,
    solved,
    whole_round,
)

MEASURED = {("test", "test", f"t{i}"): solved(2, 4) for i in range(2)}
SAMPLES = [("p0", "a1 " + RIGHT, "stop", 0.5), ("p1", "b2 " + RIGHT, "stop", 0.75)]


def begun(path, *settings: str) -> Run:
    run = new_run(path, "select.noise=0", *settings)
    prepare(run, answers=MEASURED)
    evaluate(run, 0, MEASURED)
    return run


def test_a_run_that_has_not_begun(tmp_path):
    found = status(new_run(tmp_path / "my run"))
    assert (found["state"], found["round"], found["stage"]) == ("stopped", 0, "prepare")
    assert (found["rounds_done"], found["rounds_total"]) == (0, 1)
    assert (found["tokens"], found["seconds"], found["last_event"]) == (0, 0.0, None)
    assert found["exit_hint"] == 75
    assert found["next_command"] == f"rft run '{tmp_path}/my run'"


def test_a_stopped_run_names_the_next_stage(tmp_path):
    run = begun(tmp_path / "run")
    sample(run, 1, SAMPLES)
    found = status(run)
    assert (found["state"], found["round"], found["stage"]) == ("stopped", 1, "grade")
    texts = [text for _, text, _, _ in SAMPLES] + 2 * solved(2, 4)
    assert found["tokens"] == sum(len(text) for text in texts)
    assert found["last_event"]["stage"] == "sample"
    assert "next       grade of round 1" in text_status(found)


def test_a_run_that_was_stopped_says_by_what(tmp_path):
    run = begun(tmp_path / "run")
    run.event("stopped", reason="stopped by SIGTERM; what is finished is kept")
    found = status(run)
    assert found["exit_hint"] == 75
    assert "(stopped by SIGTERM; what is finished is kept)" in text_status(found)


def test_what_is_told_of_a_failure_hides_neither_it_nor_its_code(tmp_path):
    run = begun(tmp_path / "run")
    run.event("failed", stage=None, round=None, code=2)
    assert "last event failed, " in text_status(status(run))
    run.event("notify_failed", about="failed", why="it ended with 7")
    run.event("track_failed", why="it ended with 1")
    assert status(run)["exit_hint"] == 2


def test_online_training_counts_its_steps_while_it_runs(tmp_path):
    run = online(tmp_path / "run")
    work = run.work("grpo", 1)
    work.mkdir(parents=True)
    rows = [{"step": step, "seconds": 2.0} for step in (1, 2, 3)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (work / "dynamics.jsonl").write_text(lines + '{"step": 4, "se')
    with run.lock():
        run.event("start", stage="grpo", round=1)
        found = status(run)
    assert (found["stage_done"], found["stage_total"], found["stage_eta_s"]) == (3, 32, 58.0)
    assert "grpo of round 1, 3 of 32 steps, about 0:00:58 left" in text_status(found)
    assert status(run)["next_command"] == f"rft grpo {run.path}"


def online(path):
    """Begin a run of online training, whose problems and base are done."""
    run = Run(path, load_recipe("grpo-quickstart", ["prepare.dev=null", "gate=null"]))
    path.mkdir()
    save_recipe(run)
    prepare(run, answers={("test", "test", f"t{i}"): solved(1, 4) for i in range(2)})
    return run


def test_a_finished_run_is_done(tmp_path):
    run = begun(tmp_path / "run")
    whole_round(run, 1, SAMPLES, MEASURED)
    found = status(run)
    assert (found["state"], found["round"], found["stage"]) == ("done", None, None)
    assert (found["rounds_done"], found["exit_hint"], found["next_command"]) == (1, 0, None)
    assert found["version"] == 1
    json.dumps(found)


def test_more_rounds_or_other_settings_are_not_done(tmp_path):
    run = begun(tmp_path / "run")
    whole_round(run, 1, SAMPLES, MEASURED)
    more = status(new_run(run.path, "select.noise=0", "rounds=2"))
    assert (more["round"], more["stage"], more["rounds_done"]) == (2, "sample", 1)
    other = status(new_run(run.path, "select.noise=0", "select.budget=1"))
    assert (other["state"], other["round"], other["stage"]) == ("stopped", 1, "select")


def test_a_gate_that_refused_twice_ends_the_run(tmp_path):
    dev = "prepare.dev={source: bundled:arithmetic, split: dev}"
    run = new_run(tmp_path / "run", "select.noise=0", "rounds=4", dev, "gate={on: dev}")
    good = {("dev", "dev", f"d{i}"): [RIGHT] * 4 for i in range(40)}
    bad = {place: [WRONG] * 4 for place in good}
    prepare(run, answers=good)
    evaluate(run, 0, good)
    whole_round(run, 1, SAMPLES, bad)
    assert status(run)["stage"] == "sample"
    whole_round(run, 2, SAMPLES, bad)
    found = status(run)
    assert (found["state"], found["rounds_done"], found["rounds_total"]) == ("done", 2, 4)
    assert "2 of 4 rounds done (the gate refused rounds 1 and 2)" in text_status(found)


def test_a_locked_run_is_running_and_counts_what_is_sampled(tmp_path, monkeypatch):
    run = begun(tmp_path / "run")
    row = {
        "rollout_id": "a",
        "problem_id": "p0",
        "round": 1,
        "sample_index": 0,
        "prompt": "",
        "completion": "",
        "finish_reason": "stop",
        "model": "m",
        "sampling": "s",
    }
    three = tables.conform(frame("rollouts", [row] * 3), "rollouts")
    run.event("start", stage="sample", round=1)
    old = run.work("sample", 1) / "pooled-0.parquet"
    tables.write_file(old, three)
    os.utime(old, (1, 1))
    tables.write_file(run.work("sample", 1) / "worker-0" / "00000.parquet", three)
    since = datetime.fromisoformat(run.events()[-1]["time"])
    clock = SimpleNamespace(
        now=lambda _: since + timedelta(seconds=3), fromisoformat=datetime.fromisoformat
    )
    with run.lock(), monkeypatch.context() as patch:
        patch.setattr("pipelines.readers.status.datetime", clock)
        found = status(run)
    assert (found["state"], found["round"], found["stage"]) == ("running", 1, "sample")
    assert (found["stage_done"], found["stage_total"]) == (6, 8)  # 2 problems x 4
    # Three came in three seconds, two are missing.
    assert found["stage_eta_s"] == 2.0
    assert found["locked_by"].endswith(f"pid {os.getpid()}, since {found['locked_by'][-25:]}")
    assert found["next_command"] is None
    heard = datetime.fromisoformat(found["heartbeat"])
    assert abs((datetime.now(UTC) - heard).total_seconds()) < 60
    text = text_status(found)
    assert "now        sample of round 1, 6 of 8 answers" in text
    assert status(run)["state"] == "stopped"


def test_live_speeds_are_those_of_the_receipts_of_this_plan(tmp_path):
    run = begun(tmp_path / "run")
    work = run.work("sample", 1)
    for name, tokens in (("worker-0", 300), ("worker-1", 500)):
        receipt = {"keys": ["a"], "digest": "d", "tokens": tokens, "seconds": 2.0}
        atomic_text(work / name / "00000.json", json.dumps(receipt | {"closed": {}, "figures": {}}))
    atomic_text(work / "key", "somekey 2 {}")
    assert status(run)["workers"] == {}  # nobody is at it
    with run.lock():
        found = status(run)
    assert found["workers"] == {"worker-0": 150, "worker-1": 250}
    assert "speed      tokens/s of worker-0 150, worker-1 250" in text_status(found)


def test_shares_of_array_jobs_are_seen_before_they_are_put_together(tmp_path):
    run = begun(tmp_path / "run")
    receipt = {"digest": "d", "tokens": 1, "seconds": 1.0, "closed": {}, "figures": {}}
    for share, keys in (("0-of-2", ["a", "b"]), ("1-of-2", ["c"])):
        folder = run.work("sample", 1) / f"array-{share}"
        atomic_text(folder / "00000.json", json.dumps(receipt | {"keys": keys}))
        atomic_text(folder / "key", "some key")
    found = status(run)
    assert found["shares"] == {"round 1 0/2": 2, "round 1 1/2": 1}
    assert "shares     round 1 0/2: 2, round 1 1/2: 1 rollouts" in text_status(found)


def test_the_last_sampling_is_told_with_its_alarm(tmp_path):
    run = begun(tmp_path / "run")
    assert status(run)["sampling"] is None
    long = ("p1", "no end", "length", 0.5)
    whole_round(run, 1, [*SAMPLES, *[long] * 30], MEASURED)
    found = status(run)["sampling"]
    assert found["round"] == 1
    assert found["tokens_per_accepted"] > 0
    cut = [{"group": "all", "cut": 30, "answers": 60}]
    run.write_manifest("grade", 1, run.manifest("grade", 1) | {"cut_at_limit": cut})
    assert "50.0% cut at the limit (!)" in text_status(status(run))


def test_an_event_that_is_being_written_is_left_out(tmp_path):
    run = begun(tmp_path / "run")
    with (run.path / "events.jsonl").open("a") as file:
        file.write('{"time": "2026-')
    assert status(run)["last_event"]["stage"] == "evaluate"


def test_a_unit_that_vanishes_or_is_torn_is_skipped(tmp_path):
    run = begun(tmp_path / "run")
    work = run.work("sample", 1) / "worker-0"
    work.mkdir(parents=True)
    (work / "00000.parquet").write_bytes(b"PAR1")
    (work / "00001.parquet").symlink_to(work / "gone")
    assert status(run)["stage_done"] == 0


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_the_command(tmp_path, more):
    run = begun(tmp_path / "run")
    result = CliRunner().invoke(cli, ["status", str(run.path), *more])
    assert result.exit_code == 0
    if more:
        assert result.stdout.count("\n") == 1
        assert json.loads(result.stdout)["stage"] == "sample"
    else:
        assert "to go on   rft run" in result.stdout


def test_a_folder_that_is_no_run_is_one_line(tmp_path):
    result = CliRunner().invoke(cli, ["status", str(tmp_path)])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_a_share_of_no_round_is_left_alone(tmp_path):
    (tmp_path / "work" / "round-x-sample" / "array-0-of-2").mkdir(parents=True)
    assert shares(Run(tmp_path, load_recipe("smoke"))) == {}
