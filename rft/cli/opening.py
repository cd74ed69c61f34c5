"""Before anything is done: which run is meant, and by which recipe it goes on."""

import contextlib
import itertools
import os
import shlex
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rft.cli.terminal import say
from rft.errors import RFTError, explained, shown

if TYPE_CHECKING:
    from rft.processes.stopping import Stop
    from rft.recipe import Recipe
    from rft.runs.folder import Run


# What lies in a folder where a run has just begun; its recipe comes next, and then it is one.
BEGINNING = ("lock", ".lock.*", "events.jsonl", ".recipe.yaml.*.tmp")


@contextlib.contextmanager
def opened(
    run: "Run", recipe: str, out: Path | None, overrides: tuple[str, ...]
) -> "Iterator[tuple[Run, Recipe | None]]":
    """Hold the lock of a run that `begin` has found, and leave no folder where none came about."""
    new = [path for path in (run.path, *run.path.parents) if not path.exists()]
    make_folder(run.path)
    try:
        with run.lock():
            # Looked at again: it counts from here on, and another may have been at work till now.
            yield begin(recipe, out, overrides)
    finally:
        with contextlib.suppress(OSError):  # it holds a run
            for path in new:
                path.rmdir()


def begin(recipe: str, out: Path | None, overrides: tuple[str, ...]) -> "tuple[Run, Recipe | None]":
    """Find the run that a RECIPE argument means, and the recipe that it was begun with."""
    from pipelines.perform import check_recipe
    from rft.recipe.loading import load_recipe, load_stored, rooted
    from rft.runs.folder import Run, is_run, open_run

    if is_run(Path(recipe)):
        refuse_others(Path(recipe))
        if out is not None and out.resolve() != Path(recipe).resolve():
            raise RFTError(f"--out {out}: {recipe} is a run folder already; leave --out away")
        path = Path(recipe)
        wanted = load_stored(path, overrides)
    else:
        wanted = load_recipe(recipe, overrides)
        path = out or folder_for(recipe)
        refuse_others(path)
    check_recipe(wanted)
    if wanted.compare is not None:
        raise RFTError(
            f"{recipe}: it has arms (compare), and `rft compare {shlex.quote(recipe)}` runs them; "
            "for a run of the recipe itself add --set compare=null"
        )
    wanted = rooted(wanted)
    if path.exists() and not is_run(path) and not (path.is_dir() and only_begun(path)):
        raise RFTError(f"{path}: not a run folder, and not empty; choose another --out")
    return Run(path, wanted), open_run(path).recipe if is_run(path) else None


def refuse_lacking(recipe: "Recipe") -> None:
    """Refuse a recipe that needs a package which is not here."""
    from rft.engines import refuse_missing
    from rft.trackers import refuse_missing_tracker

    refuse_missing_tracker(recipe.track)
    refuse_missing(recipe.engine.kind)
    if recipe.grpo and recipe.grpo.vllm == "colocate":
        refuse_missing("vllm", "grpo.vllm: colocate", "grpo.vllm: null")


def listening(stop_after: float | None, grace: float) -> "Stop":
    """Listen to whoever wants the work to stop, the clock included."""
    import threading

    from rft.processes.stopping import Stop, die_with_parent

    die_with_parent()
    stop = Stop(grace).listen()
    if stop_after is not None:
        timer = threading.Timer(stop_after, stop.ask, ["--stop-after"])
        timer.daemon = True
        timer.start()
    return stop


def refuse_others(folder: Path, recipe: str = "recipe.yaml") -> None:
    """Refuse to act in a folder, or on its recipe, where somebody else could have written it.

    It is trusted as a recipe is that one names: it may have commands run, and keys sent to servers.
    Each process looks for itself, since it goes by what is there when it starts.
    """
    # The folder was named by a person, through a link perhaps; its recipe was not.
    for path, look in ((folder, Path.stat), (folder / recipe, Path.lstat)):
        try:
            told = look(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISLNK(told.st_mode):
            raise RFTError(
                f"{path}: a link, and recipes that are acted on are files of their folder; read "
                "what it leads to, and put that in its place"
            )
        if told.st_uid not in (os.geteuid(), 0):
            what = "it" if path == folder else f"its {recipe}"
            raise RFTError(
                f"{folder}: {what} belongs to {_user(told.st_uid)}, not you, and may run commands "
                f"(notify) and send your keys (engine.url); make it yours, `cp -r "
                f"{shlex.quote(str(folder))} COPY`, read {recipe} in the copy, and go on with COPY"
            )


def _user(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # as on shared file systems, whose users this machine need not know
        return f"uid {number}"


def folder_for(recipe: str) -> Path:
    """Give the run folder that a recipe's name or file means: qwen2.5-32b keeps its dot."""
    from rft.recipe.loading import SUFFIXES

    path = Path(recipe)
    return Path("runs") / (path.stem if path.suffix in SUFFIXES else path.name)


def refuse_what_is_in_the_way(path: Path) -> None:
    """Refuse a folder that cannot be made where it is to be, before anything is written."""
    there = next((each for each in (path, *path.parents) if each.exists()), path)
    if there.exists() and not there.is_dir():
        raise RFTError(f"--out {path}: cannot be made ({there} is no folder); name another")


def make_folder(path: Path) -> None:
    """Make a run's folder, or say in one line why it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if explained(error):
            raise
        raise RFTError(f"--out {path}: cannot be made ({error.strerror}); name another") from None


def only_begun(path: Path) -> bool:
    """Say whether a folder is empty but for what another process begins a run with."""
    return all(
        not child.is_symlink()
        and (
            (child.is_file() and any(child.match(name) for name in BEGINNING))
            or (
                child.is_dir()
                and child.name == "parts"
                and all(copy.match("*.py*") for copy in child.iterdir())
            )
        )
        for child in path.iterdir()
    )


def agree(
    run: "Run", stored: "Recipe | None", *, update: bool, plan_of: Callable[..., Any]
) -> "Run":
    """Put the recipe into force, unless finished work contradicts it and --update is not given."""
    from rft.parts.in_use import keep_copies
    from rft.runs.folder import save_recipe

    if stored is not None:
        again = read_again(run, update=update)
        steps = plan_of(run, run.recipe.rounds)
        if update and (again or is_outdated(steps)):
            run.agree_to_redo()
        if is_outdated(steps) and not run.agreed_to_redo():
            refuse_plan(
                run, stored, steps, "Add --update to do that, or name another folder with --out."
            )
        if stored != run.recipe:
            save_recipe(run)
            run.event("recipe", new=False)
        keep_copies(run.recipe.parts, run.path)  # one may have been lost
    else:
        begin_anew(run)
    return run


def read_again(run: "Run", *, update: bool) -> bool:
    """Have changed sources read again if --update is given, else say that they are not."""
    from pipelines.prepare import changed_sources

    changed = changed_sources(run)
    if changed and update:
        run.put_away([run.manifest_path("prepare", 0)])
    elif changed and run.recipe.prepare.refresh == "never":
        say(
            f"{changed[0]}: changed since the run read it, and goes on as it was read; "
            "--update reads it again, and under prepare.refresh: round each round takes what is new"
        )
    return bool(changed and update)


def is_outdated(steps: list[Any]) -> bool:
    """Say whether a plan does again what is finished."""
    return any(step.state in ("redo", "extend") for step in steps)


def begin_anew(run: "Run") -> None:
    """Make a folder that holds nothing a run, unless its model or problems are not there."""
    from pipelines import prepare as stage
    from rft.runs.folder import begin_run

    begin_run(run)
    try:
        stage.inputs(run, 0)
    except RFTError:
        # Nothing was there before us. The recipe last: a kill leaves a run that has only begun.
        shutil.rmtree(run.path / "work", ignore_errors=True)
        shutil.rmtree(run.path / "parts", ignore_errors=True)
        for name in ("hub.json", "events.jsonl", "recipe.yaml"):
            (run.path / name).unlink(missing_ok=True)
        raise


def refuse_plan(run: "Run", stored: "Recipe", steps: list[Any], advice: str) -> NoReturn:
    """Refuse to do finished work again: the plan line by line, then in one line why."""
    from rft.recipe.loading import settings_differences

    for line in planned(run, stored, steps):
        say(line)
    changed = [key for key, *_ in settings_differences(stored, run.recipe)] or ["what it reads"]
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    raise RFTError(
        f"{run.path}: {', '.join(changed[:3])}{more} changed, and finished stages would be done "
        f"again, as listed above. {advice}"
    )


STATES = {
    "reuse": "reuse",
    "run": "run",
    "redo": "redo",
    "extend": "extend: finished rollouts are used again",
    "mend": "redo (files are missing)",
    "follow": "redo, unless its input comes out the same",
}


def planned(run: "Run", stored: "Recipe | None", steps: list[Any]) -> list[str]:
    """Write a plan in lines: the settings that differ, then what happens to each stage."""
    from rft.recipe.loading import settings_differences

    lines = [f"{run.path}:"]
    if stored is not None:
        lines += [
            f"  {key}: {shown(old)} -> {shown(new)}"
            for key, old, new in settings_differences(stored, run.recipe)
        ]
    rounds: dict[int, list[str]] = {}
    for step in steps:
        rounds.setdefault(step.round, []).append(f"    {step.stage:9} {STATES[step.state]}")
    # Rounds to which the same happens are one entry: there may be thousands.
    for _, alike in itertools.groupby(rounds, key=lambda round: (round > 0, rounds[round])):
        numbers = list(alike)
        first, last = numbers[0], numbers[-1]
        head = f"round {first}" if first == last else f"rounds {first} to {last}"
        lines += [f"  {head if first else 'base'}:", *rounds[first]]
    return lines
