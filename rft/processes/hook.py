"""A command that a run calls on the way: whatever it does, it costs at most its time."""

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rft.foreign_text import short
from rft.processes.child import GLANCE, fate
from rft.processes.stopping import Stop

# Seconds of the grace that are left to us when we are being stopped.
OURS = 1.0
# The end of what a command said: its last line is told.
LAST_BYTES = 4096
CHUNK = 1 << 16


@dataclass(frozen=True)
class Failure:
    """How a command failed."""

    why: str
    """In our words: its exit code, a signal, or its time."""
    said: str = ""
    """The last line of its standard error; it may hold what is nobody else's business."""

    def __str__(self) -> str:
        return f"{self.why}: {self.said}" if self.said else self.why


def attempt(
    command: Sequence[str], line: str, *, seconds: float, stop: Stop, env: Mapping[str, str]
) -> Failure | None:
    """Run a command with a line on its standard input, and say how it failed, if it did.

    It has a session of its own, which is killed whole when the time is up: that is `seconds`, or
    what a stop leaves of its grace. What it leaves in the background before that is not waited for.
    """
    end = time.monotonic() + seconds

    def left() -> float:
        return min(end - time.monotonic(), stop.left() - OURS)

    if left() <= 0:
        return Failure("there was no time left to run it")
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=env,
        )
    except (OSError, ValueError) as error:  # no such program, or a zero byte in its words
        return Failure("it could not be started", short(str(error)))
    try:
        heard = _talk(process, line.encode(), left)
        code = process.poll()
    finally:
        _end(process)
    said = short(heard.decode(errors="replace").rstrip().rpartition("\n")[2])
    if code is None:
        time_up = "before the run had to" if stop.asked() else f"within {seconds:g} seconds"
        return Failure(f"it did not end {time_up}, and was killed", said)
    return (
        Failure(f"it {fate(code)}" if code > 0 else f"it was {fate(code)}", said) if code else None
    )


def _talk(process: "subprocess.Popen[bytes]", line: bytes, left: Callable[[], float]) -> bytes:
    """Feed a process and hear it until it has ended or the time is up; give the end of its words.

    Neither pipe is waited for: it may never read, never write, or leave a child that holds both.
    """
    assert process.stdin is not None
    assert process.stderr is not None
    source, sink = process.stderr.fileno(), process.stdin.fileno()
    heard = b""
    with selectors.DefaultSelector() as selector:
        for number, event in ((source, selectors.EVENT_READ), (sink, selectors.EVENT_WRITE)):
            os.set_blocking(number, False)
            selector.register(number, event)
        while process.poll() is None and (rest := left()) > 0:
            if not selector.get_map():  # it says nothing more
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=min(rest, GLANCE))
                continue
            for key, _ in selector.select(timeout=min(rest, GLANCE)):
                if key.fd == source:
                    if chunk := _read(source):
                        heard = (heard + chunk)[-LAST_BYTES:]
                    else:
                        selector.unregister(source)
                elif not (line := _write(sink, line)):
                    selector.unregister(sink)
                    process.stdin.close()
    if process.returncode is not None:  # what was said last
        heard = (heard + _read(source))[-LAST_BYTES:]
    return heard


def _read(source: int) -> bytes:
    try:
        return os.read(source, CHUNK)
    except BlockingIOError:
        return b""


def _write(sink: int, line: bytes) -> bytes:
    """Write what goes in, and give the rest; none where nobody reads."""
    try:
        return line[os.write(sink, line) :]
    except BlockingIOError:
        return line
    except BrokenPipeError:
        return b""


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process that lives, with all of its session, and let go of its pipes."""
    assert process.stdin is not None
    assert process.stderr is not None
    if process.poll() is None:
        # It leads its group and is not reaped, so that the number is still its own.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        try:
            process.wait(timeout=GLANCE)
        except subprocess.TimeoutExpired:  # it is reaped when it ends, and not waited for
            threading.Thread(target=process.wait, daemon=True).start()
    process.stdin.close()
    process.stderr.close()
