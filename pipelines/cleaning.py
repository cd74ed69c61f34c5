"""Give disk back: what no stage, reader or budget of a run needs any more, named before it goes.

What was put away in `stale/` goes, but for what says what was spent: manifests, and the receipts of
work. Work that nothing goes on from is put away and goes in the same way; what killed processes
left goes, and models and checkpoints that `keep` does not ask for. Links are left alone, and what
lies behind them: only what is the run's own goes.
"""

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.filesize import decimal

from pipelines.perform import STAGES
from pipelines.readers.current import finished
from pipelines.readers.layout import table
from pipelines.run import walk
from rft.ending.spending import ENDS, JOURNALS, MANIFESTS, RECEIPTS
from rft.errors import RFTError
from rft.foreign_text import visible
from rft.runs import retention
from rft.runs.folder import Run, key_of
from rft.runs.leftovers import SCRATCH, left_over, take_apart
from rft.runs.stages import Stage, mark_of

# A stage's work folder.
WORK = re.compile(r"round-(\d+)-([a-z]+)")
STALE = "put away in stale/ (what says what was spent stays)"
DONE = "work of stages that are done"
OTHER = "work by other settings"
LEFT = "left-overs of killed processes"
CHECKPOINTS = "checkpoints (keep.optimizer: false)"
UNFINISHED = "unfinished work"
LINK = "a link, or behind one: left alone"
WORKS = (DONE, OTHER, UNFINISHED)


@dataclass(frozen=True)
class Item:
    """Something on disk: what it is, and what it takes."""

    path: Path
    what: str
    files: int
    bytes: int
    model: int | None = None
    """Which model of the run it is, if it is one."""


def plan(run: Run, *, unfinished: bool = False) -> tuple[list[Item], list[Item]]:
    """List what can go, and what stays and might be asked after."""
    goes: list[Item] = []
    stays: list[Item] = []
    records = _records(run.path)
    for path, what, model in _candidates(run):
        if _behind_link(run.path, path):
            stays.append(_item(path, LINK))
        elif what == UNFINISHED and not unfinished:
            stays.append(_item(path, what))
        else:
            goes.append(_item(path, what, model, records))
    gone = {item.path for item in goes}
    for path in left_over(run.path):
        if not gone.intersection([path, *path.parents]):
            goes.append(_item(path, LEFT))
            gone.add(path)
    return goes, stays


def clean(run: Run, items: list[Item]) -> tuple[int, int]:
    """Remove what is listed, crash-safe, and say how many files and bytes that were."""
    files = freed = 0
    if any(item.what in WORKS for item in items):
        _close_attempt(run)
    try:
        for item in items:
            if not item.path.exists() or _behind_link(run.path, item.path):
                continue
            _remove(run, item)
            files, freed = files + item.files, freed + item.bytes
    finally:
        run.event("cleaned", files=files, bytes=freed)
    for folder in sorted((run.path / "stale").glob("*")):
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()
    return files, freed


# What there is ------------------------------------------------------------------------------------


def _candidates(run: Run) -> Iterator[tuple[Path, str, int | None]]:
    """Name what can go, unless it is behind a link, and the unfinished work."""
    for home in sorted((run.path / "stale").glob("[0-9]*")):
        for path in list(_without_records(home, _records(home))):
            yield path, STALE, None
    for path in sorted((run.path / "work").glob("*")):
        if path.is_dir() and (named := WORK.fullmatch(path.name)):
            round, stage = named.groups()
            if stage in STAGES:
                kind = _kind_of_work(run, STAGES[stage], int(round), path)
                yield path, kind, None
    wanted = set(retention.unwanted(run, retention.decided(run)))
    for number in sorted(wanted):
        what = f"models (keep.models: {run.recipe.keep.models})"
        yield run.model_folder(number), what, number
    if not run.recipe.keep.optimizer:
        for path in sorted((run.path / "models").glob("model-*/checkpoint")):
            digits = path.parent.name.removeprefix("model-")
            # What has no number is no model of ours.
            if re.fullmatch("[0-9]+", digits) and int(digits) not in wanted:
                yield path, CHECKPOINTS, None


def _records(home: Path) -> set[Path]:
    """List what says what was spent, in a run folder or a folder of `stale/`."""
    return {path for kind in (MANIFESTS, RECEIPTS, JOURNALS) for path in home.glob(kind)}


def _without_records(folder: Path, records: set[Path]) -> Iterator[Path]:
    """Give the largest parts of a folder that hold no record."""
    if folder.is_symlink():
        yield folder
        return
    above = {parent for path in records for parent in path.parents}
    for path in sorted(folder.iterdir()):
        if path in above:
            yield from _without_records(path, records)
        elif path not in records:
            yield path


def _kind_of_work(run: Run, stage: Stage, round: int, folder: Path) -> str:
    """Say what a stage's work folder is: of a stage that is done, of other settings, or needed."""
    if stage.name not in {each.name for _, each in walk(run, max(round, 1))}:
        return OTHER
    made = run.manifest(stage.name, round)
    if made is not None and finished(run, stage.name, round) and run.outputs_intact(made):
        return DONE
    # Sampling takes over rollouts by their names, and score its units, whatever their mark says.
    if stage.name != run.recipe.maker:
        return UNFINISHED
    try:
        key = key_of(stage.name, stage.settings(run, round), stage.inputs(run, round))
    except RFTError:  # what comes before it is to be done again, and may come out the same
        return UNFINISHED
    return UNFINISHED if mark_of(folder) == key else OTHER


def _behind_link(root: Path, path: Path) -> bool:
    """Say whether a path leads through a link, so that it may be anyone's."""
    parts = path.relative_to(root).parts
    return any(root.joinpath(*parts[: n + 1]).is_symlink() for n in range(len(parts)))


def _item(path: Path, what: str, model: int | None = None, records: Collection[Path] = ()) -> Item:
    """Count the files and bytes of something, records aside and links not followed."""
    paths = [path]
    if path.is_dir() and not path.is_symlink():
        paths = [Path(folder) / name for folder, _, files in os.walk(path) for name in files]
    paths = [each for each in paths if each.is_symlink() or each.exists()]
    sizes = [each.lstat().st_size for each in paths if each not in records]
    return Item(path, what, len(sizes), sum(sizes), model)


# Taking apart -------------------------------------------------------------------------------------


def _remove(run: Run, item: Item) -> None:
    """Rename what goes, then take it apart: whatever has its own name is whole, at any moment."""
    records = {path for path in _records(run.path) if item.path in path.parents}
    if item.what in WORKS and records:
        kept = run.put_away([item.path])
        assert kept is not None, f"{item.path} is gone"
        for path in list(_without_records(kept, _records(kept))):
            take_apart(path)
        return
    aside = _aside(item.path)
    if aside != item.path:
        take_apart(aside)
    if item.model is not None:
        retention.remove(run, item.model)
    elif aside != item.path:
        item.path.rename(aside)
    take_apart(aside)


def _close_attempt(run: Run) -> None:
    """Note until when a killed attempt was alive, which is seen by the work that goes."""
    last = [each for each in run.events() if each.get("event") in ("start", *ENDS)][-1:]
    if last and last[0]["event"] == "start" and (alive := run.last_written()):
        about = {name: last[0][name] for name in ("stage", "round")}
        run.event("lost", **about, time=max(alive, last[0]["time"]))


def _aside(path: Path) -> Path:
    return path if SCRATCH.fullmatch(path.name) else path.with_name(f".{path.name}.removed")


# In words -----------------------------------------------------------------------------------------


def text_plan(run: Run, goes: list[Item], stays: list[Item]) -> str:
    """Write what would go and what would stay, by kind, with what it takes."""
    lines = _counted(goes) or ["nothing to remove"]
    for kind in dict.fromkeys(item.what for item in stays):
        note = "; --unfinished removes it too" if kind == UNFINISHED else ""
        goes_on = " that the next run goes on from" if kind == UNFINISHED else ""
        lines.append(f"kept, {kind}{goes_on}{note}:")
        for item in stays:
            if item.what == kind:
                place = visible(str(item.path.relative_to(run.path)))
                lines.append(f"  {place} ({files_words(item.files)}, {decimal(item.bytes)})")
    return "\n".join(lines)


def files_words(count: int) -> str:
    """Write a number of files."""
    return "1 file" if count == 1 else f"{count:,} files"


def _counted(items: list[Item]) -> list[str]:
    if not items:
        return []
    kinds = dict.fromkeys(item.what for item in items)
    rows = [[kind, *_sum([item for item in items if item.what == kind])] for kind in kinds]
    return table("lrr", [["what", "files", "size"], *rows, ["in all", *_sum(items)]], 0)


def _sum(items: list[Item]) -> list[str]:
    return [f"{sum(item.files for item in items):,}", decimal(sum(item.bytes for item in items))]
