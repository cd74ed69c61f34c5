"""Several engines at once: a child process for each, fed with leases, replaced when it dies.

A worker asks for a lease by a line on its standard output and gets a line with the lease's number,
or null, on its standard input. Both sides cut the same leases out of the plan. Rollouts travel by
disk alone: the worker's own shards and receipts.
"""

import json
import os
import selectors
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from rft.errors import Interrupted
from rft.processes.child import Child, fate
from rft.processes.devices import accelerators
from rft.runs.stages import Job
from rft.sampling.plan import Plan
from rft.sampling.shards import FinishedRollouts, receipts
from rft.sampling.waves import Lease
from rft.sampling.worker import Worker, leases_of, progress_of

# Small enough that all workers end together, large enough to keep a batch full.
LEASES_EACH = 8
# A worker that dies without having finished anything is replaced this often.
LIVES = 2


def environment(slot: int, count: int, groups: list[str]) -> dict[str, str]:
    """Give a worker its accelerators, cache folders and ports: shared ones make them collide."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rft"
    own = caches / f"worker-{slot}"
    own_places = {
        "VLLM_CACHE_ROOT": str(own / "vllm"),
        "TORCHINDUCTOR_CACHE_DIR": str(own / "inductor"),
        "TRITON_CACHE_DIR": str(own / "triton"),
        "VLLM_PORT": str(29600 + 100 * slot),
        "MASTER_PORT": str(29650 + 100 * slot),
    }
    if groups:
        return own_places | {"CUDA_VISIBLE_DEVICES": groups[slot]}
    return own_places | {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // count))}


@dataclass(eq=False)
class _Worker:
    """A worker's process, and what it is at."""

    slot: int
    child: Child
    lives: int
    leases: list[int] = field(default_factory=list)
    tokens: int = 0


def run(job: Job, plan: Plan, workers: int) -> None:
    """Have children sample the plan, and see to it that every lease gets done."""
    _Pool(job, plan, workers).work()


class _Pool:
    """The workers of one stage."""

    def __init__(self, job: Job, plan: Plan, workers: int):
        self.job, self.plan, self.workers = job, plan, workers
        self.groups = accelerators(plan.run.recipe.engine)
        closed: set[str] = set()
        for receipt in receipts(job.work, job.key):
            closed |= receipt.closed.keys()
        self.todo = deque(
            number
            for number, asked in leases_of(plan, LEASES_EACH * workers)
            if any(each.place not in closed for each in asked)
        )
        self.alive: dict[int, _Worker] = {}
        self.started: set[int] = set()
        self.selector = selectors.DefaultSelector()
        self.progress = progress_of(plan, plan.asked, FinishedRollouts(job))
        self.asked_to_stop = False

    def work(self) -> None:
        """Start, feed and replace workers until all leases are done."""
        if not self.todo:
            return
        try:
            self._start(0, LIVES)
            while self.alive:
                for key, _ in self.selector.select(timeout=0.2):
                    self._hear(key.data)
                if self.job.stop.asked() and not self.asked_to_stop:
                    self.asked_to_stop = True
                    for worker in self.alive.values():
                        worker.child.ask_to_stop()
            self.job.stop.check()
        finally:
            for worker in self.alive.values():
                worker.child.end()
            self.selector.close()
        if self.todo:
            raise Interrupted(
                f"{self.job.run.path}: no worker of `{self.plan.stage}` is left, and "
                f"{len(self.todo)} leases are not done; what is finished is kept"
            )
        self.progress.close()

    def _start(self, slot: int, lives: int) -> None:
        self.started.add(slot)
        command = [sys.executable, "-m", "rft", "worker", str(self.job.run.path), self.plan.stage]
        command += ["--round", str(self.plan.round), "--slot", str(slot)]
        command += ["--of", str(self.workers), "--grace", f"{self.job.stop.grace}s"]
        own = environment(slot, self.workers, self.groups)
        child = Child(command, env=os.environ | own, piped=True)
        worker = self.alive[slot] = _Worker(slot, child, lives)
        self.selector.register(child.output, selectors.EVENT_READ, worker)

    def _hear(self, worker: _Worker) -> None:
        lines = worker.child.lines()
        if lines is None:
            self._bury(worker)
            return
        for line in map(json.loads, lines):
            if "ready" in line:
                self._ready()
            elif "want" in line:
                lease = self.todo.popleft() if self.todo and not self.asked_to_stop else None
                if lease is not None:
                    worker.leases.append(lease)
                worker.child.tell(lease)
            elif "done" in line:
                worker.leases.remove(line["done"])
                worker.lives = LIVES
                if self.plan.until:
                    self.progress.advance(line["problems"])
            else:
                worker.tokens += line["tokens"]
                self.progress.advance(0 if self.plan.until else line["rollouts"], line["tokens"])
                self.progress.parts[f"worker {worker.slot}"] = worker.tokens

    def _ready(self) -> None:
        """Start the other workers once the first one has made the preflight."""
        if not self.progress.tokens:
            self.progress.start_clock()
        for slot in range(self.workers):
            if slot not in self.started and self.todo:
                self._start(slot, LIVES)

    def _bury(self, worker: _Worker) -> None:
        """Take a dead worker's leases back, and replace it if there is use for another."""
        self.selector.unregister(worker.child.output)
        code = worker.child.process.wait()
        worker.child.end()
        del self.alive[worker.slot]
        self.todo.extendleft(reversed(worker.leases))
        if code == 0 or self.asked_to_stop:
            return
        if code in (1, 2):  # it has said why, and the next one would say the same
            raise SystemExit(code)
        self.job.run.event("lost", stage=self.plan.stage, round=self.plan.round, worker=worker.slot)
        again = worker.lives > 0
        self.job.say(
            f"worker {worker.slot} was {fate(code)}; its finished rollouts are kept"
            + (", another takes its place" if again else "")
        )
        if again:
            self._start(worker.slot, worker.lives - 1)


def serve(job: Job, plan: Plan, slot: int, workers: int, replies: IO[str], said: IO[str]) -> None:
    """Work as a child: ask for leases, sample them, tell how it goes."""
    all_leases = dict(leases_of(plan, LEASES_EACH * workers))

    def tell(message: dict[str, Any]) -> None:
        if "done" in message:
            message = message | {"problems": len(all_leases[message["done"]])}
        said.write(json.dumps(message) + "\n")
        said.flush()

    def given() -> Iterator[Lease]:
        while True:
            tell({"want": 1})
            line = replies.readline()
            number = json.loads(line) if line else None
            if number is None:
                return
            yield number, all_leases[number]

    worker = Worker(job, plan, job.work / f"worker-{slot}", tell=tell)
    worker.preflight()
    tell({"ready": 1})
    worker.work(given())
