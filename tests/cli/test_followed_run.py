"""A run that people follow: killed once and gone on with, each event and each point is there once.

Run: python -m pytest -m slow tests/cli/test_followed_run.py
"""

import json
import shutil
from pathlib import Path

import pytest

from rft.runs.folder import open_run
from rft.trackers import name_of
from tests.command import kill_when, rft, rft_here
from tests.pipelines.test_tracking import in_trackio
from tests.small_loop import gated, measured
from tests.small_run import prepare


def events(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def test_why_a_stage_fails_is_noted_for_its_driver(tmp_path):
    run = gated(tmp_path / "run")
    prepare(run, answers=measured(0))
    said = rft_here("gate", run.path, "--round", 1, code=2)
    noted = events(run.path)[-1]
    assert (noted["event"], noted["stage"], noted["round"]) == ("error", "gate", 1)
    assert said == f"Error: {noted['text']}\n"


@pytest.mark.slow
def test_a_killed_run_that_goes_on_has_told_everything_once(tmp_path, finished, monkeypatch):
    pytest.importorskip("trackio")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    out, heard = Path(shutil.copytree(finished, tmp_path / "run")), tmp_path / "heard"
    forget(out, "sft", "evaluate")
    words = ["run", str(out), "--set", f"notify=cat >> {heard}", "--set", "track=trackio"]
    begun = out / "work" / "round-0001-sft" / "checkpoints"
    kill_when(words, lambda: bool(list(begun.glob("*/rft-complete"))))
    name = name_of(out)
    assert [point["step"] for point in in_trackio()["logs"][name]] == [0]
    assert not heard.exists()
    said = rft(*words)
    assert "track: rounds" not in said, "that was said before the kill"
    lines = [json.loads(line) for line in heard.read_text().splitlines()]
    assert [(line["event"], line["round"]) for line in lines] == [("round", 1), ("ended", 1)]
    kinds = [event["event"] for event in events(out)]
    assert (kinds.count("round"), kinds.count("ended")) == (2, 1)
    logs = in_trackio()["logs"]
    assert [point["step"] for point in logs[name]] == [0, 1]
    assert logs[name][1]["test/pass@4"] == lines[0]["scores"]["test"]["pass@4"]["value"]
    (training,) = logs.keys() - {name}
    assert training.startswith(f"{name}-sft-1-")
    losses = open_run(out).manifest("sft", 1)["losses"]
    seen = [point for point in logs[training] if "train/loss" in point]
    # A kill takes along what trackio had not written yet, half a second at most.
    assert len(seen) > 1
    assert all(point["train/loss"] == losses[point["train/global_step"] - 1] for point in seen)
    assert seen[-1]["train/global_step"] == len(losses)


def forget(run: Path, *stages: str) -> None:
    """Take back the last stages of round 1, and that they were told."""
    for stage in stages:
        (run / "manifest" / "round-0001" / f"{stage}.json").unlink()
    kept = [
        event
        for event in events(run)
        if event["event"] != "ended" and not (event["event"] == "round" and event["round"] == 1)
        if not (event.get("stage") in stages and event["round"] == 1)
    ]
    (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in kept))
