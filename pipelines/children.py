"""Heavy stages in processes of their own: memory comes back, and a crash takes nobody along."""

import os
import sys
import time
from functools import partial

from rft.ending import Ending, budgets, out_of_budget
from rft.errors import Interrupted
from rft.processes.child import Child, fate, nothing
from rft.processes.progress import LISTENED, is_live
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
# Seconds between two looks at what was spent, for which many files may be read.
LOOK = 1.0


class ChildFailed(Exception):
    """A stage's process ended badly, having said why."""

    def __init__(self, code: int):
        self.code = code


class LimitReached(Exception):
    """A stage that was left where a budget was spent, its state saved."""

    def __init__(self, ending: Ending):
        self.ending = ending


class Watch:
    """Looks now and then, while a stage is at work, whether a budget is spent."""

    def __init__(self, run: Run):
        self.run = run
        self.ending: Ending | None = None
        self.looked = time.monotonic()

    def spent(self) -> bool:
        """Say whether one is."""
        if budgets(self.run) and time.monotonic() - self.looked >= LOOK:
            self.ending = out_of_budget(self.run)
            self.looked = time.monotonic()
        return self.ending is not None


def in_child(name: str, run: Run, round: int, stop: Stop) -> None:
    """Do a stage, or the preflight, by the command that a person would give."""
    words = [name, str(run.path)]
    words += [] if name == "preflight" else ["--round", str(round)]
    from pipelines.live import LiveLine  # it walks the plan, whose stages are done through us

    # Who draws a live line has the terminal alone: words of others would end up within it.
    live = LiveLine(run, name, round, stop) if is_live(sys.stderr) else None
    child = Child(
        [sys.executable, "-m", "rft", *words, "--grace", f"{stop.grace}s"],
        env=QUIET | os.environ | ({LISTENED: "1"} if live else {}),
        overheard=live is not None,
    )
    watch = Watch(run)
    code = child.outlast(stop, watch.spent, partial(live.look, child) if live else nothing)
    if stop.asked():
        stop.check()
    if watch.ending is not None and code:
        run.last_event("stopped", stage=name, round=round, reason=watch.ending.text)
        raise LimitReached(watch.ending)
    if code < 0:
        run.last_event("lost", stage=name, round=round, signal=-code)
        raise Interrupted(
            f"{run.path}: the process of `{name}`, round {round}, was {fate(code)}; what is "
            "finished is kept"
        )
    if code:
        run.last_event("failed", stage=name, round=round, code=code)
        raise ChildFailed(code)
