"""Heavy stages in processes of their own: memory comes back, and a crash takes nobody along."""

import os
import sys

from rft.errors import Interrupted
from rft.processes.child import Child, fate
from rft.processes.stopping import Stop
from rft.runs.folder import Run

# Threads that wait by spinning make each other ten times slower when cores are shared; the
# progress bars of other people's libraries say nothing that ours does not.
QUIET = {
    "OMP_WAIT_POLICY": "passive",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # It warns of tied weights in each checkpoint, and of the end token that we set on purpose.
    "TRANSFORMERS_VERBOSITY": "error",
}
WITHOUT_ROUNDS = ("prepare", "preflight")


class ChildFailed(Exception):
    """A stage's process ended badly, having said why."""

    def __init__(self, code: int):
        self.code = code


def in_child(name: str, run: Run, round: int, stop: Stop) -> None:
    """Do a stage, or the preflight, by the command that a person would give."""
    words = [name, str(run.path)]
    words += [] if name in WITHOUT_ROUNDS else ["--round", str(round)]
    child = Child(
        [sys.executable, "-m", "rft", *words, "--grace", f"{stop.grace}s"], env=QUIET | os.environ
    )
    code = child.outlast(stop)
    if stop.asked():
        stop.check()
    if code < 0:
        run.event("lost", stage=name, round=round, signal=-code)
        raise Interrupted(
            f"{run.path}: the process of `{name}`, round {round}, was {fate(code)}; what is "
            "finished is kept"
        )
    if code:
        run.event("failed", stage=name, round=round, code=code)
        raise ChildFailed(code)
