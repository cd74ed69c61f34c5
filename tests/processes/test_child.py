"""A child is started, heard, stopped and reaped in one way; a signal to us is passed on once."""

import os
import signal
import sys

import pytest

from rft.errors import Interrupted
from rft.processes.child import Child, fate
from rft.processes.stopping import PARENT, Stop

ECHO = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)"
# Tells each TERM, and ends at the end of its input.
PATIENT = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
print("ready", flush=True)
sys.stdin.read()
sys.exit(75)
"""


def child_of(code, **more):
    return Child([sys.executable, "-c", code], env=os.environ, piped=True, **more)


def lines_until_the_end(child):
    lines = []
    while (more := child.lines()) is not None:
        lines += more
    return lines


def next_lines(child):
    while not (lines := child.lines()):
        assert lines is not None, "it ended without a word"
    return lines


def test_a_child_hears_json_lines_and_is_heard_in_whole_lines():
    child = child_of(ECHO)
    assert child.tell({"a": "b"})
    assert child.tell("x" * 100_000)
    child.process.stdin.close()
    assert lines_until_the_end(child) == ['{"A": "B"}', f'"{"X" * 100_000}"']
    assert child.process.wait() == 0
    child.end()


def test_to_tell_a_dead_child_something_says_that_it_is_gone():
    child = child_of("")
    assert child.lines() is None
    child.process.wait()
    assert not child.tell("anything")
    assert child.end() == 0


def test_a_child_is_killed_and_reaped():
    child = child_of("import time; time.sleep(1000)")
    assert child.end() == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(child.process.pid, 0)


def test_a_stop_is_passed_on_once_and_the_child_may_wind_down():
    child, stop = child_of(PATIENT), Stop(grace=60)
    assert next_lines(child) == ["ready"]
    stop.since, stop.reason = 0.0, "SIGTERM"  # as if a signal had come, without its timer
    told = []

    def close_when_asked():
        told.extend(next_lines(child))
        child.process.stdin.close()

    real = child.ask_to_stop
    child.ask_to_stop = lambda: (real(), close_when_asked())
    assert child.outlast(stop) == 75
    child.end()
    assert told == ["asked"]
    with pytest.raises(Interrupted, match="SIGTERM"):
        stop.check()


def test_a_child_has_a_session_of_its_own_and_knows_who_started_it():
    child = child_of(f"import os; print(os.getsid(0) == os.getpid(), os.environ['{PARENT}'])")
    assert lines_until_the_end(child) == [f"True {os.getpid()}"]
    child.end()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3, "ended with 3"),
        (-15, "killed by signal 15"),
        (-9, "killed by signal 9 (out of memory?)"),
    ],
)
def test_how_a_process_ended_is_said(code, words):
    assert fate(code) == words


TALKER = """
import os, sys
os.write(2, b"one\\n")
os.write(2, b"\\xff two\\nthree")
sys.stdin.read()
os.write(2, b" ends\\n\\nlast")
"""


def test_an_overheard_child_is_heard_in_whole_lines_and_waited_for_by_nobody():
    child = child_of(TALKER, overheard=True)
    assert child.process.poll() is None
    lines = []
    while len(lines) < 2:
        lines += child.overheard()
    assert lines == ["one", "\ufffd two"]
    assert child.overheard() == []
    child.process.stdin.close()
    child.process.wait()
    assert child.overheard() == ["three ends", "", "last"]
    assert child.overheard() == []
    child.end()


def test_a_line_without_end_is_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr("rft.processes.child.LONGEST_LINE", 10)
    child = child_of("import os, sys; os.write(2, b'x' * 11); sys.stdin.read()", overheard=True)
    while not (lines := child.overheard()):
        pass
    assert lines == ["x" * 11]
    child.end()


def test_something_is_done_meanwhile_and_once_more_in_the_end():
    child, looks = child_of("import sys; sys.stdin.read()"), []

    def meanwhile():
        looks.append(child.process.returncode)
        child.process.stdin.close()

    assert child.outlast(Stop(), meanwhile=meanwhile) == 0
    assert looks[0] is None
    assert looks[-1] == 0
    child.end()
