"""What a stage is, when its output is current, and how a new output replaces the old one.

THE CONTRACT. A stage is `Stage(name, settings, inputs, work, grows, rollouts)`:

    settings    what of the recipe its output depends on; never what only costs time or memory
    inputs      name -> digest of the content that it reads: tables, models, sources
    work        does it: reads through `job.run`, writes tables by `job.write`, puts what is not
                finished into `job.work`, calls `job.stop.check()` often, and notes `job.counts`,
                which add up (in = kept + rejected), and whatever else the manifest is to hold
    grows       settings that may change without losing what is finished: samples are added, or
                only graded again
    rollouts    the output that what is finished is then taken over from

Its outputs are tables and models; they take their place when the work is done, the manifest last.

The key of an output is the hash of settings, inputs and the version of the schemas. An output is
CURRENT when its manifest is there, holds the key of today, and its files are there with their
sizes: then the stage is never done again. Otherwise the old output goes to `stale/`, whole, and is
never mixed with the new one; of rollouts, those that still count are taken over, by their names.
What a kill leaves in `job.work` is gone on from if it bears the mark of the same work (`job.claim`;
sampling keeps its own books in rft/sampling/shards.py), and put away if not. No stage knows
another: what one has written is found by its table's name.
"""

import json
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from rft.foreign_text import harmless
from rft.model_folders.content import folder_digest
from rft.processes.devices import visible_gpus
from rft.processes.stopping import Stop
from rft.runs import tables
from rft.runs.atomic import atomic_text
from rft.runs.folder import NotReady, Run, key_of, now, versions
from rft.runs.leftovers import take_apart
from rft.runs.plain_files import read_small
from rft.runs.schemas import MODELS

# From rollouts, all of some problems, to the names of those that are correct and pass the rules.
Accept = Callable[[pl.DataFrame], Collection[str]]

# The file in a work folder that says what the work is for.
MARK = "key"


@dataclass(frozen=True)
class Stage:
    """A stage: its name, what its output depends on, and the work."""

    name: str
    settings: Callable[[Run, int], dict[str, Any]]
    inputs: Callable[[Run, int], dict[str, str]]
    work: "Callable[[Job], None]"
    grows: frozenset[str] = frozenset()
    """Settings that may change without losing what is finished."""
    rollouts: str | None = None
    """Its table of rollouts, from which those that still count are taken over."""

    def keeps_rollouts(self, manifest: dict[str, Any], changed: set[str]) -> bool:
        """Say whether what is finished is used again when these settings change."""
        return changed <= self.grows and self.rollouts in manifest["outputs"]


@dataclass
class Job:
    """One execution of a stage: where it reads, where it writes, what it has to tell."""

    run: Run
    stage: Stage
    round: int
    stop: Stop
    say: Callable[[str], None]
    accept: Accept | None = None
    """Given where the work has to know what is accepted."""
    counts: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Path] = field(default_factory=dict)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Give the settings that the output will depend on."""
        return self.stage.settings(self.run, self.round)

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Give the digests of the content that it will depend on: of now, not of the last time."""
        anew = Run(
            self.run.path, self.run.recipe, self.run.outdated | {(self.round, self.stage.name)}
        )
        return self.stage.inputs(anew, self.round)

    @cached_property
    def key(self) -> str:
        """Hash all that the output will depend on."""
        return key_of(self.stage.name, self.settings, self.inputs)

    @property
    def work(self) -> Path:
        """Give the folder for what is not finished yet."""
        return self.run.work(self.stage.name, self.round)

    def claim(self, mark: str | None = None) -> None:
        """Go on with what lies in the work folder if it bears this mark, else put it away."""
        mark = mark or self.key
        if mark_of(self.work) != mark:
            self.run.put_away([self.work])
            atomic_text(self.work / MARK, mark)

    def write(self, table: str, frame: pl.DataFrame) -> None:
        """Write an output table; it takes its place when the whole stage is done."""
        with self.writer(table) as writer:
            writer.add(frame)

    @contextmanager
    def writer(self, table: str) -> Iterator[tables.Writer]:
        """Write an output table as its rows come."""
        folder = self.work / "out" / table
        take_apart(folder)  # a part of an earlier attempt must not stay among the new ones
        with tables.Writer(folder, table) as writer:
            yield writer
        self.outputs[table] = folder


def mark_of(folder: Path) -> str | None:
    """Read for what the work in a folder is; None where nothing says so."""
    mark = folder / MARK
    return read_small(mark).decode(errors="replace") if mark.is_file() else None


def perform(job: Job) -> None:
    """Do a stage, and put its output into place."""
    about = {"key": job.key, "settings": job.settings, "inputs": job.inputs}
    began = time.monotonic()
    # Should an earlier attempt have been killed, this is until when it was alive.
    alive = job.run.last_written()
    place = {"stage": job.stage.name, "round": job.round}
    job.run.event("start", **place, gpus=visible_gpus(), alive=alive)
    job.stage.work(job)
    _commit(job, about, time.monotonic() - began)
    job.run.event("done", stage=job.stage.name, round=job.round, counts=job.counts)


def _commit(job: Job, about: dict[str, Any], seconds: float) -> None:
    """Put outputs into place, then the manifest: without it they count for nothing."""
    run, stage, round = job.run, job.stage.name, job.round
    places = {name: _place(job, name) for name in job.outputs}
    # The manifest goes last: without its files it is seen to be broken, but never the reverse.
    run.put_away([*places.values(), run.manifest_path(stage, round)])
    outputs = {}
    for name, source in job.outputs.items():
        place = places[name]
        if source != place:
            take_apart(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            source.rename(place)
        outputs[name] = _describe(run, name, place)
    manifest = {
        "stage": stage,
        "round": round,
        **about,
        "outputs": outputs,
        "counts": job.counts,
        "seconds": tenths(seconds),
        "gpus": visible_gpus(),
        "finished": now(),
        "versions": versions(),
        **harmless(job.notes),
    }
    run.write_manifest(stage, round, manifest)
    remove_work(job.stage, run, round)


def remove_work(stage: Stage, run: Run, round: int) -> None:
    """Remove what a stage kept while it was not done; a kill may have come before that."""
    shutil.rmtree(run.work(stage.name, round), ignore_errors=True)


def tenths(seconds: float) -> float:
    """Round a duration to a tenth of a second."""
    return round(seconds, 1)


def _place(job: Job, name: str) -> Path:
    return job.run.model_folder(job.round) if name == "model" else job.run.folder(name, job.round)


def _describe(run: Run, name: str, place: Path) -> dict[str, Any]:
    files = {
        str(path.relative_to(run.path)): path.stat().st_size
        for path in sorted(place.iterdir())
        if path.is_file()
    }
    if name in MODELS:
        return {"digest": folder_digest(place), "files": files}
    return {"digest": tables.folder_digest(place), "files": files}


# What is current ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One line of a plan: `reuse`, `run` (not done yet), `redo` (its settings or inputs changed),
    `extend` (redone with what is finished), `mend` (files are missing), or `follow` (redone unless
    its input comes out the same).
    """

    round: int
    stage: str
    state: str


def plan(run: Run, walk: Iterable[tuple[int, Stage]]) -> list[Step]:
    """Say for each stage of the walk whether its output can be used again."""
    foreseen = Run(run.path, run.recipe)
    steps = []
    for round, stage in walk:
        state = state_of(stage, foreseen, round)
        if state != "reuse":
            foreseen.outdated.add((round, stage.name))
        steps.append(Step(round, stage.name, state))
    return steps


def is_current(stage: Stage, run: Run, round: int) -> bool:
    """Say whether the stage's output is there and made from today's settings and inputs."""
    return state_of(stage, run, round) == "reuse"


def state_of(stage: Stage, run: Run, round: int) -> str:
    """Say what a plan says of a stage: `reuse` if its output is current, or what is to be done."""
    manifest = run.manifest(stage.name, round)
    if manifest is None:
        return "run"
    settings = stage.settings(run, round)
    if changed := changed_settings(manifest["settings"], settings):
        return "extend" if stage.keeps_rollouts(manifest, changed) else "redo"
    try:
        inputs = stage.inputs(run, round)
    except NotReady:
        return "follow"
    if manifest["key"] != key_of(stage.name, settings, inputs):
        return "redo"
    return "reuse" if run.outputs_intact(manifest) else "mend"


def changed_settings(old: dict[str, Any], new: dict[str, Any]) -> set[str]:
    """Name the settings that differ from those of a manifest, which has read them from JSON."""
    new = json.loads(json.dumps(new))
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
