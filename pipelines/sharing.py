"""What runs of a comparison have in common is done once: the others are given its output.

Two stages of one key have one output, whichever run did them: so a run that is to begin takes over
each stage that a sibling has finished under its own key, from the first on, until one differs. A
file is taken over as a link where the file system has them; no file of a run is changed in place.
What is taken is held against its digest first: a sibling that is damaged, or is changed meanwhile,
has nothing to give.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.run import walk
from rft.errors import RFTError
from rft.processes.stopping import Stop
from rft.runs import stages
from rft.runs.atomic import atomic_text
from rft.runs.folder import Run, begin_run, is_run, open_run
from rft.runs.leftovers import take_apart
from rft.runs.schemas import TABLES
from rft.runs.stages import Job, Stage
from rft.runs.tables import folder_digest
from rft.sampling import preflight

# No links here, or none more of this file.
LINKLESS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOTSUP}


def take_over(run: Run, siblings: Sequence[Run]) -> list[tuple[int, str]]:
    """Begin a run with the stages that siblings have done for it; name those that were taken."""
    taken: list[tuple[int, str]] = []
    with run.lock():
        if not is_run(run.path):
            begin_run(run)
        elif open_run(run.path).recipe != run.recipe:
            return []  # what becomes of finished work is not for us to decide
        for round, stage in walk(run, run.recipe.rounds):
            _take_preflight(run, siblings)  # before what samples, which would make it anew
            if run.manifest(stage.name, round) is not None:
                continue
            key = Job(run, stage, round, Stop(), lambda _line: None).key
            sources = having(siblings, stage, round, key)
            if not any(_took(source, made, run, stage, round) for source, made in sources):
                break
            taken.append((round, stage.name))
    return taken


def keep_to_commits(run: Run, others: Sequence[Run]) -> None:
    """Begin a run with the models of the Hub at the commits at which another one has them."""
    pins = next((path for other in others if (path := other.path / "hub.json").is_file()), None)
    if pins is not None and not (run.path / "hub.json").exists():
        atomic_text(run.path / "hub.json", pins.read_text(errors="replace"))


def having(
    siblings: Sequence[Run], stage: Stage, round: int, key: str
) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Find the runs that have a stage's output under a key, and what they say of it."""
    for sibling in siblings:
        made = told(sibling, stage.name, round)
        # Models are large, and each run decides by itself which of them it keeps.
        if made is not None and made["key"] == key and made["outputs"].keys() <= TABLES.keys():
            yield sibling, made


def told(sibling: Run, stage: str, round: int) -> dict[str, Any] | None:
    """Read what a sibling says of a stage that it has done; of damage it tells by itself."""
    with contextlib.suppress(RFTError, OSError):
        return sibling.manifest(stage, round) if is_run(sibling.path) else None
    return None


def _took(source: Run, made: dict[str, Any], run: Run, stage: Stage, round: int) -> bool:
    """Give a run a stage's output and, when that is whole, its manifest; say whether it was."""
    scratch = run.work(stage.name, round) / "out"
    take_apart(scratch)  # of an earlier attempt, which had no manifest
    scratch.mkdir(parents=True)
    for name, output in made["outputs"].items():
        (scratch / name).mkdir()
        home = source.folder(name, round)
        try:
            for file in (Path(file).name for file in output["files"]):
                if not _linked(source, home / file):
                    _same(home / file, scratch / name / file)
        except FileNotFoundError:  # lost, or put away just now
            pass
        if folder_digest(scratch / name) != output["digest"]:
            take_apart(scratch)
            return False
    run.event("shared", stage=stage.name, round=round, source=source.path.name)
    for name in made["outputs"]:
        place = run.folder(name, round)
        take_apart(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        (scratch / name).rename(place)
    run.write_manifest(stage.name, round, made)
    scratch.rmdir()
    if any(scratch.parent.iterdir()):  # what it has begun itself has been paid for
        run.put_away([scratch.parent])
    stages.remove_work(stage, run, round)
    return True


def _take_preflight(run: Run, siblings: Sequence[Run]) -> None:
    """Take over the probes of a sibling that begins alike: they would come out the same."""
    problems = run.manifest("prepare", 0)
    if problems is None or run.manifest("preflight", 0) is not None:
        return
    key = preflight.key_of_preflight(run)
    for sibling in siblings:
        made, asked = told(sibling, "preflight", 0), told(sibling, "prepare", 0)
        alike = asked is not None and asked["key"] == problems["key"]
        if alike and made is not None and made["key"] == key:
            run.write_manifest("preflight", 0, made)
            return


def _same(file: Path, other: Path) -> None:
    try:
        os.link(file, other)
    except OSError as error:
        if error.errno not in LINKLESS:
            raise
        with file.open("rb") as content, other.open("xb") as copy:
            shutil.copyfileobj(content, copy)
            copy.flush()
            os.fsync(copy.fileno())


def _linked(source: Run, path: Path) -> bool:
    """Say whether a file of a run is a link or lies in one: it may lead out of the run."""
    inside = path.relative_to(source.path)
    return any((source.path / part).is_symlink() for part in (inside, *inside.parents[:-1]))
