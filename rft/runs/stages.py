"""What a stage is, when it is out of date, and how its output replaces the old one."""

import json
import shutil
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from rft.processes.stopping import Stop
from rft.runs import tables
from rft.runs.atomic import atomic_text
from rft.runs.folder import NotReady, Run, key_of, now, versions

if TYPE_CHECKING:
    from rft.sampling.plan import Plan

# From all rollouts of some problems to the names of those that are correct and pass the rules.
Accept = Callable[[pl.DataFrame], Collection[str]]


@dataclass
class Job:
    """One execution of a stage: where it reads, where it writes, what it has to tell."""

    run: Run
    stage: "Stage"
    round: int
    key: str
    stop: Stop
    say: Callable[[str], None]
    accept: Accept | None = None
    """Given where sampling has to know what is accepted."""
    counts: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Path] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        """Give the folder for what is not finished yet."""
        return self.run.work(self.stage.name, self.round)

    def write(self, table: str, frame: pl.DataFrame) -> None:
        """Write an output table; it takes its place when the whole stage is done."""
        folder = self.work / "out" / table
        shutil.rmtree(folder, ignore_errors=True)
        tables.write(folder, table, frame)
        self.outputs[table] = folder


@dataclass(frozen=True)
class Stage:
    """A stage: its name, what its output depends on, and the work."""

    name: str
    settings: Callable[[Run, int], dict[str, Any]]
    inputs: Callable[[Run, int], dict[str, str]]
    work: Callable[[Job], None]
    grows: frozenset[str] = frozenset()
    """Settings whose change leaves what is finished useful."""
    plan: "Callable[[Run, int], Plan] | None" = None
    """What the stage samples, if it samples: workers need to know as well."""


def is_current(stage: Stage, run: Run, round: int) -> bool:
    """Say whether the stage's output is there and made from today's settings and inputs."""
    manifest = run.manifest(stage.name, round)
    if manifest is None or not run.outputs_intact(manifest):
        return False
    key = key_of(stage.name, stage.settings(run, round), stage.inputs(run, round))
    return bool(manifest["key"] == key)


def perform(
    stage: Stage,
    run: Run,
    round: int,
    stop: Stop,
    say: Callable[[str], None],
    accept: Accept | None = None,
) -> bool:
    """Do a stage unless its output is current; say whether anything was done."""
    settings, inputs = stage.settings(run, round), stage.inputs(run, round)
    if is_current(stage, run, round):
        return False
    key = key_of(stage.name, settings, inputs)
    job = Job(run, stage, round, key, stop, say, accept)
    began = time.monotonic()
    run.event("start", stage=stage.name, round=round)
    stage.work(job)
    _commit(job, settings, inputs, time.monotonic() - began)
    run.event("done", stage=stage.name, round=round, counts=job.counts)
    return True


def _commit(job: Job, settings: dict[str, Any], inputs: dict[str, str], seconds: float) -> None:
    """Put outputs into place, then the manifest: without it they count for nothing."""
    run, stage, round = job.run, job.stage.name, job.round
    places = {name: _place(job, name) for name in job.outputs}
    # The manifest goes last: without its files it is seen to be broken, but never the reverse.
    run.put_away([*places.values(), run.manifest_path(stage, round)])
    outputs = {}
    for name, source in job.outputs.items():
        place = places[name]
        if source != place:
            shutil.rmtree(place, ignore_errors=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            source.rename(place)
        outputs[name] = _describe(run, name, place)
    manifest = {
        "stage": stage,
        "round": round,
        "key": job.key,
        "settings": settings,
        "inputs": inputs,
        "outputs": outputs,
        "counts": job.counts,
        "seconds": round_to(seconds),
        "finished": now(),
        "versions": versions(),
        **job.notes,
    }
    atomic_text(run.manifest_path(stage, round), json.dumps(manifest, indent=1) + "\n")
    shutil.rmtree(job.work, ignore_errors=True)


def round_to(seconds: float) -> float:
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
    if name == "model":
        return {"digest": json.loads((place / "rft.json").read_text())["digest"], "files": files}
    return {"digest": tables.folder_digest(place), "files": files}


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
        state = _state(stage, foreseen, round)
        if state != "reuse":
            foreseen.outdated.add((round, stage.name))
        steps.append(Step(round, stage.name, state))
    return steps


def _state(stage: Stage, run: Run, round: int) -> str:
    manifest = run.manifest(stage.name, round)
    if manifest is None:
        return "run"
    old, new = manifest["settings"], json.loads(json.dumps(stage.settings(run, round)))
    if changed := {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}:
        return "extend" if changed <= stage.grows else "redo"
    try:
        inputs = stage.inputs(run, round)
    except NotReady:
        return "follow"
    if manifest["key"] != key_of(stage.name, stage.settings(run, round), inputs):
        return "redo"
    return "reuse" if run.outputs_intact(manifest) else "mend"
