"""The feed of an engine: problems asked wave after wave, until they are solved often enough.

A lease is a set of problems that one worker answers; a unit is what its engine samples together.
Wave w of a problem depends only on its earlier waves, so any order, any number of workers and any
resume ask for the same answers.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field

import polars as pl

from rft.engines import Engine, Finished, Request
from rft.runs.stages import Job
from rft.sampling.plan import Asked, Plan, rollout_rows
from rft.sampling.shards import Shards

Lease = tuple[int, Sequence[Asked]]


@dataclass
class _Group:
    """Problems that advance together: a whole lease, or one problem where batches may change."""

    lease: int
    open: list[Asked]
    drawn: int = 0
    """How many answers of each are asked for so far."""
    missing: set[str] = field(default_factory=set)


class Waves:
    """Give an engine units of requests, lease after lease and wave after wave."""

    def __init__(
        self,
        plan: Plan,
        leases: Iterator[Lease],
        engine: Callable[[], Engine],
        shards: Shards,
        job: Job,
    ):
        assert plan.until is None or job.accept is not None, "waves need somebody who accepts"
        self.plan, self.leases, self.engine = plan, leases, engine
        self.shards, self.job = shards, job
        self.finished_leases: list[int] = []
        """Leases of which no more is wanted, for whoever hands them back."""
        self.queue: deque[Sequence[Request]] = deque()
        self.owner: dict[str, _Group] = {}
        self.unfinished: dict[int, int] = {}
        self.more_leases = True
        self.ready: list[_Group] = []
        self.judging: tuple[Future[Collection[str]], list[_Group]] | None = None
        self.judge = ThreadPoolExecutor(max_workers=1)
        self.fresh: dict[str, list[Finished]] = {}

    def take(self, *, wait: bool) -> Sequence[Request] | None:
        """Give the next unit; with `wait`, None only when all is done."""
        while not self.queue:
            self._collect_judgement(wait=False)
            self._judge()
            if self.queue:
                break
            # Another lease before waiting: it may be that all of it is known.
            if self.more_leases:
                self._open_lease()
            elif self.judging and wait:
                self._collect_judgement(wait=True)
            else:
                return None
        return self.queue.popleft()

    def anything(self) -> bool:
        """Say whether there is anything to sample, having gone on as far as what is known goes."""
        unit = self.take(wait=True)
        if unit is not None:
            self.queue.appendleft(unit)
        return unit is not None

    def done(self, finished: Sequence[Finished]) -> None:
        """Note finished rollouts."""
        for each in finished:
            name = each.request.rollout_id
            group = self.owner.pop(name)
            group.missing.discard(name)
            if self.plan.until is not None:
                self.fresh.setdefault(each.request.problem_id, []).append(each)
            if not group.missing:
                self._wave_is_complete(group)

    def finish(self) -> None:
        """Give back the judge's thread."""
        self.judge.shutdown(wait=True, cancel_futures=True)

    def _open_lease(self) -> None:
        lease = next(self.leases, None)
        if lease is None:
            self.more_leases = False
            return
        self.shards.refresh()  # another worker may have died over this lease
        number, asked = lease
        together = [list(asked)] if self.plan.together else [[each] for each in asked]
        groups = [_Group(number, each) for each in together if each]
        self.unfinished[number] = len(groups)
        if not groups:
            self.finished_leases.append(number)
        for group in groups:
            self._next_wave(group)

    def _next_wave(self, group: _Group) -> None:
        """Ask for what is missing of a group's next wave."""
        until = self.plan.until
        end = group.drawn + until.wave if until else max(each.n for each in group.open)
        wanted = [
            each.request(index)
            for each in group.open
            for index in range(group.drawn, min(end, each.n))
        ]
        # Where tokens depend on their batch (`together`), units are cut out of all that was missing
        # when the plan began (not pooled), so that they are the same ones after a kill; those whose
        # answers are known by now are left out.
        known, pooled = self.shards.known, self.shards.pooled
        missing = [request for request in wanted if request.rollout_id not in pooled]
        if not self.plan.together:
            missing = [request for request in missing if request.rollout_id not in known]
        if any(request.rollout_id not in known for request in missing):
            for unit in self.engine().units(missing):
                if all(request.rollout_id in known for request in unit):
                    continue
                self.queue.append(unit)
                group.missing |= {request.rollout_id for request in unit}
                self.owner |= dict.fromkeys((request.rollout_id for request in unit), group)
        group.drawn = end
        if not group.missing:
            self._wave_is_complete(group)

    def _wave_is_complete(self, group: _Group) -> None:
        if self.plan.until is None:
            self._close(group, group.open)
        else:
            self.ready.append(group)

    def _close(self, group: _Group, solved: Sequence[Asked]) -> None:
        """Let go of problems that need no more; the others get their next wave."""
        gone = {each.place for each in solved}
        for each in solved:
            self.shards.close(each.place, min(group.drawn, each.n))
            self.fresh.pop(each.problem_id, None)
        group.open = [each for each in group.open if each.place not in gone]
        if group.open:
            self._next_wave(group)
            return
        self.unfinished[group.lease] -= 1
        if not self.unfinished[group.lease]:
            self.finished_leases.append(group.lease)

    def _judge(self) -> None:
        """Have the waves that are complete judged, in the background, while the engine works."""
        if self.judging is not None or not self.ready:
            return
        assert self.job.accept is not None
        groups, self.ready = self.ready, []
        asked = {each.problem_id for group in groups for each in group.open}
        names = [
            each.name(index)
            for group in groups
            for each in group.open
            for index in range(min(group.drawn, each.n))
        ]
        fresh = [done for name in asked for done in self.fresh.get(name, ())]
        new = rollout_rows(fresh, self.plan)
        have = set(new["rollout_id"])
        old = self.shards.rows([name for name in names if name not in have])
        rows = pl.concat([old, new]).sort("problem_id", "sample_index", "rollout_id")
        assert len(rows) == len(names), "a wave is judged without all of its rollouts"
        self.judging = (self.judge.submit(self.job.accept, rows), groups)

    def _collect_judgement(self, *, wait: bool) -> None:
        if self.judging is None:
            return
        future, groups = self.judging
        while wait and not future.done():
            self.job.stop.check()
            wait_for([future], timeout=0.2)
        if not future.done():
            return
        self.judging = None
        accepted = set(future.result())
        for group in groups:
            solved = [each for each in group.open if self._is_solved(each, group.drawn, accepted)]
            self._close(group, solved)

    def _is_solved(self, asked: Asked, drawn: int, accepted: set[str]) -> bool:
        assert self.plan.until is not None
        names = (asked.name(index) for index in range(min(drawn, asked.n)))
        return drawn >= asked.n or sum(n in accepted for n in names) >= self.plan.until.accepted
