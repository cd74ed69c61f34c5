"""The loop of every worker: take leases, sample what is missing of them, keep what is finished."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rft.engines import Finished, open_engine
from rft.estimates.forecast import described
from rft.processes.progress import Progress
from rft.runs.stages import Job
from rft.sampling.plan import Asked, Plan
from rft.sampling.preflight import preflight
from rft.sampling.shards import FinishedRollouts, Shards
from rft.sampling.waves import Lease, Waves


def leases_of(plan: Plan, count: int) -> list[Lease]:
    """Cut the problems into leases, of like length so that batches waste little."""
    ordered = sorted(plan.asked, key=lambda each: (len(each.prompt_ids), each.place))
    size = max(1, -(-len(ordered) // count))
    slices: list[Sequence[Asked]] = [
        ordered[start : start + size] for start in range(0, len(ordered), size)
    ]
    return list(enumerate(slices))


def progress_of(plan: Plan, asked: Sequence[Asked], finished: FinishedRollouts) -> Progress:
    """Show rollouts, or problems where nobody knows how many rollouts there will be."""
    if plan.until:
        return Progress(f"{plan.stage} (problems)", len(asked))
    names = [each.name(index) for each in asked for index in range(each.n)]
    return Progress(plan.stage, len(names), sum(name in finished.known for name in names))


class Worker:
    """One engine and the folder of its rollouts."""

    def __init__(
        self,
        job: Job,
        plan: Plan,
        folder: Path,
        *,
        show: Sequence[Asked] | None = None,
        tell: Callable[[dict[str, Any]], None] = lambda _message: None,
    ):
        self.job, self.plan, self.tell = job, plan, tell
        self.shards = Shards(job, plan, folder)
        self.progress = None if show is None else progress_of(plan, show, self.shards)
        # A stream of draws is never begun twice: after a kill it would repeat itself.
        seed = plan.engine_seed(folder.name, self.shards.number)
        self.engine = cache(lambda: open_engine(plan, seed))

    def preflight(self) -> None:
        """Do the first act of the first worker of a run."""
        ahead = preflight(self.job, self.plan, self.engine)
        if ahead is not None:
            for what, text in described(ahead):
                self.job.say(f"  {what:11}{text}")

    def work(self, leases: Iterator[Lease]) -> None:
        """Sample leases of problems until there are no more."""
        feed = Waves(self.plan, leases, self.engine, self.shards, self.job)
        try:
            if feed.anything():
                engine = self.engine()
                self.shards.start_clock()
                if self.progress:
                    self.progress.start_clock()
                check = self.job.stop.check
                for finished in engine.sample(feed, self.plan.sampling, check=check):
                    self._keep(finished)
                    feed.done(finished)
                    if self.shards.due() or feed.finished_leases:
                        self._flush(feed)
        finally:
            self._flush(feed)
            feed.finish()
        if self.progress:
            self.progress.close()

    def _keep(self, finished: Sequence[Finished]) -> None:
        self.shards.add(finished)
        tokens = sum(done.length or 0 for done in finished)
        self.tell({"rollouts": len(finished), "tokens": tokens})
        if self.progress:
            self.progress.advance(0 if self.plan.until else len(finished), tokens)

    def _flush(self, feed: Waves) -> None:
        """Write what is finished, then hand back the leases of which no more is wanted."""
        if self.progress and self.plan.until:
            self.progress.advance(len(self.shards.closed))
        # Without rollouts the engine may never have been loaded, and need not be.
        self.shards.flush(self.engine().figures() if self.shards.waiting else {})
        # The receipts come first: whoever hears of the lease finds its rollouts.
        while feed.finished_leases:
            self.tell({"done": feed.finished_leases.pop(0)})
