"""Judges answers against gold answers: exactly where that is safe, else with math-verify.

Both are written in one spelling first (spelling.py), and units are set apart (units.py). What
math-verify then calls equal has to be of one shape too (shapes.py), and, between numbers, close.
It runs in worker processes that are killed at the deadline, because its own timeouts hang or need
the main thread (Math-Verify#65). A judgement is a function of its (gold, answer) pair alone; only
whether a question asks for an answer's unit is looked up after it.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from types import TracebackType
from typing import Self

from rft.grading.at_sight import (
    as_numbers,
    at_first_sight,
    gold_fault,
    is_time,
    needs_no_reading,
    settle,
)
from rft.grading.judgement import Judgement
from rft.grading.known_verdicts import KnownVerdicts
from rft.grading.shapes import same_shape
from rft.grading.spelling import canonical, with_names
from rft.grading.units import Unit, split_unit
from rft.grading.verifier_pool import Comparison, Outcome, Pool

# Answers that a worker gets at once, in number and in characters (what a pipe takes in one go).
JOB_ANSWERS = 64
JOB_LENGTH = 4000
# The address space of a worker.
MEMORY_GB = 4.0
# More workers than this win nothing: distinct pairs are few.
MAX_WORKERS = 16


@dataclass(frozen=True)
class Way:
    """One way in which a gold and an answer may be equal."""

    gold: str
    answer: str
    ignores_unit: bool = False
    unit: Unit | None = None


@lru_cache(maxsize=4096)
def measured(text: str) -> tuple[str, str, Unit | None]:
    """Write a text in one spelling: all of it, and without its unit, if it has one."""
    whole = canonical(text)
    if is_time(whole):
        return whole, whole, None
    rest, unit = split_unit(whole)
    kept = with_names(whole)
    return kept, with_names(canonical(rest)) if unit else kept, unit


def ways(gold: str, answer: str) -> list[Way]:
    """List the ways in which two texts may be equal, the likelier first; none if units differ."""
    (gold, bare_gold, wanted), (answer, bare, given) = measured(gold), measured(answer)
    if wanted and given:
        if wanted.is_doubtful and given.is_doubtful and wanted.written != given.written:
            return [Way(gold, answer)]
        if wanted.name == given.name:
            return [Way(bare_gold, bare)]
        if wanted.kind and given.kind:
            return []
        return [Way(bare_gold, bare, True, given)]
    if given:
        without = Way(gold, bare, True, given)
        if given.kind == "share":
            return [Way(gold, hundredth(bare)), without]
        # A letter that the gold has as well may be a variable; else only a unit makes them equal.
        variable = given.is_doubtful and given.written in gold
        return [Way(gold, answer), without] if variable else [without]
    if wanted:
        in_doubt = wanted.is_doubtful and wanted.attached
        without = Way(bare_gold, answer, True, wanted if in_doubt else None)
        if wanted.kind == "share":
            return [without, Way(hundredth(bare_gold), answer)]
        variable = wanted.is_doubtful and wanted.written in answer
        return [Way(gold, answer), without] if variable else [without]
    return [Way(gold, answer)]


def hundredth(text: str) -> str:
    """Write a number of percent as the share that it is."""
    return rf"\frac{{{text}}}{{100}}"


class Verifier:
    """Judges pairs, each distinct one once; workers start with the first pair that needs one.

    `deadline` is the wall time of one pair in seconds, `memory_gb` the address space of one worker
    (enforced on Linux; macOS ignores it). `known` is what earlier gradings found out, to which this
    one adds at its end. Not for several threads at a time.
    """

    def __init__(
        self,
        *,
        deadline: float = 5.0,
        workers: int | None = None,
        memory_gb: float = MEMORY_GB,
        known: KnownVerdicts | None = None,
    ) -> None:
        # Every judgement so far, except of texts too long to parse: they may fill the memory.
        self.judged: dict[tuple[str, str], Judgement] = {}
        # The same, of two texts in one spelling, and the golds that were read.
        self._compared: dict[tuple[str, str], Judgement] = {}
        self._golds: dict[str, Judgement | None] = {}
        self._known = known
        self._pool = Pool(
            deadline=deadline,
            workers=workers or min(MAX_WORKERS, cores()),
            memory_gb=memory_gb,
        )

    @property
    def name(self) -> str:
        """Name the verifier and its version, as the table of verdicts records it."""
        return f"math-verify {version('math-verify')}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        if self._known is not None:
            self._known.save()

    @property
    def pids(self) -> list[int]:
        """Name the workers that live now."""
        return self._pool.pids

    @property
    def started(self) -> int:
        """Count the workers that were ever started."""
        return self._pool.started

    def close(self) -> None:
        """End the workers; the judgements stay."""
        self._pool.close()

    def verdicts(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Judgement]:
        """Judge each distinct (gold, answer) pair."""
        judged: dict[tuple[str, str], Judgement] = {}
        hard: dict[tuple[str, str], list[Way]] = {}
        for pair in dict.fromkeys(pairs):
            gold, answer = pair
            judgement = self.judged.get(pair) or at_first_sight(gold, answer)
            # Most are plain numbers, which need no other spelling.
            judgement = judgement or as_numbers(gold.strip(), answer.strip())
            if judgement is None:
                hard[pair] = ways(*pair)
            else:
                judged[pair] = judgement
        self._compare((way.gold, way.answer) for each in hard.values() for way in each)
        judged |= {pair: self._best(each) for pair, each in hard.items()}
        self.judged.update(
            (pair, judgement) for pair, judgement in judged.items() if judgement.path != "too_long"
        )
        return judged

    def bad_golds(self, golds: Iterable[str]) -> dict[str, Judgement]:
        """Find the golds that only an equal text could match: nobody can read them, or too long."""
        distinct = list(dict.fromkeys(golds))
        faults = {gold: gold_fault(gold.strip()) for gold in distinct}
        unsure = {gold: measured(gold)[1] for gold in distinct if faults[gold] is None}
        self._consult({bare: [] for bare in unsure.values() if not needs_no_reading(bare)})
        faults |= {gold: self._golds.get(bare) for gold, bare in unsure.items()}
        return {gold: fault for gold, fault in faults.items() if fault is not None}

    def _best(self, each: Sequence[Way]) -> Judgement:
        """Take the first way in which a pair is equal, or else what the likeliest came to."""
        if not each:
            return Judgement("wrong", "unit")
        for way in each:
            judgement = self._compared[way.gold, way.answer]
            if judgement.verdict == "correct":
                path = "unit_ignored" if way.ignores_unit else judgement.path
                return Judgement("correct", path, way.unit)
        return self._compared[each[0].gold, each[0].answer]

    def _compare(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Compare texts in one spelling, and record what came of it."""
        unread: dict[str, list[str]] = {}
        for pair in dict.fromkeys(pairs):
            if pair in self._compared:
                continue
            judgement = settle(*pair) or (self._known.get(pair) if self._known else None)
            if judgement is None:
                unread.setdefault(pair[0], []).append(pair[1])
            else:
                self._compared[pair] = judgement
        self._consult(unread)
        for gold, answers in unread.items():
            for answer in answers:
                judgement = self._golds.get(gold) or self._compared[gold, answer]
                if judgement.verdict == "correct" and not same_shape(gold, answer):
                    judgement = Judgement("wrong", "shape")
                self._compared[gold, answer] = judgement
                if self._known is not None:
                    self._known.learn((gold, answer), judgement)

    def _consult(self, hard: Mapping[str, list[str]]) -> None:
        """Ask the workers, and record what they say or that they died of it."""
        unread = {
            gold: answers
            for gold, answers in hard.items()
            if (answers and not self._golds.get(gold)) or gold not in self._golds
        }
        for outcome in self._pool.run(_jobs(unread)):
            if outcome.answer is None:
                # Bad stays bad: the answers of a job that was dropped have no other judgement.
                known = self._golds.get(outcome.gold)
                self._golds[outcome.gold] = known or _gold_judgement(outcome)
            else:
                self._compared[outcome.gold, outcome.answer] = (
                    Judgement("timeout", outcome.lost)
                    if outcome.lost
                    else Judgement(str(outcome.word), "math_verify")
                )
        for gold in unread:
            # What is compared as a text is never unreadable.
            if is_time(gold) and self._golds[gold]:
                self._golds[gold] = None
                self._compared |= {
                    (gold, answer): Judgement("wrong", "text") for answer in hard[gold]
                }


def _gold_judgement(outcome: Outcome) -> Judgement | None:
    if outcome.word == "good":
        return None
    return Judgement("bad_gold", outcome.lost or "math_verify")


def _jobs(hard: Mapping[str, list[str]]) -> Iterator[Comparison]:
    """Cut the answers to each gold into jobs of limited size."""
    for gold, answers in hard.items():
        job: list[str] = []
        length = 0
        for answer in answers:
            if len(job) == JOB_ANSWERS or (job and length + len(answer) > JOB_LENGTH):
                yield Comparison(gold, job)
                job, length = [], 0
            job.append(answer)
            length += len(answer)
        yield Comparison(gold, job)


def cores() -> int:
    """Count the cores that we may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
