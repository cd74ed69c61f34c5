"""Trackers, where the curves of a run go: what they need, and under which names a run is there.

Each run is one tracker run that has a step for each round, 0 for the base; beside it, in the same
project and with its name in front, is one for each training, which the trainer's own callback
writes. Nothing here starts a dashboard, and trackio and tensorboard need no network.
"""

import hashlib
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rft.errors import RFTError
from rft.runs.atomic import atomic_text

# Tracker -> what pip installs for it; its package has its own name.
INSTALLED_BY = {
    "trackio": "'rft-rounds[track]'",
    "wandb": "wandb",
    "tensorboard": "tensorboard",
}

# The project of all runs; a variable of the environment names another.
PROJECT = "rft"
PROJECT_IN = {"trackio": "TRACKIO_PROJECT", "wandb": "WANDB_PROJECT"}

# Names that all trackers take.
UNFIT = re.compile(r"[^A-Za-z0-9._-]+")

# Round -> the values of its curves.
Points = Mapping[int, Mapping[str, float]]


@dataclass(frozen=True)
class Place:
    """Where a run is in a tracker."""

    folder: Path
    """The run's folder for what belongs to trackers."""
    project: str
    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    """The recipe that the tracker shows beside the curves."""


def missing(track: str) -> str | None:
    """Say what is not installed; None where the tracker can be used."""
    spec = None if track == "none" else find_spec(track)
    # A folder of that name, where an earlier run left its curves, is no package.
    if track == "none" or (spec is not None and spec.origin is not None):
        return None
    return f"track: {track} is not installed; pip install {INSTALLED_BY[track]}, or set track: none"


def refuse_missing_tracker(track: str) -> None:
    """Say at once that a tracker is not installed, before anything is begun."""
    if (text := missing(track)) is not None:
        raise RFTError(text)


def folder_of(run: Path) -> Path:
    """Name the folder of a run for what belongs to trackers."""
    return run / "track"


def place_of(run: Path, track: str, config: Mapping[str, Any] | None = None) -> Place:
    """Say where a run is in a tracker."""
    project = os.environ.get(PROJECT_IN.get(track, ""), "") or PROJECT
    return Place(folder_of(run), project, name_of(run), config or {})


def name_of(run: Path) -> str:
    """Give the name of a run in every tracker, which it keeps wherever it is moved to."""
    path = folder_of(run) / "name"
    if not path.is_file():
        log, home = run / "events.jsonl", run.resolve()
        first = log.read_text(errors="replace").partition("\n")[0] if log.is_file() else ""
        mark = hashlib.sha256(f"{home}\n{first}".encode()).hexdigest()[:6]
        path.parent.mkdir(exist_ok=True)
        atomic_text(path, f"{UNFIT.sub('-', home.name)[:40] or 'run'}-{mark}")
    return path.read_text()


# What a trainer's own callback is told --------------------------------------------------------


def for_trainer(run: Path, track: str, training: str) -> dict[str, Any]:
    """Have a trainer's curves land beside those of its run, and give the arguments that do it.

    A training that goes on after a kill has the same name as before, and goes on in its curves.
    """
    if track == "none":
        return {"report_to": "none"}
    place = place_of(run, track)
    name = f"{place.name}-{training}"
    if track == "tensorboard":  # checkpoints, where it goes by default, go away
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(place.folder / training))
    elif track == "wandb":
        os.environ.setdefault("WANDB_PROJECT", place.project)
        os.environ.setdefault("WANDB_DIR", str(place.folder))
        os.environ |= {"WANDB_RUN_GROUP": place.name, "WANDB_RUN_ID": name, "WANDB_RESUME": "allow"}
    return {"report_to": track, "project": place.project, "run_name": name}


# The curves of rounds -------------------------------------------------------------------------


def log_points(track: str, place: Place, points: Points) -> None:
    """Put rounds into a tracker, or raise what keeps it from that."""
    WRITERS[track](place, points)


def _trackio(place: Place, points: Points) -> None:
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        import trackio

        run = trackio.init(
            project=place.project,
            name=place.name,
            group=place.name,
            resume="allow",
            config=dict(place.config),
            auto_log_gpu=False,
            auto_log_cpu=False,
            embed=False,
        )
        for round, values in sorted(points.items()):
            run.log(dict(values), step=round)
        trackio.finish()
    # It does not raise where it cannot write.
    if lost := [str(each.message) for each in complaints if "trackio" in str(each.message)]:
        raise RFTError(lost[0])


def _wandb(place: Place, points: Points) -> None:
    import wandb

    os.environ.setdefault("WANDB_DIR", str(place.folder))
    run = wandb.init(
        project=place.project,
        id=place.name,
        name=place.name,
        group=place.name,
        job_type="rounds",
        resume="allow",
        config=dict(place.config),
        settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
    )
    # Its own steps only grow; a round that is logged again has to find its place.
    run.define_metric("round")
    run.define_metric("*", step_metric="round")
    for round, values in sorted(points.items()):
        run.log({"round": round, **values})
    run.finish()


def _tensorboard(place: Place, points: Points) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(log_dir=str(place.folder / "rounds")) as writer:
        for round, values in sorted(points.items()):
            for name, value in values.items():
                writer.add_scalar(name, value, round)


WRITERS: dict[str, Callable[[Place, Points], None]] = {
    "trackio": _trackio,
    "wandb": _wandb,
    "tensorboard": _tensorboard,
}
