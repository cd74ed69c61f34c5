"""What a run has spent, counted by hand: of killed and redone work too."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from rft.ending.spending import attempts, spent_by, spent_on_round
from rft.errors import RFTError
from rft.processes.devices import visible_gpus
from rft.runs.folder import Run
from tests.small_run import new_run


def log(run: Run, *events: tuple[str, str, dict[str, object]]) -> None:
    """Write an event log: time of day, kind, and the rest."""
    lines = [
        json.dumps({"time": f"2026-11-28T{time}+00:00", "event": kind} | rest)
        for time, kind, rest in events
    ]
    (run.path / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))


def start(**rest: object) -> dict[str, object]:
    return {"stage": "sample", "round": 1} | rest


def write(path: Path, told: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told))


def manifest(home: Path, round: int, stage: str, **told: object) -> None:
    write(
        home / "manifest" / f"round-{round:04d}" / f"{stage}.json",
        {"stage": stage, "round": round, "key": "k"}
        | {name: {} for name in ("settings", "inputs", "outputs", "counts")}
        | told,
    )


def receipt(home: Path, worker: str, number: int, **told: object) -> None:
    told = {
        "keys": ["r"],
        "digest": None,
        "tokens": 0,
        "seconds": 0.0,
        "closed": {},
        "figures": {},
    } | told
    write(home / "work" / "round-0002-sample" / worker / f"{number:05d}.json", told)


def test_time_is_that_of_all_attempts_however_they_ended(tmp_path):
    run = new_run(tmp_path / "run")
    log(
        run,
        ("10:00:00", "start", start(gpus=2)),
        ("10:00:10", "stopped", {}),
        ("10:05:00", "start", start(gpus=2)),
        ("10:05:20", "failed", {"code": 1}),
        ("10:06:00", "start", start(gpus=2)),
        # Killed; the next attempt saw that something was last written at 10:06:30.
        ("11:00:00", "recipe", {"new": False}),
        ("11:00:01", "start", start(gpus=1, alive="2026-11-28T10:06:30+00:00")),
        ("11:00:05", "removed", {"model": 1}),
        ("11:00:41", "done", start()),
        ("11:00:41", "start", start(stage="grade")),
        ("11:00:42", "done", start(stage="grade")),
    )
    seen = attempts(run)
    assert seen.seconds == 10 + 20 + 30 + 40 + 1
    assert seen.gpu_seconds == 2 * (10 + 20 + 30) + 40


def test_an_attempt_that_was_killed_lasted_until_its_last_file(tmp_path):
    run = new_run(tmp_path / "run")
    log(run, ("10:00:00", "start", start(gpus=1)))
    assert attempts(run).seconds == 0, "killed before anything was written"
    file = run.work("sample", 1) / "worker-0" / "00000.parquet"
    file.parent.mkdir(parents=True)
    file.write_text("")
    at = datetime.fromisoformat("2026-11-28T10:02:00+00:00").timestamp()
    for path in (file, file.parent, file.parent.parent):
        os.utime(path, (at, at))
    assert attempts(run).seconds == 120
    assert attempts(run).gpu_seconds == 120


def test_an_older_file_or_a_clock_that_was_set_back_takes_nothing_off(tmp_path):
    run = new_run(tmp_path / "run")
    log(
        run,
        ("10:00:00", "start", start()),
        ("10:10:00", "start", start(alive="2026-11-28T09:00:00+00:00")),
        ("10:09:00", "done", start()),
    )
    assert attempts(run).seconds == 0


def test_tokens_are_counted_once_wherever_they_lie(tmp_path):
    run = new_run(tmp_path / "run")
    workers = {"worker-0": {"rollouts": 4, "tokens": 100, "seconds": 5.0}}
    # `tokens` has those of the pool as well, which the manifest in stale/ has counted.
    manifest(run.path, 1, "sample", tokens=150, workers=workers)
    stale = run.path / "stale" / "0001"
    manifest(
        stale, 1, "sample", tokens=50, workers={"worker-0": workers["worker-0"] | {"tokens": 50}}
    )
    manifest(run.path, 0, "preflight", tokens=7)
    manifest(run.path, 1, "sft", tokens=1000)  # learnt, not drawn
    receipt(run.path, "worker-0", 0, tokens=20)
    receipt(run.path, "worker-1", 0, tokens=30)
    receipt(stale, "worker-0", 0, tokens=5)
    assert spent_by(run).tokens == 100 + 50 + 7 + 20 + 30 + 5


def test_array_jobs_count_with_their_gpus_and_without_hours(tmp_path):
    run = new_run(tmp_path / "run")
    one = {"rollouts": 1, "tokens": 10, "seconds": 60.0}
    workers = {
        "worker-0": one | {"gpu_seconds": 60.0},
        "array-0-of-2": one | {"gpu_seconds": 240.0},
    }
    manifest(run.path, 1, "sample", tokens=20, workers=workers)
    receipt(run.path, "array-1-of-2", 0, tokens=10, seconds=30.0, gpus=8)
    receipt(run.path, "worker-0", 0, tokens=10, seconds=30.0, gpus=8)
    spent = spent_by(run)
    assert (spent.tokens, spent.seconds, spent.gpu_seconds) == (40, 0, 240 + 30 * 8)


def test_online_training_counts_the_steps_of_its_journal(tmp_path):
    run = new_run(tmp_path / "run")
    journal = run.work("grpo", 1) / "dynamics.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text('{"step": 1, "tokens": 40}\n{"step": 2, "tokens": 2}\n{"step": 3, "tok')
    assert spent_by(run).tokens == 42


def test_a_round_is_told_by_its_manifests(tmp_path):
    run = new_run(tmp_path / "run")
    manifest(run.path, 1, "sample", tokens=100, seconds=30.0, gpus=2)
    manifest(run.path, 1, "sft", tokens=900, seconds=10.0, gpus=2)
    manifest(run.path, 2, "sample", tokens=1, seconds=1.0)
    last = spent_on_round(run, 1)
    assert (last.tokens, last.seconds, last.gpu_seconds) == (100, 40.0, 80.0)


def test_a_damaged_receipt_is_the_affair_of_whoever_needs_it(tmp_path):
    run = new_run(tmp_path / "run")
    receipt(run.path, "worker-0", 0, tokens=20)
    (run.path / "work" / "round-0002-sample" / "worker-0" / "00001.json").write_text("{")
    assert spent_by(run).tokens == 20


@pytest.mark.parametrize(
    ("visible", "count"), [(None, 2), ("0", 1), ("0,1,2,3", 2), ("", 0), ("-1", 0), ("GPU-a", 1)]
)
def test_gpus_that_are_there_and_not_hidden_are_counted(tmp_path, monkeypatch, visible, count):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpus(tmp_path) == count


def test_a_line_of_the_log_that_is_no_event_is_left_out(tmp_path):
    run = new_run(tmp_path / "run")
    log(run, ("10:00:00", "start", start()), ("10:00:10", "done", start()))
    with (run.path / "events.jsonl").open("a") as file:
        file.write('{}\nnull\n[]\n{"event": "start"}\n{"time": "x"}\n{"eve')
    assert attempts(run).seconds == 10


def test_a_receipt_that_is_a_pipe_or_endless_counts_for_nothing(tmp_path):
    run = new_run(tmp_path / "run")
    receipt(run.path, "worker-0", 0, tokens=5)
    odd = run.path / "work" / "round-0002-sample" / "worker-0"
    os.mkfifo(odd / "00001.json")
    (odd / "00002.json").symlink_to("/dev/zero")
    assert spent_by(run).tokens == 5


def test_a_journal_that_is_a_pipe_is_one_line(tmp_path):
    run = new_run(tmp_path / "run")
    (run.path / "work" / "round-0001-grpo").mkdir(parents=True)
    os.mkfifo(run.path / "work" / "round-0001-grpo" / "dynamics.jsonl")
    with pytest.raises(RFTError, match="a pipe where a file of ours belongs"):
        spent_by(run)
