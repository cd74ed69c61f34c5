"""kill -9 at any moment costs only time: the tables come out equal to an undisturbed run's."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.command import SMALL_UNITS, command, kill_when, rft, rft_here

pytestmark = pytest.mark.slow

TABLES = ("problems", "set_aside", "rollouts", "graded", "kept", "rejected", "selected")
TABLES += ("passed_over", "verdicts")


def smoke(out: Path) -> list[str]:
    return ["run", "smoke", "--out", str(out), *SMALL_UNITS]


def tables(run: Path) -> dict[str, str]:
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for table in (*TABLES, "evaluations")
        for path in sorted((run / table).rglob("*.parquet"))
    }


def started(run: Path, stage: str, round: int) -> bool:
    log = run / "events.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return any(
        event["event"] == "start" and (event["stage"], event["round"]) == (stage, round)
        for event in events
    )


@pytest.fixture(scope="module")
def undisturbed(finished) -> dict[str, str]:
    return tables(finished)


def test_kill_minus_nine_in_each_stage_leaves_the_tables_of_an_undisturbed_run(
    tmp_path, undisturbed
):
    out = tmp_path / "run"
    work = out / "work"
    kill_when(smoke(out), lambda: started(out, "prepare", 0))
    kill_when(smoke(out), lambda: len(list(work.glob("round-0000-evaluate/worker-0/*.json"))) >= 2)
    kill_when(smoke(out), lambda: len(list(work.glob("round-0001-sample/worker-0/*.json"))) >= 3)
    before = {path.name for path in work.glob("round-0001-sample/worker-0/*.json")}
    code = kill_when(
        smoke(out),
        lambda: len(list(work.glob("round-0001-sample/worker-0/*.json"))) > len(before),
        child=True,
    )
    assert code == 75
    kill_when(smoke(out), lambda: started(out, "grade", 1))
    kill_when(
        smoke(out), lambda: bool(list(work.glob("round-0001-sft/checkpoints/*/rft-complete")))
    )
    kill_when(smoke(out), lambda: len(list(work.glob("round-0001-evaluate/worker-0/*.json"))) >= 1)
    rft(*smoke(out))
    assert tables(out) == undisturbed
    assert "nothing to do" in rft(*smoke(out))
    assert tables(out) == undisturbed


def test_a_term_signal_winds_down_with_75_and_the_next_run_goes_on(tmp_path, undisturbed):
    out = tmp_path / "run"
    driver = subprocess.Popen(command(*smoke(out)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pause = threading.Event()
    while not list((out / "work").glob("round-0001-sample/worker-0/*.json")):
        pause.wait(0.01)
    driver.send_signal(signal.SIGTERM)
    errors = driver.communicate()[1].decode()
    assert driver.returncode == 75, errors
    assert "Run the same command again" in errors
    assert not (out / "lock").exists()
    rft(*smoke(out))
    assert tables(out) == undisturbed


# Dies at the n-th operation that changes a name on disk: the moments at which a kill could hurt.
DYING = """
import os, pathlib, shutil, signal, sys
left = int(sys.argv.pop(1))
def dying(operation):
    def act(*args, **kwargs):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return operation(*args, **kwargs)
    return act
pathlib.Path.replace = dying(pathlib.Path.replace)
pathlib.Path.rename = dying(pathlib.Path.rename)
shutil.move = dying(shutil.move)
from rft.cli import main
main()
"""


@pytest.mark.parametrize("stage", ["filter", "select"])
def test_a_kill_at_every_rename_of_a_light_stage_is_harmless(
    tmp_path, stage, finished, undisturbed
):
    out = Path(shutil.copytree(finished, tmp_path / "run"))
    manifest = out / "manifest" / "round-0001" / f"{stage}.json"
    for count in range(100):
        manifest.unlink()
        died = subprocess.run(
            [sys.executable, "-c", DYING, str(count), stage, str(out), "--round", "1"],
            capture_output=True,
            check=False,
        )
        if died.returncode == 0:
            break
        assert died.returncode == -signal.SIGKILL, died.stderr.decode()
        rft_here(stage, out, "--round", "1")
        assert tables(out) == undisturbed
    assert count >= 3, "the stage was never killed"
