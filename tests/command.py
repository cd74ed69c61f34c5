"""The command line as people call it: a process of its own."""

import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result

from pipelines.children import ChildFailed
from rft.cli import cli
from rft.processes.stopping import SIGNALS, Stop
from rft.runs.folder import Run

ROOT = Path(__file__).resolve().parents[1]

# Small units and a checkpoint after every step, so that there is something to lose half-way.
SMALL_UNITS = [
    *("--set", "engine.args={batch: 8}"),
    *("--set", "sft.epochs=2"),
    *("--set", "sft.save_every=1"),
]


def command(*arguments: object) -> list[str]:
    """Give the words of a call of `rft`."""
    return [sys.executable, "-m", "rft", *map(str, arguments)]


def rft(*arguments: object, code: int = 0) -> str:
    """Call `rft`, hold it to its exit code, and give what it told."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr


def rft_here(*arguments: object, code: int = 0) -> str:
    """Call `rft` without a process of its own, and give what it told, without its children."""
    done = invoke(*arguments)
    assert done.exit_code == code, done.output
    return done.stderr


def invoke(*arguments: object) -> Result:
    """Call `rft` without a process of its own."""
    ours = {number: signal.getsignal(number) for number in SIGNALS}
    done = CliRunner().invoke(cli, [str(word) for word in arguments])
    for number, handler in ours.items():
        signal.signal(number, handler)
    return done


def stage_here(name: str, run: Run, round: int, stop: Stop) -> None:
    """Do a stage that has a process of its own without one: torch is loaded once, not for each."""
    words = [] if name == "preflight" else ["--round", round]
    done = invoke(name, run.path, *words, "--grace", f"{stop.grace}s")
    sys.stderr.write(done.stderr)  # as a child's is its driver's
    if done.exc_info and not issubclass(done.exc_info[0], SystemExit):
        traceback.print_exception(*done.exc_info)
    if done.exit_code:
        raise ChildFailed(done.exit_code)


def kill_when(words: list[str], ready: Callable[[], bool], *, child: bool = False) -> int:
    """Call `rft`, kill -9 the driver (or its child) once it is ready, and give its code."""
    driver = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    pause = threading.Event()
    while not ready():
        assert driver.poll() is None, driver.stderr.read().decode()
        pause.wait(0.01)
    victims = Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split()
    os.kill(int(victims[0]) if child else driver.pid, signal.SIGKILL)
    driver.communicate()
    for victim in victims:  # the stage dies with its driver
        while Path(f"/proc/{victim}/stat").exists():
            state = Path(f"/proc/{victim}/stat").read_text().rpartition(")")[2].split()[0]
            if state in "ZX":
                break
            pause.wait(0.01)
    return driver.returncode
