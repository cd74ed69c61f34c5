"""A command that is called on the way can fail, hang or flood, and costs its time at most.

Run: python -m pytest tests/processes/test_hook.py
"""

import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from rft.processes import hook
from rft.processes.hook import Failure, attempt
from rft.processes.stopping import Stop

LINE = '{"event": "round"}\n'


def call(command: str, *, line: str = LINE, seconds: float = 20.0, stop: Stop | None = None):
    return attempt(
        ["sh", "-c", command], line, seconds=seconds, stop=stop or Stop(), env=os.environ
    )


def took(command: str, **more) -> float:
    began = time.monotonic()
    call(command, **more)
    return time.monotonic() - began


def test_the_line_is_all_that_comes_in_and_a_zero_is_no_failure(tmp_path):
    assert call(f"cat > {tmp_path / 'heard'}") is None
    assert (tmp_path / "heard").read_text() == LINE


@pytest.mark.parametrize(
    ("command", "failure"),
    [
        ("exit 1", Failure("it ended with 1")),
        (
            "echo no such place >&2; echo never shown; exit 3",
            Failure("it ended with 3", "no such place"),
        ),
        ("kill -TERM $$", Failure("it was killed by signal 15")),
        ("printf 'a\\033[31m\\n' >&2; exit 1", Failure("it ended with 1", "a [31m")),
    ],
)
def test_how_it_ended_is_told_with_the_last_line_of_its_errors(command, failure):
    assert call(command) == failure


def test_a_command_that_is_not_there_is_a_failure_in_the_shells_words():
    failure = call("rft-no-such-command")
    assert failure.why == "it ended with 127"
    assert "rft-no-such-command" in failure.said
    assert "not found" in failure.said


def test_what_cannot_even_be_started_is_a_failure():
    nowhere = ["/nowhere/at/all"]
    failure = attempt(nowhere, LINE, seconds=5, stop=Stop(), env={})
    assert failure.why == "it could not be started"
    assert "/nowhere/at/all" in failure.said
    assert call("true \0").why == "it could not be started"


def test_input_that_is_never_read_is_no_failure():
    assert call("exec 0<&-; true") is None
    assert call("true", line="x" * 1_000_000) is None
    assert call("head -c 1 > /dev/null", line="x" * 1_000_000) is None


def test_a_slow_reader_gets_all_of_a_long_line(tmp_path):
    command = f"sleep 0.2; wc -c > {tmp_path / 'length'}"
    assert call(command, line="x" * 300_000) is None
    assert (tmp_path / "length").read_text().strip() == "300000"


def test_a_daemon_that_keeps_the_pipes_is_not_waited_for(tmp_path):
    pid = tmp_path / "pid"
    assert took(f"sleep 1000 & echo $! > {pid}") < 5
    os.kill(int(pid.read_text()), 9)


def test_floods_are_neither_kept_nor_in_the_way():
    flood = "head -c 1000000000 /dev/zero"
    assert call(flood) is None
    failure = call(
        "head -c 100000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo the end >&2; exit 1"
    )
    assert failure == Failure("it ended with 1", "the end")


@pytest.mark.parametrize(
    "command",
    ["sleep 1000", "kill -STOP $$", "exec 0<&- 1>&- 2>&-; sleep 1000", "trap '' TERM INT; yes >&2"],
)
def test_what_does_not_end_is_killed_with_all_that_it_started(command, tmp_path, monkeypatch):
    pids = tmp_path / "pids"
    real = time.monotonic

    def clock() -> float:
        """Stand still until the pids are written, so that a slow start is not what is killed."""
        return real() if pids.exists() and pids.read_text().endswith("\n") else 0.0

    monkeypatch.setattr(hook, "time", SimpleNamespace(monotonic=clock))
    began = time.monotonic()
    failure = call(f"sleep 1000 & echo $! $$ > {pids}; {command}", seconds=0.4)
    assert failure.why == "it did not end within 0.4 seconds, and was killed"
    assert time.monotonic() - began < 5
    for pid in pids.read_text().split():
        assert gone(int(pid))


def gone(pid: int) -> bool:
    """Say whether a process has ended; who reaps an orphan may be slow to do so."""
    for _ in range(500):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] in "ZX":
            return True
        time.sleep(0.01)
    return False


def asked(grace: float) -> Stop:
    """Make a stop that was asked for just now, without the timer that would end the tests."""
    stop = Stop(grace)
    stop.since = time.monotonic()
    return stop


def test_while_winding_down_the_time_is_what_is_left_of_the_grace_less_a_second():
    began = time.monotonic()
    failure = call("sleep 1000", stop=asked(hook.OURS + 0.3))
    assert time.monotonic() - began < 5
    assert failure == Failure("it did not end before the run had to, and was killed")
    assert call("true", stop=asked(10)) is None
    assert call("true", stop=asked(0.5)) == Failure("there was no time left to run it")


def test_a_stop_that_comes_meanwhile_shortens_the_time():
    stop = Stop(grace=hook.OURS)
    late = subprocess.Popen(["sleep", "0.3"])

    class Asked(Stop):
        def left(self) -> float:
            return 1000.0 if late.poll() is None else stop.grace

    assert took("sleep 1000", stop=Asked()) < 5
    late.wait()
