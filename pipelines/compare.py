"""Do the runs of a comparison: every arm with every seed, what they have in common once.

Each run is a run folder like any other, done by the command that a person would give, in a process
of its own, under its own lock: several calls may work on one comparison at the same time. The
control's run of a seed comes first, and the others of that seed begin with what it shares.
"""

import contextlib
import fcntl
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.children import QUIET
from pipelines.readers.current import standing, whole
from pipelines.sharing import keep_to_commits, take_over
from rft.errors import Interrupted, RFTError, in_one_line, listed
from rft.foreign_text import short
from rft.parts.in_use import keep_copies
from rft.processes.child import GLANCE, Child, fate
from rft.processes.progress import draw, is_live, live_line
from rft.processes.stopping import Stop
from rft.recipe import Recipe
from rft.recipe.loading import dump, rooted
from rft.runs.atomic import atomic_text
from rft.runs.folder import Run, is_run, open_run
from rft.runs.leftovers import ABANDONED, remove_left_beside
from rft.runs.lock import without_token
from rft.runs.plain_files import open_to_append

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
        with contextlib.suppress(RFTError, OSError):  # damaged: its own command says how
            same = is_run(path) and open_run(path).recipe == self.run.recipe
            # A table that was moved away, being damaged, is to be made again.
            return same and standing(self.run).following is None and whole(self.run)
        return False

    def busy(self) -> bool:
        """Say whether another process works on it."""
        with contextlib.suppress(RFTError, OSError):  # no lock of ours: its own command says so
            return self.run.locked()
        return False


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
    """Write down what is compared: the whole first, by which the folder is known, and each arm."""
    keep_copies(whole.parts, folder)
    for each in runs:
        keep_copies(each.run.recipe.parts, recipe_of(each).parent)
    texts = {folder / RECIPE: dump(whole)}
    texts |= {recipe_of(each): dump(each.run.recipe) for each in runs}
    for path, text in texts.items():
        remove_left_beside(path, idle=ABANDONED)
        if not holds(path, text):  # another machine may be reading it
            atomic_text(path, text)


def holds(path: Path, text: str) -> bool:
    """Say whether a file is there and holds this text."""
    return path.is_file() and path.read_bytes() == text.encode()


@contextlib.contextmanager
def settled(folder: Path, whole: Recipe, runs: Sequence[ArmRun]) -> Iterator[None]:
    """Write down what is compared, and let no other call on this machine change it meanwhile.

    Calls by the same settings share a lock on the folder; who writes any down has it alone.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        if _taken(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
            refuse_other_work(folder, whole, runs)
            note_recipes(folder, whole, runs)
        _taken(lock, fcntl.LOCK_SH)
        if not holds(folder / RECIPE, dump(whole)):
            raise other_work(folder)
        yield
    finally:
        os.close(lock)


def _taken(lock: int, how: int) -> bool:
    """Take a lock unless others are in the way; a file system without has the runs' own alone."""
    try:
        fcntl.flock(lock, how)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def refuse_other_work(folder: Path, whole: Recipe, runs: Sequence[ArmRun]) -> None:
    """Refuse other settings while another process works by those that are written down."""
    path = folder / RECIPE
    if not path.is_file() or holds(path, dump(whole)):
        return
    if busy := [each.name for each in runs if each.busy()]:
        raise other_work(folder, f" ({listed(busy)})")


def other_work(folder: Path, which: str = "") -> RFTError:
    """Say that others work on a comparison in another way."""
    return RFTError(
        f"{folder}: another process works on it by other settings{which}; wait for it or stop it "
        "first, or choose another --out"
    )


def left_alone(folder: Path, arms: Collection[str]) -> list[str]:
    """List the arms of which there are runs, but which the recipe has no more."""
    there = (folder / "arms").glob("*/arm.yaml")
    return sorted(path.parent.name for path in there if path.parent.name not in arms)


def rooted_arms(whole: Recipe, arms: Mapping[str, Recipe]) -> tuple[Recipe, dict[str, Recipe]]:
    """Make the local paths of a comparison absolute, those that its arms have for their own too."""
    assert whole.compare is not None, "a recipe without arms"
    changes = {}
    for name, own in whole.compare.arms.items():
        before, after = (each.model_dump(mode="json") for each in (arms[name], rooted(arms[name])))
        changes[name] = {
            key: value if value_at(before, key) == value_at(after, key) else value_at(after, key)
            for key, value in own.items()
        }
    compare = whole.compare.model_copy(update={"arms": changes})
    whole = rooted(whole).model_copy(update={"compare": compare})
    return whole, {name: rooted(recipe) for name, recipe in arms.items()}


def value_at(settings: Any, dotted: str) -> Any:
    """Give the value at a dotted key; None where a default is not written."""
    for key in dotted.split("."):
        settings = settings.get(key) if isinstance(settings, dict) else None
    return settings


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
    are done by themselves; what failed is told in the end. What another process works on is its.
    """
    waiting = [each for each in wanted if not each.done()]
    told = Told(say, len(wanted), len(waiting))
    working: dict[Future[tuple[int, str]], ArmRun] = {}
    # What is held is noted in the environment of the process: one at a time, and not for children.
    turn, env = threading.Lock(), environment(jobs, os.environ)
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            theirs = [each for each in waiting if each.busy()]
            ours = [each for each in waiting if each not in theirs]
            held = [*working.values(), *theirs]
            may = [] if stop.asked() else ready(ours, held, wanted[0].arm)
            for each in may[: jobs - len(working)]:
                waiting.remove(each)
                if each.done():  # by another process, just now
                    told.wanted -= 1
                    continue
                say(f"{each.name}: begins")
                working[pool.submit(do_one, each, wanted, stop, update, turn, env)] = each
            told.look([] if stop.asked() else [*working.values()])
            if not working and not may:
                break
            for future in wait(working, timeout=GLANCE, return_when=FIRST_COMPLETED).done:
                each, (code, reason) = working.pop(future), future.result()
                # Another process was faster, and may be through with it by now.
                if code == 75 and (each.busy() or each.done()):
                    waiting.append(each)
                else:
                    told.ended(each, code, reason)
    failures, stopped = told.failures, told.stopped
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise RFTError(f"{failures[0]}{more}")
    if stop.asked():
        raise Interrupted(f"stopped by {stop.reason}; what is finished is kept")
    stopped += [f"{each.name}: another process works on it" for each in theirs]
    if stopped:
        more = f" (and {len(stopped) - 1} more)" if len(stopped) > 1 else ""
        raise Interrupted(f"not all runs are done: {stopped[0]}{more}")
    return bool(told.wanted)


def environment(jobs: int, ours: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of a run: several at once must not take all cores each."""
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))} if jobs > 1 else {}
    return QUIET | threads | without_token(ours)


class Told:
    """What became of the runs, told as it comes."""

    def __init__(self, say: Callable[[str], None], total: int, wanted: int):
        self.say, self.total, self.wanted = say, total, wanted
        self.began, self.done = time.monotonic(), 0
        self.until, self.drawn = 0.0, ""
        self.failures: list[str] = []
        self.stopped: list[str] = []

    def ended(self, each: ArmRun, code: int, reason: str) -> None:
        """Tell how a run ended: done, with what a person must change, or to be gone on with."""
        if code == 0:
            self.done += 1
            left = self.wanted - self.done - len(self.failures) - len(self.stopped)
            pace = (time.monotonic() - self.began) / self.done
            self.until = time.monotonic() + pace * left
            ahead = f", about {in_words(pace * left)} left" if left else ""
            number = self.total - self.wanted + self.done
            self.say(f"{each.name}: done ({number} of {self.total}{ahead})")
            return
        # Why is told in the end, once.
        (self.failures if code in (1, 2) else self.stopped).append(f"{each.name}: {reason}")
        self.say(f"{each.name}: {'failed' if code in (1, 2) else 'stopped'} ({log_of(each)})")

    def look(self, working: Sequence[ArmRun]) -> None:
        """Draw on a terminal how many runs are done, and which are worked on."""
        if not is_live(sys.stderr):
            return
        number, left = self.total - self.wanted + self.done, self.until - time.monotonic()
        names = ", ".join(each.name for each in working)
        what = f"{number} of {self.total} runs done; at work: {names}"
        line = live_line(what, number / self.total, left if left > 0 else None) if names else ""
        if line != self.drawn:
            self.drawn = line
            draw(line)


def ready(waiting: list[ArmRun], working: list[ArmRun], control: str) -> list[ArmRun]:
    """List the runs that may begin: the control's, and those of whose seed the control is done."""
    early = {each.seed for each in (*waiting, *working) if each.arm == control}
    return [each for each in waiting if each.arm == control or each.seed not in early]


def do_one(
    each: ArmRun,
    all_runs: Sequence[ArmRun],
    stop: Stop,
    update: bool,
    turn: threading.Lock,
    env: Mapping[str, str],
) -> tuple[int, str]:
    """Do one run; give its exit code, and why it ended where it is not done."""
    try:
        with turn:
            begin(each, all_runs)
        return finish(each, stop, update, env)
    except RFTError as error:
        return 2, str(error)
    except Interrupted as stopped:
        return 75, str(stopped)
    except OSError as error:  # a full disk is one run's end here, as it is in its own process
        return in_one_line(error)


def begin(each: ArmRun, all_runs: Sequence[ArmRun]) -> None:
    """Begin a run with what its siblings, of the same seed, have done for it."""
    run = each.run
    if run.locked():  # whoever works on it now has begun it
        return
    others = [other for other in all_runs if other != each]
    run.path.mkdir(parents=True, exist_ok=True)
    keep_to_commits(run, [other.run for other in others])
    if taken := take_over(run, [other.run for other in others if other.seed == each.seed]):
        stages = ", ".join(f"{name} {round}" for round, name in taken)
        with open_to_append(log_of(each)) as log:
            log.write(f"taken over from runs of the same seed: {stages}\n".encode())


def finish(each: ArmRun, stop: Stop, update: bool, env: Mapping[str, str]) -> tuple[int, str]:
    """Do a run as a person would, its words into its log; give its exit code, and why it ended."""
    words = [*words_of(each, stop.grace), *(["--update"] if update else [])]
    words += ["--", str(recipe_of(each))]  # a folder may be called as an option is
    with open_to_append(log_of(each)) as log:
        log.write(f"$ rft {shlex.join(words)}\n".encode())
        log.flush()
        said = log.tell()
        code = outlast([sys.executable, "-m", "rft", *words], stop, log, env)
    if code == 75 and stop.asked():
        return 75, f"stopped by {stop.reason}"
    return code, why(log_of(each), said, code) if code else ""


def outlast(command: Sequence[str], stop: Stop, log: BinaryIO, env: Mapping[str, str]) -> int:
    """Do a command in a process of its own, and give its exit code."""
    return Child(command, env=env, log=log).outlast(stop)


def words_of(each: ArmRun, grace: float) -> list[str]:
    """Give the words of the command that does a run, but for its recipe."""
    run = each.run
    return [
        run.command,
        "--out",
        str(run.path),
        "--set",
        f"seed={each.seed}",
        "--grace",
        f"{grace}s",
    ]


def log_of(each: ArmRun) -> Path:
    """Name the file with all that a run has said."""
    return each.run.path.with_suffix(".log")


def why(log: Path, since: int, code: int) -> str:
    """Give the line that tells why a run ended, of what it has said since, and where its log is."""
    if code < 0:
        return f"{fate(code)} ({log})"
    with log.open("rb") as file:
        file.seek(max(since, log.stat().st_size - 20_000))
        lines = file.read().decode(errors="replace").splitlines()
    ends = {"Error: ": "", "Stopped: by ": "stopped by ", "Stopped: ": ""}
    telling = [line for line in lines if line.startswith(tuple(ends))] or lines
    text = short(telling[-1]) if telling else fate(code)
    begun = next((end for end in ends if text.startswith(end)), "")
    text = ends.get(begun, "") + text.removeprefix(begun)
    return f"{text.removesuffix('. Run the same command again to go on.')} ({log})"


def in_words(seconds: float) -> str:
    """Write about how long something takes."""
    minutes = seconds / 60
    return f"{minutes / 60:.1f} hours" if minutes >= 90 else f"{max(1, round(minutes))} min"
