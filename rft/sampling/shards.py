"""Where finished rollouts lie until their stage is done: shards, each with a receipt.

A stage's work folder has a folder for each worker. A receipt is written after its shard, and says
which rollouts the shard holds, what they cost, and which problems need no more; what has no receipt
does not exist.
"""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from rft.engines import Finished
from rft.errors import RFTError
from rft.runs import tables
from rft.runs.atomic import atomic_text
from rft.sampling.plan import Plan, rollout_rows

MARK = "key"
ARRAY = "array-"

# A kill costs what is not flushed: at most a minute or 64 MB, and no more than these rollouts.
SECONDS = 60.0
BYTES = 64 << 20
ROLLOUTS = 256


@dataclass(frozen=True)
class Receipt:
    """What a worker says of one shard."""

    path: Path
    keys: list[str]
    digest: str | None
    tokens: int
    seconds: float
    closed: dict[str, int]
    """Problems that need no more answers -> how many of theirs count."""
    figures: dict[str, Any]
    """What the engine measured of itself up to here."""

    @property
    def worker(self) -> str:
        """Name the worker."""
        return self.path.parent.name

    @property
    def shard(self) -> Path:
        """Name the shard."""
        return self.path.with_suffix(".parquet")

    def rows(self) -> pl.DataFrame:
        """Read the shard, if its content is what the receipt says."""
        if self.digest is None:
            return tables.empty("rollouts")
        if tables.file_digest(self.shard) != self.digest:
            raise RFTError(
                f"{self.shard}: damaged, not what its receipt says; move both away and run again"
            )
        return tables.read_file(self.shard)


def receipts(work: Path, key: str | None) -> Iterator[Receipt]:
    """Read the receipts of all workers that work for the key of a stage; None is nobody's."""
    for folder in sorted(path for path in work.glob("*-*") if path.is_dir()):
        # An array job has no lock: its folder says itself what it belongs to.
        if key is not None and key_in(folder if folder.name.startswith(ARRAY) else work) == key:
            yield from receipts_in(folder)


def receipts_in(folder: Path) -> Iterator[Receipt]:
    """Read the receipts of one worker."""
    for path in sorted(folder.glob("[0-9]*.json")):
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:  # put away just now
            continue
        except ValueError:
            raise RFTError(
                f"{path}: not a receipt (damaged?); move it away and run again"
            ) from None
        yield Receipt(path, **found)


def spent(made: Iterable[Receipt]) -> dict[str, dict[str, float]]:
    """Add up the rollouts, tokens and seconds of each worker."""
    workers: dict[str, dict[str, float]] = {}
    for receipt in made:
        if receipt.keys:
            each = workers.setdefault(receipt.worker, {"rollouts": 0, "tokens": 0, "seconds": 0.0})
            each["rollouts"] += len(receipt.keys)
            each["tokens"] += receipt.tokens
            each["seconds"] = round(each["seconds"] + receipt.seconds, 2)
    return workers


def mark_of(folder: Path) -> str | None:
    """Read to which plan a folder belongs."""
    mark = folder / MARK
    return mark.read_text() if mark.is_file() else None


def key_in(folder: Path) -> str | None:
    """Read for the key of which stage the plan of a folder is, which its mark begins with."""
    mark = mark_of(folder)
    return None if mark is None else mark.partition(" ")[0]


class Shelf:
    """One worker's folder."""

    def __init__(self, folder: Path, plan: Plan):
        self.folder, self.plan = folder, plan
        self.waiting: list[Finished] = []
        self.closed: dict[str, int] = {}
        self.bytes = 0
        self.flushed = time.monotonic()
        numbers = [int(path.stem) for path in folder.glob("[0-9]*.*")]
        self.number = max(numbers, default=-1) + 1

    def add(self, finished: Iterable[Finished]) -> None:
        """Take rollouts that an engine finished together."""
        for done in finished:
            self.waiting.append(done)
            self.bytes += 20 * len(done.token_ids or ()) + len(done.completion)

    def close(self, place: str, drawn: int) -> None:
        """Note that a problem needs no more answers."""
        self.closed[place] = drawn

    def due(self) -> bool:
        """Say whether it is time to flush."""
        # Where units must not change, what is flushed is whole batches, and each at once.
        return bool(self.waiting) and (
            self.plan.together
            or len(self.waiting) >= ROLLOUTS
            or self.bytes >= BYTES
            or time.monotonic() - self.flushed >= SECONDS
        )

    def flush(self, figures: dict[str, Any]) -> None:
        """Write what is there, the receipt last."""
        if not self.waiting and not self.closed:
            return
        path = self.folder / f"{self.number:05d}.json"
        rows = rollout_rows(self.waiting, self.plan)
        if self.waiting:
            tables.write_file(path.with_suffix(".parquet"), tables.conform(rows, "rollouts"))
        now = time.monotonic()
        receipt = {
            "keys": rows["rollout_id"].to_list(),
            "digest": tables.file_digest(path.with_suffix(".parquet")) if self.waiting else None,
            "tokens": int(rows["num_tokens"].sum()),
            "seconds": now - self.flushed,
            "closed": self.closed,
            "figures": figures,
        }
        atomic_text(path, json.dumps(receipt))
        self.number += 1
        self.waiting, self.closed, self.bytes, self.flushed = [], {}, 0, now

    def start_clock(self) -> None:
        """Count the time from here: loading the engine is not sampling."""
        self.flushed = time.monotonic()
