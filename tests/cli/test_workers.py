"""Several workers and array jobs, for real: processes, kills, and what is left of them."""

import json
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import polars as pl
import pytest

from tests.command import command, rft, rft_here

pytestmark = pytest.mark.slow

TWO = ["--set", "engine.workers=2", "--set", "engine.args={batch: 4}"]
UNTIL = ["--set", "sample.until={accepted: 3, max: 12, wave: 4}"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("workers") / "run"
    rft_here("prepare", "smoke", "--out", out)
    return out


def begun(prepared: Path, folder: Path, *settings: str) -> Path:
    """Begin a run with other execution settings on the same problems."""
    shutil.copytree(prepared, folder)
    rft_here("prepare", "smoke", "--out", folder, *settings)
    return folder


def rollouts(run: Path) -> pl.DataFrame:
    return pl.read_parquet(run / "rollouts" / "round-0001" / "*.parquet")


def manifest(run: Path) -> dict:
    return json.loads((run / "manifest/round-0001/sample.json").read_text())


def children(pid: int) -> dict[int, str]:
    """Map a process's children to their command lines."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            found[int(child)] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ")
        except FileNotFoundError:
            continue
    return {child: line.decode() for child, line in found.items() if b" worker " in line}


def kill_a_worker(run: Path, *, after: int) -> str:
    """Sample with two workers, kill one of them once some shards are there, and give what is said.

    The victim is asleep from the moment of the check on, so that it cannot finish before it dies.
    """
    process = subprocess.Popen(command("sample", run), stderr=subprocess.PIPE, text=True)
    pause = threading.Event()
    work = run / "work" / "round-0001-sample"
    while len(list(work.glob("worker-*/*.json"))) < after or not children(process.pid):
        assert process.poll() is None, process.stderr.read()
        pause.wait(0.01)
    os.kill(next(iter(children(process.pid))), signal.SIGKILL)
    said = process.communicate()[1]
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def whole(prepared, tmp_path_factory) -> dict[int, Path]:
    """Sample with one and with two workers, undisturbed."""
    folder = tmp_path_factory.mktemp("whole")
    found = {1: begun(prepared, folder / "one"), 2: begun(prepared, folder / "two", *TWO)}
    for run in found.values():
        rft("sample", run)
    return found


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(prepared, whole, tmp_path):
    killed = begun(prepared, tmp_path / "killed", *TWO)
    said = kill_a_worker(killed, after=1)
    assert "was killed by signal 9 (out of memory?); its finished rollouts are kept" in said
    assert rollouts(killed).equals(rollouts(whole[2]))
    events = [json.loads(line) for line in (killed / "events.jsonl").read_text().splitlines()]
    assert any(event["event"] == "lost" and "worker" in event for event in events)
    assert not list((killed / "work").glob("round-*"))


def test_the_number_of_workers_changes_no_id_and_no_verdict(whole):
    names = ["rollout_id", "problem_id", "sample_index", "seed", "prompt"]
    assert rollouts(whole[1]).select(names).equals(rollouts(whole[2]).select(names))
    assert sum(each["rollouts"] for each in manifest(whole[2])["workers"].values()) == 64


def test_waves_are_the_same_after_a_kill(prepared, tmp_path):
    small = ["--set", "engine.args={batch: 4}"]
    whole, killed = (begun(prepared, tmp_path / name, *UNTIL, *small) for name in ("a", "b"))
    rft("sample", whole)
    process = subprocess.Popen(command("sample", killed), stderr=subprocess.DEVNULL)
    pause = threading.Event()
    work = killed / "work" / "round-0001-sample"
    while len(list(work.glob("worker-*/*.json"))) < 3:
        assert process.poll() is None
        pause.wait(0.01)
    process.kill()
    process.wait()
    rft("sample", killed)
    assert rollouts(killed).equals(rollouts(whole))
    drawn = rollouts(whole)["problem_id"].value_counts()["count"]
    assert drawn.min() >= 4
    assert drawn.max() <= 12
    assert drawn.n_unique() > 1


def test_waves_over_a_recording_equal_those_that_were_recorded(prepared, tmp_path):
    more = begun(prepared, tmp_path / "recorded", "--set", "sample.n=12")
    rft_here("sample", more)
    replay = ["--set", "engine.kind=replay", "--set", f"engine.path={more}"]
    live = begun(prepared, tmp_path / "live", *UNTIL)
    again = begun(prepared, tmp_path / "again", *UNTIL, *replay)
    for run in (live, again):
        rft_here("sample", run)
    places = ["problem_id", "sample_index"]
    assert rollouts(live).select(places).equals(rollouts(again).select(places))


def test_shares_of_an_array_job_work_without_the_lock(prepared, whole, tmp_path):
    run = begun(prepared, tmp_path / "run")
    assert "puts the shares together" in rft_here("sample", run, "--worker", "0/3")
    rft_here("sample", run, "--worker", "1/3")
    assert not (run / "rollouts").exists()
    # The third share never came.
    told = rft_here("sample", run)
    names = ["rollout_id", "problem_id", "sample_index", "seed"]
    assert rollouts(run).select(names).equals(rollouts(whole[1]).select(names))
    assert "nothing to do" in rft_here("sample", run, "--worker", "2/3")
    assert "64/64" in told


def test_a_share_that_does_not_exist_is_one_line(prepared):
    assert "write I/N" in rft_here("sample", prepared, "--worker", "3/3", code=2)
    assert "write I/N" in rft_here("sample", prepared, "--worker", "three", code=2)


def test_a_stop_reaches_the_workers(prepared, tmp_path):
    run = begun(prepared, tmp_path / "run", *TWO)
    process = subprocess.Popen(command("sample", run), stderr=subprocess.PIPE, text=True)
    pause = threading.Event()
    while not children(process.pid):
        assert process.poll() is None
        pause.wait(0.01)
    workers = children(process.pid)
    process.send_signal(signal.SIGTERM)
    said = process.communicate()[1]
    assert process.returncode == 75, said
    for worker in workers:
        stat = Path(f"/proc/{worker}/stat")
        assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX"
    rft("sample", run)
    assert len(rollouts(run)) == 64
