"""Do the runs of a comparison: every arm with every seed, what they have in common once.

Each run is a run folder like any other, done by the command that a person would give, in a process
of its own, under its own lock: several calls may work on one comparison at the same time. The
control's run of a seed comes first, and the others of that seed begin with what it shares.
"""

import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from pipelines.children import QUIET
from pipelines.readers.current import standing
from pipelines.sharing import take_over
from rft.errors import Interrupted, RFTError
from rft.foreign_text import short
from rft.processes.child import GLANCE, Child, fate
from rft.processes.stopping import Stop
from rft.recipe import Recipe
from rft.recipe.loading import dump
from rft.runs.atomic import atomic_text
from rft.runs.folder import Run, is_run, open_run
from rft.runs.lock import without_token

RECIPE = "compare.yaml"


@dataclass(frozen=True)
class ArmRun:
    """One arm's run with one seed."""

    arm: str
    seed: int
    run: Run

    @property
    def name(self) -> str:
        """Name it in a line."""
        return f"{self.arm}, seed {self.seed}"

    def done(self) -> bool:
        """Say whether nothing is left to do of it, by the recipe that is wanted."""
        path = self.run.path
        if not is_run(path) or open_run(path).recipe != self.run.recipe:
            return False
        return standing(self.run).following is None


def arm_runs(folder: Path, whole: Recipe, arms: Mapping[str, Recipe]) -> list[ArmRun]:
    """List a comparison's runs, seed by seed, the control's first."""
    assert whole.compare is not None, "a recipe without arms"
    control = whole.compare.control
    names = [control, *(name for name in arms if name != control)]
    return [
        ArmRun(
            name,
            seed,
            Run(
                folder / "arms" / name / f"seed-{seed}",
                arms[name].model_copy(update={"seed": seed}),
            ),
        )
        for seed in whole.compare.seeds
        for name in names
    ]


def note_recipes(folder: Path, whole: Recipe, runs: Sequence[ArmRun]) -> None:
    """Write down what is compared: the whole, and each arm's recipe."""
    for each in {each.arm: each for each in runs}.values():
        atomic_text(recipe_of(each), dump(each.run.recipe))
    atomic_text(folder / RECIPE, dump(whole))


def recipe_of(each: ArmRun) -> Path:
    """Name the file with an arm's recipe; a run's seed is set beside it."""
    return each.run.path.parent / "arm.yaml"


def run_arms(
    wanted: Sequence[ArmRun],
    *,
    jobs: int,
    stop: Stop,
    say: Callable[[str], None],
    update: bool = False,
) -> bool:
    """Do what is not done yet; say whether anything was.

    A run that fails holds up no other but those that share its seed's beginning with it, and they
    are done by themselves; what failed is told in the end.
    """
    waiting = [each for each in wanted if not each.done()]
    told = Told(say, len(wanted), len(waiting))
    working: dict[Future[tuple[int, str]], ArmRun] = {}
    turn = threading.Lock()
    with ThreadPoolExecutor(jobs) as pool:
        while working or (waiting and not stop.asked()):
            room = 0 if stop.asked() else jobs - len(working)
            for each in ready(waiting, [*working.values()], wanted[0].arm)[:room]:
                waiting.remove(each)
                say(f"{each.name}: begins")
                working[pool.submit(do_one, each, wanted, jobs, stop, update, turn)] = each
            for future in wait(working, timeout=GLANCE, return_when=FIRST_COMPLETED).done:
                told.ended(working.pop(future), *future.result())
    failures, stopped = told.failures, told.stopped
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise RFTError(f"{failures[0]}{more}")
    if stop.asked():
        raise Interrupted(f"stopped by {stop.reason}; what is finished is kept")
    if stopped:
        raise Interrupted(f"not all runs are done: {stopped[0]}")
    return bool(told.wanted)


class Told:
    """What became of the runs, told as it comes."""

    def __init__(self, say: Callable[[str], None], total: int, wanted: int):
        self.say, self.total, self.wanted = say, total, wanted
        self.began, self.done = time.monotonic(), 0
        self.failures: list[str] = []
        self.stopped: list[str] = []

    def ended(self, each: ArmRun, code: int, reason: str) -> None:
        """Tell how a run ended: done, with what a person must change, or to be gone on with."""
        if code == 0:
            self.done += 1
            left = self.wanted - self.done - len(self.failures) - len(self.stopped)
            pace = (time.monotonic() - self.began) / self.done
            ahead = f", about {in_words(pace * left)} left" if left else ""
            number = self.total - self.wanted + self.done
            self.say(f"{each.name}: done ({number} of {self.total}{ahead})")
            return
        (self.failures if code in (1, 2) else self.stopped).append(f"{each.name}: {reason}")
        self.say(f"{each.name}: {reason}")


def ready(waiting: list[ArmRun], working: list[ArmRun], control: str) -> list[ArmRun]:
    """List the runs that may begin: the control's, and those of whose seed the control is done."""
    early = {each.seed for each in (*waiting, *working) if each.arm == control}
    return [each for each in waiting if each.arm == control or each.seed not in early]


def do_one(
    each: ArmRun,
    all_runs: Sequence[ArmRun],
    jobs: int,
    stop: Stop,
    update: bool,
    turn: threading.Lock,
) -> tuple[int, str]:
    """Do one run; give its exit code, and why it ended where it is not done."""
    try:
        # What is held is noted in the environment of the process: one at a time.
        with turn:
            begin(each, all_runs)
        code = finish(each, jobs, stop, update)
    except RFTError as error:
        return 2, str(error)
    except Interrupted as stopped:
        return 75, str(stopped)
    return code, "" if code == 0 else why(each, code)


def begin(each: ArmRun, all_runs: Sequence[ArmRun]) -> None:
    """Begin a run with what its siblings, of the same seed, have done for it."""
    run = each.run
    if run.locked():  # whoever works on it now has begun it
        return
    siblings = [other.run for other in all_runs if other.seed == each.seed and other != each]
    run.path.mkdir(parents=True, exist_ok=True)
    if taken := take_over(run, siblings):
        stages = ", ".join(f"{name} {round}" for round, name in taken)
        with log_of(each).open("a") as log:
            log.write(f"taken over from runs of the same seed: {stages}\n")


def finish(each: ArmRun, jobs: int, stop: Stop, update: bool) -> int:
    """Do a run as a person would, its words into its log; give its exit code."""
    run = each.run
    words = [run.command, str(recipe_of(each)), "--out", str(run.path)]
    words += ["--set", f"seed={each.seed}", "--grace", f"{stop.grace}s"]
    words += ["--update"] if update else []
    # Several at once get in each other's way if each takes all cores.
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))} if jobs > 1 else {}
    with log_of(each).open("ab") as log:
        log.write(f"$ rft {shlex.join(words)}\n".encode())
        log.flush()
        # Not the lock of another run, which may be held while this starts.
        env = QUIET | threads | without_token(os.environ)
        return Child([sys.executable, "-m", "rft", *words], env=env, log=log).outlast(stop)


def log_of(each: ArmRun) -> Path:
    """Name the file with all that a run has said."""
    return each.run.path.with_suffix(".log")


def why(each: ArmRun, code: int) -> str:
    """Give the line that tells why a run ended, and where its others are."""
    path = log_of(each)
    if code < 0:
        return f"{fate(code)} ({path})"
    lines = path.read_bytes()[-20_000:].decode(errors="replace").splitlines()
    telling = [line for line in lines if line.startswith(("Error: ", "Stopped: "))] or lines
    text = short(telling[-1].partition(": ")[2] or telling[-1]) if telling else "it said nothing"
    return f"{text} ({path})"


def in_words(seconds: float) -> str:
    """Write about how long something takes."""
    minutes = seconds / 60
    return f"{minutes / 60:.1f} hours" if minutes >= 90 else f"{max(1, round(minutes))} min"
