"""Programs that nobody trusts, run by bubblewrap: no network, no files of ours, bounded in all.

What is inside is in `inside.py`. A sandbox has the interpreter and its libraries, read-only, and an
empty folder of a few megabytes that goes with it; it sees no other process, and dies with us.
"""

import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rft.errors import RFTError
from rft.foreign_text import short
from rft.grading.programs.inside import READY
from rft.processes.child import Child

SANDBOX = "bwrap"
ABSENT = (
    "grade.verifier: code runs programs in a sandbox of bubblewrap, and there is no `bwrap` on "
    "this machine; install it (Debian, Ubuntu: apt-get install bubblewrap; Fedora: dnf install "
    "bubblewrap), or grade where it is"
)
# What a sandbox sees of us.
FILES = ("inside.py", "limits.py", "dialogue.py")
PLACE = "rft/grading/programs"
# Bytes of the folder that a program may write to.
FOLDER_BYTES = 1 << 24
# A program may take so many times its seconds of computing by the clock: it may be kept waiting.
PATIENCE = 3.0
# Seconds for a sandbox to begin, and how many may fail to: one is bad luck on a full machine.
START_SECONDS, STARTS = 60.0, 3
# How often a wait looks up to see whether it is over.
GLANCE = 0.2
PIECE = 1 << 16
# How a program ends that we end, or that computes for too long, as a shell tells it: XCPU, KILL.
KILLED = 128 + 9
LATE = (128 + 24, KILLED)


@dataclass(frozen=True)
class Limits:
    """What a program may take."""

    seconds: float
    memory: int


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, and what it had printed by then."""

    code: int
    output: bytes = b""
    too_long: bool = False

    @property
    def late(self) -> bool:
        """Say whether it took too long, by its computing or by the clock."""
        return self.code in LATE and not self.too_long


class Over(Exception):
    """Nobody waits for the verdict any more."""


class Sandbox:
    """Runs jobs, each in a sandbox of its own; several threads may."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.over = threading.Event()
        self._bwrap = refuse_absent()

    def run(self, role: str, job: dict[str, Any], given: bytes = b"", *, most: int) -> Ended:
        """Do a job with something on its standard input; at `most` bytes of output it is ended."""
        with self.started(role, job) as child:
            said, due, unsent = bytearray(), self._due(), memoryview(given)
            while time.monotonic() < due:
                readable, writable = self._wait([child.output], [child] if unsent else [])
                if writable:
                    unsent = self._send(child, unsent)
                if not unsent and not child.input.closed:
                    child.input.close()
                if not readable:
                    continue
                piece = os.read(child.output, PIECE)
                said += piece
                if len(said) > most:
                    return Ended(KILLED, too_long=True)
                if not piece:
                    return Ended(self._code(child, due), bytes(said))
            return Ended(KILLED)

    def converse(self, source: str, tests: str, *, most: int) -> tuple[Ended, Ended | None]:
        """Let tests call a program's functions: how the tests ended, and the program, if first."""
        with (
            self.started("serve", {"source": source}) as program,
            self.started("test", {"source": tests}) as asking,
        ):
            due, left = self._due(), most
            # What is to be written, and to whom.
            waiting = {program: bytearray(), asking: bytearray()}
            ends = {program.output: asking, asking.output: program}
            gone: Ended | None = None
            while asking.output in ends:
                if time.monotonic() > due:
                    return Ended(KILLED), gone
                readable, writable = self._wait(list(ends), [c for c in waiting if waiting[c]])
                for child in writable:
                    unsent = self._send(child, memoryview(waiting[child]))
                    waiting[child] = bytearray(unsent)
                for output in readable:
                    piece, to = os.read(output, PIECE), ends[output]
                    left -= len(piece)
                    if left < 0:
                        return Ended(KILLED, too_long=True), gone
                    waiting.get(to, bytearray()).extend(piece)
                    if piece:
                        continue
                    del ends[output]
                    if output == program.output:
                        gone = Ended(self._code(program, due))
                        # Nothing more comes: the tests read to the end of what has come.
                        self._finish(asking, waiting)
            return Ended(self._code(asking, due)), gone

    @contextmanager
    def started(self, role: str, job: dict[str, Any]) -> Iterator[Child]:
        """Start a sandbox, and send it its job."""
        for attempt in range(STARTS):
            child = self._start(role, job)
            try:
                first = os.read(child.output, 1) if self._begins(child) else b""
                if first == READY:
                    os.set_blocking(child.input.fileno(), False)
                    yield child
                    return
            finally:
                child.end()
            if self.over.is_set():
                raise Over
            if attempt == STARTS - 1:
                raise RFTError(
                    "grade.verifier: the sandbox (bwrap) does not start any more, though it did; "
                    "see whether memory and processes are free, and run again"
                )

    def _start(self, role: str, job: dict[str, Any], log: Any = None) -> Child:
        command = self.command(role)
        child = Child(command, env={}, piped=True, silent=log is None, log=log)
        content = json.dumps(job).encode()
        child.send(b"%d\n%s" % (len(content), content))  # or its output tells in a moment
        return child

    def command(self, role: str) -> list[str]:
        """Write the command of a sandbox."""
        python = Path(os.path.realpath(sys.executable))
        here = Path(__file__).parent
        seen = [word for place in _libraries(python) for word in _bound(place)]
        files = [["--ro-bind", str(here / name), f"/box/{PLACE}/{name}"] for name in FILES]
        return [
            self._bwrap,
            *("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
            *("--uid", "65534", "--gid", "65534", "--hostname", "box", "--clearenv"),
            *("--setenv", "PYTHONPATH", "/box", "--setenv", "PYTHONHASHSEED", "0"),
            *("--setenv", "LANG", "C.UTF-8", "--setenv", "PYTHONIOENCODING", "utf-8"),
            *seen,
            *(word for words in files for word in words),
            *("--dev", "/dev", "--remount-ro", "/dev"),
            *("--size", str(FOLDER_BYTES), "--tmpfs", "/tmp", "--chdir", "/tmp"),
            *("--remount-ro", "/"),
            *(str(python), "-s", "-P", "-B", "-m", f"{PLACE.replace('/', '.')}.inside"),
            *(role, f"{self.limits.seconds:g}", str(self.limits.memory)),
        ]

    def try_out(self) -> None:
        """Run a program that is known, or say what bubblewrap says."""
        with tempfile.TemporaryFile() as words:
            child = self._start("run", {"source": "import os; os.write(1, b'42\\n')"}, log=words)
            try:
                with suppress(BrokenPipeError):
                    child.input.close()
                said = b""
                while self._begins(child) and (piece := os.read(child.output, PIECE)):
                    said += piece
            finally:
                child.end()
            if said == READY + b"42\n":
                return
            words.seek(0)
            told = words.read().decode(errors="replace").strip().splitlines()
        raise RFTError(
            "grade.verifier: code runs programs in a sandbox of bubblewrap 0.8 or newer, and here "
            f"{self._bwrap} runs none ({short(told[-1] if told else 'no words', 200)}); let it "
            "make user namespaces (in a container: as root with --privileged, or with seccomp and "
            f"AppArmor unconfined), or raise memory_mb ({self.limits.memory >> 20})"
        )

    def _begins(self, child: Child) -> bool:
        """Wait until a sandbox says something, or ends."""
        due = time.monotonic() + START_SECONDS
        while time.monotonic() < due:
            if self._wait([child.output], [])[0]:
                return True
        return False

    def _wait(self, outputs: list[int], to: Sequence[Child]) -> tuple[list[int], list[Child]]:
        """Wait a moment for words, or for room to write."""
        if self.over.is_set():
            raise Over
        places = {child.input.fileno(): child for child in to}
        poll = select.poll()  # select knows no number above 1024
        for output in outputs:
            poll.register(output, select.POLLIN)
        for place in places:
            poll.register(place, select.POLLOUT)
        ready = [place for place, _ in poll.poll(1000 * GLANCE)]
        return [each for each in ready if each in outputs], [
            places[each] for each in ready if each in places
        ]

    def _send(self, child: Child, unsent: memoryview) -> memoryview:
        """Write as much as there is room for; who has gone or closed its end wants no more."""
        try:
            sent = os.write(child.input.fileno(), unsent[:PIECE])
        except BlockingIOError:
            return unsent
        except BrokenPipeError:
            return unsent[:0]
        return unsent[sent:]

    def _finish(self, child: Child, waiting: dict[Child, bytearray]) -> None:
        """Send what is left for it, and close its input."""
        due = time.monotonic() + self.limits.seconds
        unsent = memoryview(waiting.pop(child))
        while unsent and time.monotonic() < due:
            if self._wait([], [child])[1]:
                unsent = self._send(child, unsent)
        child.input.close()

    def _due(self) -> float:
        return time.monotonic() + PATIENCE * max(self.limits.seconds, 1.0)

    def _code(self, child: Child, due: float) -> int:
        """Wait for the end of who has closed its output; it may go on for nothing."""
        while time.monotonic() < due:
            if self.over.is_set():
                raise Over
            try:
                return child.process.wait(timeout=GLANCE)
            except subprocess.TimeoutExpired:
                continue
        return KILLED


def refuse_absent() -> str:
    """Find bubblewrap, or say what to do; a machine that has no filter for is refused as well."""
    found = shutil.which(SANDBOX)
    if found is None:
        raise RFTError(ABSENT)
    return found


def _libraries(python: Path) -> list[Path]:
    """List what an interpreter needs: itself, its own library, and the system's."""
    base = Path(os.path.realpath(sys.base_prefix))
    system = [Path(name) for name in ("/usr/lib", "/usr/lib64", "/usr/lib32", "/etc/ld.so.cache")]
    system += [Path(name) for name in ("/lib", "/lib64", "/lib32")]
    own = [python] if base in (Path("/usr"), Path("/")) else [base]
    return [place for place in [*system, *own] if place.exists()]


def _bound(place: Path) -> list[str]:
    """Show a place read-only, a link as a link."""
    if place.is_symlink():
        return ["--symlink", str(place.readlink()), str(place)]
    return ["--ro-bind", str(place), str(place)]


def version(python: str = sys.version) -> str:
    """Name the language that programs are read in."""
    match = re.match(r"\d+\.\d+", python)
    return f"Python {match[0] if match else python}"
