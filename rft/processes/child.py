"""One way to start a child process, to talk with it line by line, to stop it, and to reap it."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

from rft.processes.stopping import PARENT, Stop

# How often a wait looks up to see whether we are asked to stop.
GLANCE = 0.2


class Child:
    """A process that we started, in a session of its own: Ctrl-C reaches us alone.

    What it says goes where ours does, or into a log.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        piped: bool = False,
        silent: bool = False,
        log: BinaryIO | None = None,
    ):
        pipe = subprocess.PIPE if piped else None
        self.process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=pipe or log,
            stderr=subprocess.DEVNULL if silent else log,
            env={**env, PARENT: str(os.getpid())},
            start_new_session=True,
        )
        self.unread = b""

    @property
    def output(self) -> int:
        """Give the file descriptor of what it says, to wait for."""
        assert self.process.stdout is not None, "the child has no pipes"
        return self.process.stdout.fileno()

    def tell(self, message: Any) -> bool:
        """Send a line of JSON; False when it is gone, of which its output tells in a moment."""
        assert self.process.stdin is not None, "the child has no pipes"
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
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

    def ask_to_stop(self) -> None:
        """Ask it to wind down."""
        self.process.send_signal(signal.SIGTERM)

    def outlast(self, stop: Stop, enough: Callable[[], bool] = lambda: False) -> int:
        """Wait for its end and give its exit code; it is asked once to wind down when we are asked
        to stop, or when there is enough of it.
        """
        asked = False
        while True:
            try:
                return self.process.wait(timeout=GLANCE)
            except subprocess.TimeoutExpired:
                if not asked and (stop.asked() or enough()):
                    self.ask_to_stop()
                    asked = True

    def end(self) -> int:
        """Kill it if it lives, close its pipes, and give its exit code."""
        self.process.kill()
        code = self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
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
