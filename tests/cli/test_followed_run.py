"""A run that people follow: killed once and gone on with, each event and each point is there once.

Run: python -m pytest -m slow tests/cli/test_followed_run.py
"""

import json
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
def test_a_killed_run_that_goes_on_has_told_everything_once(tmp_path, monkeypatch):
    pytest.importorskip("trackio")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    out, heard = tmp_path / "run", tmp_path / "heard"
    small = ["sample.problems=8", "evaluate.n=2", "evaluate.k=[2]", "track=trackio"]
    small += [f"notify=cat >> {heard}", "sft.save_every=1"]
    words = ["run", "smoke", "--out", str(out)]
    words += [word for setting in small for word in ("--set", setting)]
    kill_when(words, lambda: (out / "work" / "round-0001-sample").exists())
    assert len(heard.read_text().splitlines()) == 1
    said = rft(*words)
    assert "track: rounds" not in said, "that was said before the kill"
    lines = [json.loads(line) for line in heard.read_text().splitlines()]
    assert [(line["event"], line["round"]) for line in lines] == [
        *(("round", 0), ("round", 1)),
        ("ended", 1),
    ]
    kinds = [event["event"] for event in events(out)]
    assert (kinds.count("round"), kinds.count("ended")) == (2, 1)
    name, logs = name_of(out), in_trackio()["logs"]
    assert [point["step"] for point in logs[name]] == [0, 1]
    assert logs[name][1]["test/pass@2"] == lines[1]["scores"]["test"]["pass@2"]["value"]
    (training,) = logs.keys() - {name}
    assert training.startswith(f"{name}-sft-1-")
    losses = [point["train/loss"] for point in logs[training] if "train/loss" in point]
    assert losses == open_run(out).manifest("sft", 1)["losses"]
