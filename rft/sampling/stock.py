"""The finished rollouts of a stage that is not done: what is there, and starting anew from it."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from rft.runs import tables
from rft.runs.atomic import atomic_text
from rft.runs.stages import Job
from rft.sampling.plan import Plan, canonical, has_statistics
from rft.sampling.shards import ARRAY, MARK, key_in, mark_of, receipts

POOL = "pooled.parquet"

# The engine failed at this answer, for a reason of the request's own: nothing was sampled.
FAILED = pl.col("finish_reason") == "error"


class Stock:
    """The finished rollouts that a worker may use."""

    def __init__(self, job: Job, home: Path | None = None):
        self.work, self.key = job.work, job.key
        pools = [self.work / POOL] if key_in(self.work) == self.key else []
        # An array job finds its own; elsewhere the pool is the whole stage's.
        pools += [home / POOL] if home is not None and (home / POOL).is_file() else []
        self.pools = pools
        # What was there when the work began, which decides what the batches are cut from.
        names = [tables.read_file(path, ["rollout_id"])["rollout_id"] for path in pools]
        self.pooled = frozenset(name for each in names for name in each)
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
        wanted = pl.DataFrame({"rollout_id": list(names)}, schema={"rollout_id": pl.String})
        asked = set(names)
        frames = [tables.empty("rollouts")]
        if asked & self.pooled:
            frames += [tables.read_file(path) for path in self.pools]
        for receipt in receipts(self.work, self.key):
            if asked.intersection(receipt.keys):
                frames.append(receipt.rows())
        # Two workers may have finished the same rollout: an array job and whoever took over.
        rows = pl.concat(frame.join(wanted, on="rollout_id", how="semi") for frame in frames)
        return rows.unique("rollout_id", keep="first", maintain_order=True)


def renew(job: Job, plan: Plan, workers: int) -> None:
    """Start the work folder of this plan with every rollout that exists already.

    The pool is fixed once per plan, so what is left to sample, and in which batches, is the same
    after any kill. Other engine arguments may mean other batches: a new plan, from the same pool.
    """
    mark = f"{job.key} {workers} {canonical(plan.run.recipe.engine.args)}"
    if mark_of(job.work) == mark:
        return
    scratch = job.work.with_name(f".{job.work.name}.new")
    if mark_of(scratch) != mark:
        shutil.rmtree(scratch, ignore_errors=True)
        tables.write_file(scratch / POOL, tables.conform(pool(job, plan), "rollouts"))
        atomic_text(scratch / MARK, mark)
    # An array job of the same plan may be at work, without the lock: its folder stays.
    stays = {path for path in job.work.glob(f"{ARRAY}*") if mark_of(path) == job.key}
    if job.work.is_dir():
        job.run.put_away([child for child in sorted(job.work.iterdir()) if child not in stays])
    job.work.mkdir(parents=True, exist_ok=True)
    (scratch / POOL).rename(job.work / POOL)
    (scratch / MARK).rename(job.work / MARK)
    scratch.rmdir()


def pool(job: Job, plan: Plan) -> pl.DataFrame:
    """Read every finished rollout that the plan may use; what failed may do better this time."""
    names = [each.name(index) for each in plan.asked for index in range(each.n)]
    ids = pl.DataFrame({"rollout_id": names}, schema={"rollout_id": pl.String})
    frames = [tables.empty("rollouts")]
    # Of any plan: the names say what decides a text, and the statistics are looked at below.
    sources = sorted(job.work.rglob("*.parquet"))
    if plan.stage == "sample":
        sources += tables.parts(plan.run.folder("rollouts", plan.round))
    for path in sources:
        frame = tables.read_file(path).join(ids, on="rollout_id", how="semi")
        frames.append(frame.filter(~FAILED, has_statistics(plan.sampling)))
    return pl.concat(frames).unique("rollout_id", keep="first", maintain_order=True)


def reopen(job: Job) -> None:
    """Have the next attempt at a stage start anew, from all of its rollouts that did not fail.

    What an array job adds until then counts for nothing: its folder goes too.
    """
    for folder in (job.work, *job.work.glob(f"{ARRAY}*")):
        (folder / MARK).unlink(missing_ok=True)
