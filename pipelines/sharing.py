"""What runs of a comparison have in common is done once: the others are given its output.

Two stages of one key have one output, whichever run did them: so a run that is to begin takes over
each stage that a sibling has finished under its own key, from the first on, until one differs. A
file is taken over as a link where the file system has them; no file of a run is changed in place.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.run import walk
from rft.processes.stopping import Stop
from rft.runs import stages
from rft.runs.folder import Run, begin_run, is_run, open_run
from rft.runs.leftovers import take_apart
from rft.runs.stages import Job, Stage


def take_over(run: Run, siblings: Sequence[Run]) -> list[tuple[int, str]]:
    """Begin a run with the stages that siblings have done for it; name those that were taken."""
    taken = []
    with run.lock():
        if not is_run(run.path):
            begin_run(run)
        elif open_run(run.path).recipe != run.recipe:
            return []  # what becomes of finished work is not for us to decide
        for round, stage in walk(run, run.recipe.rounds):
            if run.manifest(stage.name, round) is not None:
                continue
            key = Job(run, stage, round, Stop(), lambda _line: None).key
            source = next(having(siblings, stage, round, key), None)
            if source is None:
                break
            _take(source, run, stage, round)
            taken.append((round, stage.name))
    return taken


def having(siblings: Sequence[Run], stage: Stage, round: int, key: str) -> Iterator[Run]:
    """Find the runs that have a stage's output under a key, whole."""
    for sibling in siblings:
        manifest = sibling.manifest(stage.name, round) if is_run(sibling.path) else None
        # Models are large, and each run decides by itself which of them it keeps.
        if manifest is None or manifest["key"] != key or "model" in manifest["outputs"]:
            continue
        if sibling.outputs_intact(manifest):
            yield sibling


def _take(source: Run, run: Run, stage: Stage, round: int) -> None:
    """Give a run a stage's output and, when that is whole, its manifest."""
    manifest = source.manifest(stage.name, round)
    assert manifest is not None, "the stage is not done there"
    run.event("shared", stage=stage.name, round=round, source=source.path.name)
    for name in manifest["outputs"]:
        place = run.folder(name, round)
        scratch = run.work(stage.name, round) / "out" / name
        for folder in (scratch, place):
            take_apart(folder)  # of an earlier attempt, which had no manifest
        scratch.mkdir(parents=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        for file in source.parts(name, round):
            _same(file, scratch / file.name)
        scratch.rename(place)
    run.write_manifest(stage.name, round, manifest)
    stages.remove_work(stage, run, round)


def _same(file: Path, other: Path) -> None:
    try:
        os.link(file, other)
    except OSError:  # no links here, or none more of this file
        shutil.copyfile(file, other)
