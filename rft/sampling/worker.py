"""The loop of every worker: take leases, sample what is missing of them, keep what is finished."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rft.engines import Finished, open_engine
from rft.estimates.forecast import described
from rft.progress import Progress
from rft.runs.stages import Job
from rft.sampling.plan import Asked, Plan
from rft.sampling.preflight import preflight
from rft.sampling.shards import Shelf
from rft.sampling.stock import Stock
from rft.sampling.waves import Lease, Waves


def leases_of(plan: Plan, count: int) -> list[Lease]:
    """Cut the problems into leases, of like length so that batches waste little."""
    ordered = sorted(plan.asked, key=lambda each: (len(each.prompt_ids), each.place))
    size = max(1, -(-len(ordered) // count))
    slices: list[Sequence[Asked]] = [
        ordered[start : start + size] for start in range(0, len(ordered), size)
    ]
    return list(enumerate(slices))


def progress_of(plan: Plan, asked: Sequence[Asked], stock: Stock) -> Progress:
    """Show rollouts, or problems where nobody knows how many rollouts there will be."""
    if plan.until:
        return Progress(f"{plan.stage} (problems)", len(asked))
    names = [each.name(index) for each in asked for index in range(each.n)]
    return Progress(plan.stage, len(names), sum(name in stock.known for name in names))


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
        self.shelf, self.stock = Shelf(folder, plan), Stock(job, folder)
        self.progress = None if show is None else progress_of(plan, show, self.stock)
        # A stream of draws is never begun twice: after a kill it would repeat itself.
        seed = plan.engine_seed(folder.name, self.shelf.number)
        self.engine = cache(lambda: open_engine(plan, seed))

    def preflight(self) -> None:
        """Do the first act of the first worker of a run."""
        ahead = preflight(self.job, self.plan, self.engine)
        if ahead is not None:
            self.job.say("\n".join(f"  {what:11}{text}" for what, text in described(ahead)))

    def work(self, leases: Iterator[Lease]) -> None:
        """Sample leases of problems until there are no more."""
        feed = Waves(
            self.plan,
            self._refreshed(leases),
            self.engine,
            pooled=self.stock.pooled,
            known=self.stock.known,
            rows=self.stock.rows,
            accept=self.job.accept,
            close=self._close,
            leased=self._leased,
            check=self.job.stop.check,
        )
        try:
            if feed.anything():
                engine = self.engine()
                self.shelf.start_clock()
                if self.progress:
                    self.progress.start_clock()
                check = self.job.stop.check
                for finished in engine.sample(feed, self.plan.sampling, check=check):
                    self._keep(finished)
                    feed.done(finished)
                    if self.shelf.due():
                        self._flush()
        finally:
            self._flush()
            feed.finish()
        if self.progress:
            self.progress.close()

    def _refreshed(self, leases: Iterator[Lease]) -> Iterator[Lease]:
        for lease in leases:
            self.stock.refresh()  # another worker may have died over this lease
            yield lease

    def _keep(self, finished: Sequence[Finished]) -> None:
        self.shelf.add(finished)
        tokens = sum(done.length or 0 for done in finished)
        self.tell({"rollouts": len(finished), "tokens": tokens})
        if self.progress:
            self.progress.advance(0 if self.plan.until else len(finished), tokens)

    def _close(self, place: str, drawn: int) -> None:
        self.shelf.close(place, drawn)
        if self.progress and self.plan.until:
            self.progress.advance(1)

    def _leased(self, number: int) -> None:
        # The receipts come first: whoever hears of the lease finds its rollouts.
        self._flush()
        self.tell({"done": number})

    def _flush(self) -> None:
        # Without rollouts the engine may never have been loaded, and need not be.
        self.shelf.flush(self.engine().figures() if self.shelf.waiting else {})
