"""Where finished rollouts lie until their stage is done: shards, each with a receipt.

A stage's work folder has a folder for each worker. A receipt is written after its shard, and says
which rollouts the shard holds, what they cost, and which problems need no more; what has no receipt
does not exist. What was finished under an earlier plan, and is still of use, lies in the pool, a
file whose name is its receipt: it holds the digest.
"""

import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from rft.engines import Finished
from rft.errors import RFTError
from rft.processes.devices import visible_gpus
from rft.runs import tables
from rft.runs.atomic import atomic_text
from rft.runs.dealing import PART_BYTES
from rft.runs.leftovers import ARRAY
from rft.runs.records import Record, read_record
from rft.runs.stages import MARK, Job, mark_of
from rft.sampling.plan import Plan, canonical, has_statistics, rollout_rows
from rft.sampling.sorting import in_order

# With its digest and `.parquet`: so that pool and receipt take their place by one rename.
POOL = "pooled-"
# Where the next pool is made; it is read like any other rollouts until it has taken its place.
NEXT = "next"
# Where rollouts are put in order that are too many for the memory.
SORTING = "sorting"

# A kill costs what is not flushed: at most a minute or 64 MB, and no more than these rollouts.
SECONDS = 60.0
BYTES = 64 << 20
ROLLOUTS = 256

# Before 0.2 a request that came to nothing was a row; it is no answer, and is asked for again.
FAILED = pl.col("finish_reason") == "error"


# Receipts -----------------------------------------------------------------------------------------


class Told(Record):
    """What stands in a receipt; `Receipt` says what it means."""

    keys: list[str]
    digest: str | None
    tokens: int
    seconds: float
    closed: dict[str, int]
    figures: dict[str, Any]
    gpus: int = 0


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
    gpus: int = 0
    """How many GPUs the worker could see; before 0.2 nobody looked."""

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
        self.check()
        return tables.read_file(self.shard)

    def check(self) -> None:
        """Refuse the shard if its content is not what the receipt says."""
        if not self.shard.is_file() or tables.file_digest(self.shard) != self.digest:
            raise RFTError(
                f"{self.shard}: damaged, not what its receipt says; move both away and run again"
            )


def receipts(work: Path, key: str | None) -> Iterator[Receipt]:
    """Read the receipts of all workers that work for the key of a stage; None is nobody's."""
    for folder in sorted(path for path in work.glob("*-*") if path.is_dir()):
        # An array job has no lock: its folder says itself what it belongs to.
        if key is not None and key_in(folder if folder.name.startswith(ARRAY) else work) == key:
            yield from receipts_in(folder)


def receipts_in(folder: Path) -> Iterator[Receipt]:
    """Read the receipts of one worker."""
    for path in sorted(folder.glob("[0-9]*.json")):
        told = read_record(path, Told, "a receipt", "move it away and run again")
        if told is not None:  # else it was put away just now
            yield Receipt(path, **{name: told[name] for name in Told.model_fields if name in told})


def spent(made: Iterable[Receipt]) -> dict[str, dict[str, float]]:
    """Add up the rollouts, tokens, seconds and GPU-seconds of each worker."""
    workers: dict[str, dict[str, float]] = {}
    for receipt in made:
        if receipt.keys:
            zero = {"rollouts": 0, "tokens": 0, "seconds": 0.0, "gpu_seconds": 0.0}
            each = workers.setdefault(receipt.worker, zero)
            each["rollouts"] += len(receipt.keys)
            each["tokens"] += receipt.tokens
            each["seconds"] = round(each["seconds"] + receipt.seconds, 2)
            each["gpu_seconds"] = round(each["gpu_seconds"] + receipt.seconds * receipt.gpus, 2)
    return workers


def pools_in(folder: Path) -> list[Path]:
    """List the pools of a folder: one, unless a kill came while the next was being made."""
    return sorted(folder.glob(f"{POOL}*.parquet"))


def read_pool(path: Path, columns: list[str] | None = None) -> Iterator[pl.DataFrame]:
    """Read a pool some rows at a time, if its content is what its name says."""
    if tables.file_digest(path) != path.stem.removeprefix(POOL):
        raise RFTError(f"{path}: damaged, not what its name says; move it away and run again")
    yield from tables.batches(path, "rollouts", columns)


def key_in(folder: Path) -> str | None:
    """Read the key of the stage that a work folder is for: the first word of its mark."""
    mark = mark_of(folder)
    return None if mark is None else mark.partition(" ")[0]


# What is finished, and what a worker adds ---------------------------------------------------------


class FinishedRollouts:
    """The finished rollouts of a stage that is not done, whoever has sampled them."""

    def __init__(self, job: Job, home: Path | None = None):
        self.work, self.key = job.work, job.key
        pools = pools_in(self.work) if key_in(self.work) == self.key else []
        # An array job has a pool of its own; elsewhere it is the whole stage's.
        pools += pools_in(home) if home is not None else []
        self.pools = pools
        # What was there when the work began, which decides what the batches are cut from.
        some = (batch for path in pools for batch in read_pool(path, ["rollout_id"]))
        self.pooled = frozenset(name for batch in some for name in batch["rollout_id"])
        self.known: set[str] = set(self.pooled)
        self.refresh()

    def refresh(self) -> None:
        """Learn what any worker has finished since."""
        for receipt in receipts(self.work, self.key):
            self.known.update(receipt.keys)

    def rows(self, names: Sequence[str]) -> pl.DataFrame:
        """Read finished rollouts by name."""
        if not names:  # asked for at every wave: the receipts are many files
            return tables.empty("rollouts")
        return pl.concat(self.in_order(names, sys.maxsize))

    def in_order(
        self, names: Sequence[str], part_bytes: int = PART_BYTES
    ) -> Iterator[pl.DataFrame]:
        """Read finished rollouts by name, sorted, a part at a time; in parts for one process."""
        asked = set(names)
        paths = list(self.pools) if asked & self.pooled else []
        # Two workers may have finished the same rollout: an array job and whoever took over.
        for receipt in receipts(self.work, self.key):
            if receipt.digest is not None and asked.intersection(receipt.keys):
                receipt.check()
                paths.append(receipt.shard)
        yield from in_order(paths, asked, self.work / SORTING, part_bytes)


class Shards(FinishedRollouts):
    """The finished rollouts as one worker sees them, and the shards that it adds."""

    def __init__(self, job: Job, plan: Plan, folder: Path):
        super().__init__(job, folder)
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
        """Note that a problem needs no more answers, and how many of its own count."""
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
            "gpus": visible_gpus(),
        }
        atomic_text(path, json.dumps(receipt))
        self.number += 1
        self.waiting, self.closed, self.bytes, self.flushed = [], {}, 0, now

    def start_clock(self) -> None:
        """Count the time from here: loading the engine is not sampling."""
        self.flushed = time.monotonic()


# Beginning, and beginning anew --------------------------------------------------------------------


def renew(job: Job, plan: Plan, workers: int) -> None:
    """Start the work folder of this plan with every rollout that exists already.

    The pool is fixed once per plan, so what is left to sample, and in which batches, is the same
    after any kill. Other engine arguments may mean other batches: a new plan, from the same pool.
    """
    mark = f"{job.key} {workers} {canonical(plan.run.recipe.engine.args)}"
    following = job.work / NEXT
    if mark_of(job.work) != mark:
        pool = write_pool(following, job, plan)
        # An array job of the same plan may be at work, without the lock: its folder stays.
        stays = {path for path in job.work.glob(f"{ARRAY}*") if mark_of(path) == job.key}
        # The model that is asked may lie here too: a candidate of a blend.
        stays |= {following, Path(plan.model.path)}
        job.run.put_away([child for child in sorted(job.work.iterdir()) if child not in stays])
        # Killed here, the next attempt finds no mark, and makes the same pool of the pool.
        pool.rename(job.work / pool.name)
        atomic_text(job.work / MARK, mark)
    shutil.rmtree(following, ignore_errors=True)


def start_pool(folder: Path, job: Job, plan: Plan, mark: str) -> None:
    """Put every rollout that exists already into a folder, and say last what it is for."""
    write_pool(folder, job, plan)
    atomic_text(folder / MARK, mark)


def write_pool(folder: Path, job: Job, plan: Plan) -> Path:
    """Put every rollout that exists already into one file, and name it by its digest."""
    path = folder / "pool.parquet"
    tables.write_frames(path, "rollouts", usable(job, plan))
    return path.rename(folder / f"{POOL}{tables.file_digest(path)}.parquet")


def usable(job: Job, plan: Plan) -> Iterator[pl.DataFrame]:
    """Read every finished rollout that the plan may use, some at a time, each once."""
    lacking = {each.name(index) for each in plan.asked for index in range(each.n)}
    for rows in finished_by_any(job, plan):
        sound = rows.filter(~FAILED, has_statistics(plan.sampling))
        sound = sound.unique("rollout_id", keep="first", maintain_order=True)
        wanted = [name in lacking for name in sound["rollout_id"]]
        mine = sound.filter(pl.Series(wanted, dtype=pl.Boolean))
        lacking.difference_update(mine["rollout_id"])
        yield mine


def finished_by_any(job: Job, plan: Plan) -> Iterator[pl.DataFrame]:
    """Read what was finished under any plan, each file by its receipt.

    The names say what decides a text, and whoever asks looks at the statistics.
    """
    for path in sorted(job.work.rglob(f"{POOL}*.parquet")):
        yield from read_pool(path)
    for folder in sorted(path for path in job.work.glob("*-*") if path.is_dir()):
        for receipt in receipts_in(folder):
            yield receipt.rows()
    if job.stage.rollouts is not None:
        for path in plan.run.parts(job.stage.rollouts, plan.round):
            yield from tables.batches(path, "rollouts")


def reopen(job: Job) -> None:
    """Have the next attempt at a stage start anew, from all of its rollouts that did not fail.

    What an array job adds until then counts for nothing: its folder goes too.
    """
    for folder in (job.work, *job.work.glob(f"{ARRAY}*")):
        (folder / MARK).unlink(missing_ok=True)
