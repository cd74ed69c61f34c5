"""Sampling that loses nothing: what is there is used, and what is missing is sampled.

By one worker or several; in the end it is put together.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rft.errors import Interrupted
from rft.processes import devices
from rft.runs.leftovers import ARRAY
from rft.runs.stages import Job, mark_of
from rft.sampling import worker_pool
from rft.sampling.plan import Plan
from rft.sampling.shards import (
    FAILED,
    FinishedRollouts,
    Receipt,
    receipts,
    renew,
    reopen,
    spent,
    start_pool,
)
from rft.sampling.worker import Worker
from rft.seeds import derive


def collect(job: Job, plan: Plan, *, apart: bool = False) -> pl.DataFrame:
    """Sample what is missing of the plan and return all its rollouts, sorted."""
    return pl.concat(collected(job, plan, apart=apart))


def collected(job: Job, plan: Plan, *, apart: bool = False) -> Iterator[pl.DataFrame]:
    """Sample what is missing of the plan and give all its rollouts, sorted, a part at a time.

    Finished ones lie in the stage's work folder, whence the next attempt goes on after a kill.
    Several engines are processes of their own, and so is a single one that is to be apart.
    """
    count = devices.count(plan.run.recipe.engine)
    renew(job, plan, count)
    held = {receipt.path for receipt in receipts(job.work, job.key)}
    if count > 1 or apart:
        worker_pool.run(job, plan, count)
    else:
        alone = Worker(job, plan, job.work / "worker-0", show=plan.asked)
        alone.preflight()
        alone.work(iter([(0, plan.asked)]))
    yield from gather(job, plan, held=held)


def collect_share(job: Job, plan: Plan, index: int, of: int) -> int:
    """Sample an array job's share of the problems, without the lock, into a folder of its own.

    Whoever runs the stage under the lock later finds these rollouts there.
    """
    home = job.work / f"{ARRAY}{index}-of-{of}"
    if mark_of(home) != job.key:
        job.run.put_away([home])
        start_pool(home, job, plan, job.key)
    # Shuffled, so that no share gets the hard ones, and cut evenly.
    shuffled = sorted(plan.asked, key=lambda each: derive("array", each.place))
    share = shuffled[index::of]
    worker = Worker(job, plan, home, show=share)
    worker.preflight()
    worker.work(iter([(0, share)]))
    return len(share)


def gather(job: Job, plan: Plan, *, held: set[Path]) -> Iterator[pl.DataFrame]:
    """Put the plan's rollouts together, and note what they cost."""
    made = list(receipts(job.work, job.key))
    drawn: dict[str, int] = {}
    for receipt in made:
        drawn |= receipt.closed
    missing = [each.place for each in plan.asked if each.place not in drawn]
    assert not missing, f"no worker closed {len(missing)} problems, {missing[:1]} among them"
    names = [each.name(index) for each in plan.asked for index in range(drawn[each.place])]
    seen = failed = tokens = 0
    for rows in FinishedRollouts(job).in_order(names):
        seen += len(rows)
        failed += len(rows.filter(FAILED))
        tokens += int(rows["num_tokens"].sum() or 0)
        yield rows
    assert seen == len(names), "rollouts != plan"
    if failed:
        reopen(job)
        raise Interrupted(
            f"{job.run.path}: {failed:,} of {len(names):,} answers are missing, which an earlier "
            "version began with and could not get; they are asked for again"
        )
    drawn_here = {name for each in made for name in each.keys}
    job.notes |= {
        "taken_over": sum(name not in drawn_here for name in names),
        "tokens": tokens,
        "tokens_sampled_now": sum(each.tokens for each in made if each.path not in held),
        **cost(made),
        "engine": next((each.figures for each in reversed(made) if each.figures), {}),
        "model": plan.model.digest,
        "sampling": plan.key,
    }


def cost(made: Sequence[Receipt]) -> dict[str, Any]:
    """Add up what all attempts and shares have spent on these rollouts; loading is not sampling.

    Workers sample side by side, so the longest of them is the time that it took.
    """
    workers = spent(made)
    seconds = max((each["seconds"] for each in workers.values()), default=0.0)
    tokens = sum(receipt.tokens for receipt in made)
    return {
        "tokens_per_second": round(tokens / seconds) if seconds else None,
        "sampling_seconds": seconds,
        "workers": workers,
    }
