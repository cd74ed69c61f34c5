"""kill -9 at any moment costs only time: the tables come out equal to an undisturbed run's."""

import hashlib
import json
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.command import SMALL_UNITS, command, rft

pytestmark = pytest.mark.slow

TABLES = ("problems", "set_aside", "rollouts", "graded", "kept", "rejected", "selected")
TABLES += ("passed_over", "verdicts")


def smoke(out: Path) -> list[str]:
    return ["run", "smoke", "--out", str(out), *SMALL_UNITS]


def tables(run: Path) -> dict[str, str]:
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for table in (*TABLES, "eval_rollouts", "evaluations")
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


def test_a_term_signal_winds_down_with_75_and_the_next_run_goes_on(tmp_path, undisturbed):
    out = tmp_path / "run"
    driver = subprocess.Popen(command(*smoke(out)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pause = threading.Event()
    while not list((out / "work").glob("round-0001-sample/worker-0/*.json")):
        assert driver.poll() is None, "it ended before it was interrupted"
        pause.wait(0.01)
    driver.send_signal(signal.SIGTERM)
    errors = driver.communicate()[1].decode()
    assert driver.returncode == 75, errors
    assert "Run the same command again" in errors
    assert not (out / "lock").exists()
    rft(*smoke(out))
    assert tables(out) == undisturbed
