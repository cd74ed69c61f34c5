"""Runs verification jobs in worker processes that a hostile pair can kill, but not hang."""

import os
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple

from rft.errors import RFTError
from rft.processes.child import GLANCE, Child

WORKER = Path(__file__).with_name("verifier_worker.py")
START_SECONDS = 120.0
# Starts that may fail in a row: one is bad luck on a full machine, three are a broken install.
STARTS = 3
# A worker that dies without a word may have been the victim of another process or of an earlier
# pair, so its pair is tried once more; a pair that does it twice is to blame.
TRIES = 2


class Comparison(NamedTuple):
    """Asks for a gold answer to be checked and for answers to be compared with it.

    Plain: the answers are whole texts, which math-verify reads by itself.
    """

    gold: str
    answers: list[str]
    plain: bool = False


class Outcome(NamedTuple):
    """Tells what became of a gold (`answer` is None) or of an answer: the worker's word, or else
    how the worker was lost: `deadline`, `memory` or `crash`.
    """

    gold: str
    answer: str | None
    word: str | None
    lost: str | None = None


@dataclass(eq=False)
class _Worker:
    child: Child
    due: float
    ready: bool = False
    job: Comparison | None = None
    # Words that came back for the job; the first is about its gold.
    words: int = 0
    fate: str = "crash"
    failure: str = "it ended at once"

    @property
    def awaited(self) -> bool:
        return self.job is not None or not self.ready

    @property
    def subject(self) -> str | None:
        assert self.job is not None
        return self.job.answers[self.words - 1] if self.words else None


class Pool:
    """Keeps up to `workers` processes, started when there is work, each killed when it is late."""

    def __init__(
        self,
        *,
        deadline: float,
        workers: int,
        memory_gb: float,
        script: Path = WORKER,
        words: Sequence[str] = (),
        called: str = "the math-verify worker",
        needs: str = "`python -c 'import math_verify'`",
    ) -> None:
        self.deadline = deadline
        self.workers = workers
        self.memory_gb = memory_gb
        self.script = script
        self.words = words
        self.called = called
        self.needs = needs
        # How many processes were ever started.
        self.started = 0
        self._staff: list[_Worker] = []
        self._failures = 0

    @property
    def pids(self) -> list[int]:
        """Name the living workers."""
        return [worker.child.process.pid for worker in self._staff]

    def run(self, jobs: Iterable[Comparison]) -> Iterator[Outcome]:
        """Yield the outcome of every gold and answer, as they come; a bad gold ends its jobs."""
        waiting = deque(jobs)
        bad: set[str] = set()
        lost: Counter[tuple[str, str | None]] = Counter()
        try:
            while waiting or any(worker.job for worker in self._staff):
                self._assign(waiting)
                for outcome in self._collect(waiting, lost):
                    if outcome.answer is None and outcome.word != "good":
                        bad.add(outcome.gold)
                    yield outcome
                while waiting and waiting[0].gold in bad:
                    waiting.popleft()
        except BaseException:
            # Workers in the middle of a job would answer the next caller's.
            self.close()
            raise

    def close(self) -> None:
        """Kill every worker; the next job starts new ones."""
        while self._staff:
            self._dismiss(self._staff[-1])

    def _assign(self, waiting: deque[Comparison]) -> None:
        wanted = len(waiting) - sum(worker.job is None for worker in self._staff)
        for _ in range(min(wanted, self.workers - len(self._staff))):
            self._staff.append(self._start())
        for worker in list(self._staff):
            if waiting and worker.ready and worker.job is None:
                self._give(worker, waiting)

    def _give(self, worker: _Worker, waiting: deque[Comparison]) -> None:
        job = waiting.popleft()
        if worker.child.tell(job._asdict()):
            worker.job, worker.words = job, 0
            worker.due = time.monotonic() + self.deadline
        else:
            # It died idle: the job is not to blame, and goes to the next one.
            waiting.appendleft(job)
            self._dismiss(worker)
            self._start_failed("it ended while it was idle", final=False)

    def _collect(
        self, waiting: deque[Comparison], lost: Counter[tuple[str, str | None]]
    ) -> Iterator[Outcome]:
        """Wait for words, and see off the workers that died or are late."""
        dues = [worker.due for worker in self._staff if worker.awaited]
        before = time.monotonic()
        # In glances: after one long wait nobody could tell a suspended worker from a late one.
        timeout = min(max(0.0, min(dues, default=before) - before), GLANCE)
        readable = set(wait([worker.child.output for worker in self._staff], timeout))
        now = time.monotonic()
        # When we were stopped ourselves (a scheduler's suspend), so were the workers.
        stalled = max(0.0, now - before - timeout)
        for worker in list(self._staff):
            worker.due += stalled
            if worker.child.output in readable:
                words = worker.child.lines()
                if words is None:
                    yield from self._bury(worker, waiting, lost)
                else:
                    yield from self._hear(worker, words)
            elif worker.awaited and worker.due <= now:
                worker.fate, worker.failure = "deadline", f"no word in {START_SECONDS:g} s"
                yield from self._bury(worker, waiting, lost)

    def _hear(self, worker: _Worker, words: Sequence[str]) -> Iterator[Outcome]:
        for word in words:
            worker.due = time.monotonic() + self.deadline
            if word == "memory":
                worker.fate = "memory"
            elif word == "ready":
                worker.ready = True
            elif not worker.ready:
                worker.failure = word
            elif worker.job is not None:
                self._failures = 0
                yield Outcome(worker.job.gold, worker.subject, word)
                worker.words += 1
                if word == "bad" or worker.words > len(worker.job.answers):
                    worker.job = None

    def _bury(
        self, worker: _Worker, waiting: deque[Comparison], lost: Counter[tuple[str, str | None]]
    ) -> Iterator[Outcome]:
        """Remove a worker, blame what it was at, and hand the rest of its job to another."""
        self._dismiss(worker)
        # Its own limit on CPU time is a deadline too, should we have been slow.
        if worker.child.process.returncode == -signal.SIGXCPU:
            worker.fate = "deadline"
        if not worker.ready:
            # One that could say why would say it again.
            self._start_failed(worker.failure, final=worker.failure.startswith("failed"))
        if worker.job is None:
            return
        gold, subject = worker.job.gold, worker.subject
        lost[gold, subject] += 1
        done = max(0, worker.words - 1)
        if worker.fate == "deadline" or lost[gold, subject] == TRIES:
            yield Outcome(gold, subject, None, worker.fate)
            done += 1
            if subject is None:
                return
        if subject is None or done < len(worker.job.answers):
            waiting.appendleft(worker.job._replace(answers=worker.job.answers[done:]))

    def _start(self) -> _Worker:
        # sympy orders some things by hash: a fixed seed makes the verdicts repeat.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        child = Child(
            # -P: the folder of the script holds our modules, which must not shadow anybody's.
            [
                *(sys.executable, "-P", str(self.script)),
                *(str(self.deadline), str(self.memory_gb), *self.words),
            ],
            env=environment,
            piped=True,
            silent=True,
        )
        self.started += 1
        return _Worker(child, due=time.monotonic() + START_SECONDS)

    def _start_failed(self, reason: str, *, final: bool) -> None:
        self._failures += 1
        if final or self._failures == STARTS:
            self._failures = 0
            raise RFTError(
                f"{self.called} does not start ({reason}): check that {self.needs} works here and "
                "that memory is free"
            )

    def _dismiss(self, worker: _Worker) -> None:
        self._staff.remove(worker)
        worker.child.end()
