"""One way to start a child process, to talk with it line by line, to stop it, and to reap it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, BinaryIO

from rft.processes.stopping import PARENT, Stop

# How often a wait looks up to see whether we are asked to stop.
GLANCE = 0.2
# What is read of an overheard child at once, so that one that never stops holds nobody up, and
# bytes of a line without an end that are kept.
MOST_PIECES, LONGEST_LINE = 16, 1 << 16


def nothing() -> None:
    """Do nothing."""


class Child:
    """A process that we started, in a session of its own: Ctrl-C reaches us alone.

    What it says goes where ours does, or into a log, or is overheard.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        piped: bool = False,
        silent: bool = False,
        overheard: bool = False,
        log: BinaryIO | None = None,
    ):
        pipe = subprocess.PIPE if piped else None
        errors = subprocess.DEVNULL if silent else log
        if overheard:
            errors = subprocess.PIPE
            if sys.stdout.isatty():  # else its results go where ours do, untouched
                pipe, errors = subprocess.PIPE, subprocess.STDOUT
        self.process = subprocess.Popen(
            command,
            stdin=pipe if piped else None,
            stdout=pipe or log,
            stderr=errors,
            env={**env, PARENT: str(os.getpid())},
            start_new_session=True,
        )
        self.unread = b""
        self.words = self.process.stderr or self.process.stdout
        """Where an overheard child is heard."""
        if overheard:
            assert self.words is not None
            os.set_blocking(self.words.fileno(), False)

    @property
    def output(self) -> int:
        """Give the file descriptor of what it says, to wait for."""
        assert self.process.stdout is not None, "the child has no pipes"
        return self.process.stdout.fileno()

    @property
    def input(self) -> IO[bytes]:
        """Give what it is told by."""
        assert self.process.stdin is not None, "the child has no pipes"
        return self.process.stdin

    def tell(self, message: Any) -> bool:
        """Send a line of JSON; False when it is gone, of which its output tells in a moment."""
        return self.send(json.dumps(message).encode() + b"\n")

    def send(self, content: bytes) -> bool:
        """Send bytes; False when it is gone."""
        try:
            self.input.write(content)
            self.input.flush()
        except BrokenPipeError:
            return False
        return True

    def lines(self) -> list[str] | None:
        """Read the whole lines that it has said since; None at its end."""
        heard = os.read(self.output, 1 << 16)
        if not heard:
            return None
        *whole, self.unread = (self.unread + heard).split(b"\n")
        return [line.decode() for line in whole if line]

    def overheard(self) -> list[str]:
        """Read the lines that it has said since, waiting for none; at its end the last one too."""
        assert self.words is not None, "the child is not overheard"
        ended = self.process.poll() is not None  # looked at first: later it says no more
        with contextlib.suppress(BlockingIOError):
            for _ in range(MOST_PIECES):
                if not (heard := os.read(self.words.fileno(), 1 << 16)):
                    break
                self.unread += heard
        *whole, self.unread = self.unread.split(b"\n")
        if self.unread and (ended or len(self.unread) > LONGEST_LINE):
            whole, self.unread = [*whole, self.unread], b""
        return [line.decode(errors="replace") for line in whole]

    def ask_to_stop(self) -> None:
        """Ask it to wind down."""
        self.process.send_signal(signal.SIGTERM)

    def outlast(
        self,
        stop: Stop,
        enough: Callable[[], bool] = lambda: False,
        meanwhile: Callable[[], None] = nothing,
    ) -> int:
        """Wait for its end and give its exit code; it is asked once to wind down when we are asked
        to stop, or when there is enough of it. Meanwhile something may be done at each glance.
        """
        asked = False
        while True:
            try:
                code = self.process.wait(timeout=GLANCE)
            except subprocess.TimeoutExpired:
                meanwhile()
                if not asked and (stop.asked() or enough()):
                    self.ask_to_stop()
                    asked = True
            else:
                meanwhile()
                return code

    def end(self) -> int:
        """Kill it if it lives, close its pipes, and give its exit code."""
        self.process.kill()
        code = self.process.wait()
        for output in (self.process.stdout, self.process.stderr):
            if output is not None:
                output.close()
        if self.process.stdin is not None:
            # Closing flushes what the dead process never read.
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        return code


def fate(code: int) -> str:
    """Say how a process ended: by a signal, or by itself."""
    if code >= 0:
        return f"ended with {code}"
    return f"killed by signal {-code}{' (out of memory?)' if code == -signal.SIGKILL else ''}"
