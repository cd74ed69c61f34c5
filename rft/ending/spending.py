"""What a run has spent over its whole life: tokens, hours and GPU-hours, whatever became of them.

Tokens are what manifests and receipts say, those in `stale/` included: what was drawn and put away
has been paid for. Hours are those of all attempts at stages, as the event log has them: from a
`start` to the event that ends it; after a kill, to the last file that was written for it. GPU-hours
are these times the GPUs that were visible, used or not, since all of them are paid for. Array jobs
sample beside the run, without its lock: their tokens and GPU-hours count, not their hours.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from rft.errors import RFTError
from rft.runs.folder import Run, now
from rft.runs.leftovers import ARRAY
from rft.runs.plain_files import read_small
from rft.runs.records import Record

# What says what was spent, in a run folder and in each folder of `stale/`.
MANIFESTS = "manifest/round-*/*.json"
RECEIPTS = "work/round-*/*-*/[0-9]*.json"
JOURNALS = "work/round-*-grpo/dynamics.jsonl"

# What ends an attempt at a stage in the event log.
ENDS = ("done", "stopped", "failed", "lost")


@dataclass(frozen=True)
class Spent:
    """What was spent."""

    tokens: int = 0
    seconds: float = 0.0
    gpu_seconds: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.tokens + other.tokens,
            self.seconds + other.seconds,
            self.gpu_seconds + other.gpu_seconds,
        )

    @property
    def hours(self) -> float:
        """Give the hours."""
        return self.seconds / 3600

    @property
    def gpu_hours(self) -> float:
        """Give the GPU-hours."""
        return self.gpu_seconds / 3600


def spent_by(run: Run) -> Spent:
    """Add up all that a run has spent."""
    stale = sorted((run.path / "stale").glob("[0-9]*"))
    total = attempts(run)
    for home in (run.path, *stale):
        for path in home.glob(MANIFESTS):
            total += sampled(read(path))
        for path in home.glob(RECEIPTS):
            total += of_receipt(path)
        for path in home.glob(JOURNALS):
            total += Spent(tokens=sum(step.get("tokens", 0) for step in steps(path)))
    return total


def spent_on_round(run: Run, round: int) -> Spent:
    """Add up what the stages of a finished round took, without what came to nothing."""
    made = [each for each in run.manifests() if each["round"] == round]
    tokens = sum((sampled(each) for each in made), Spent())
    seconds = sum(each.get("seconds", 0.0) for each in made)
    gpus = sum(each.get("seconds", 0.0) * each.get("gpus", 0) for each in made)
    return tokens + Spent(0, seconds, gpus)


# Tokens -------------------------------------------------------------------------------------------


def sampled(manifest: dict[str, Any]) -> Spent:
    """Give the tokens that a stage has drawn, and the GPU-seconds of the array jobs that helped."""
    workers = manifest.get("workers")
    if workers is None:
        drew = manifest.get("stage") in ("sample", "evaluate", "preflight", "grpo")
        return Spent(tokens=int(manifest.get("tokens") or 0) if drew else 0)
    gpus = (each.get("gpu_seconds", 0.0) for name, each in workers.items() if of_array(name))
    return Spent(int(sum(each["tokens"] for each in workers.values())), 0.0, sum(gpus))


def of_receipt(path: Path) -> Spent:
    """Give what a shard of an unfinished stage took."""
    told = read(path)
    beside = told["seconds"] * told.get("gpus", 0) if told and of_array(path.parent.name) else 0.0
    return Spent(int(told.get("tokens", 0)), 0.0, beside)


def of_array(worker: str) -> bool:
    """Say whether a worker was an array job, of which the event log knows nothing."""
    return worker.startswith(ARRAY)


def read(path: Path) -> dict[str, Any]:
    """Read a manifest or receipt, which never changes but by being replaced."""
    try:
        seen = path.stat()
        return _read(path, seen.st_mtime_ns, seen.st_size)
    except (
        OSError,
        RFTError,
        ValueError,
        RecursionError,
    ):  # put away just now; what is damaged is told where it is needed
        return {}


class Worker(Record):
    """What one worker has spent."""

    tokens: int
    gpu_seconds: float = 0.0


class Told(Record):
    """What a manifest or receipt says of what was spent."""

    stage: str = ""
    tokens: int | None = None
    workers: dict[str, Worker] | None = None
    seconds: float = 0.0
    gpus: int = 0


@lru_cache(maxsize=1 << 16)
def _read(path: Path, _changed: int, _size: int) -> dict[str, Any]:
    told = Told.model_validate(json.loads(read_small(path)))
    return told.model_dump(exclude_unset=True)


def steps(path: Path) -> Iterator[dict[str, Any]]:
    """Read the steps of an online training that is not done."""
    for line in read_small(path).split(b"\n")[:-1]:  # the last one may just be being written
        try:
            step = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(step, dict) and isinstance(step.get("tokens", 0), int):
            yield step


# Time ---------------------------------------------------------------------------------------------


def attempts(run: Run) -> Spent:
    """Add up the time of all attempts at stages."""
    total, open_since = Spent(), None
    for event in run.events():
        if event["event"] == "start":
            if open_since is not None:
                total += lasted(open_since, event.get("alive"), at_most=event["time"])
            open_since = event
        elif event["event"] in ENDS and open_since is not None:
            total += lasted(open_since, event["time"])
            open_since = None
    if open_since is not None:
        total += lasted(open_since, now() if run.locked() else run.last_written())
    return total


def lasted(start: dict[str, Any], end: str | None, *, at_most: str | None = None) -> Spent:
    """Give the time from the start of an attempt to its end."""
    ends = [datetime.fromisoformat(each) for each in (end, at_most) if each is not None]
    if end is None:  # nothing was written: it was killed at once
        return Spent()
    seconds = (min(ends) - datetime.fromisoformat(start["time"])).total_seconds()
    seconds = max(seconds, 0.0)
    return Spent(0, seconds, seconds * start.get("gpus", 0))
