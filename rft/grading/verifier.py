"""Judges answers against gold answers: exactly where that is safe, else with math-verify.

math-verify runs in worker processes that are killed at the deadline, because its own timeouts hang
or need the main thread (Math-Verify#65). A verdict is a function of its (gold, answer) pair alone.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib.metadata import version
from types import TracebackType
from typing import Self

from rft.grading.verifier_pool import Comparison, Outcome, Pool

# Longer texts are not parsed: no answer in mathematics needs them, and parsing is slow on them.
MAX_LENGTH = 2000
# Answers that a worker gets at once, in number and in characters (what a pipe takes in one go).
JOB_ANSWERS = 64
JOB_LENGTH = 4000
# More workers than this win nothing: distinct pairs are few.
MAX_WORKERS = 16

# Plain numbers, which math-verify and everybody else read alike. Left to math-verify are percent,
# exponents, `01,000`, and what is so long that it would round.
_NUMBER = re.compile(
    r"(?:\\?\$)?(-?)([0-9]{1,15}|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,4})?(\.[0-9]{1,14})?", re.ASCII
)
_DIGITS = 15
# math-verify compares decimals rounded to 6 places: nearer than this, it decides.
_NEAR = Fraction(1, 100_000)

# From the verdict that decides to the one that says least. An answer that may match a gold is not
# wrong, so `timeout` comes before `wrong`; a gold that nobody can read says nothing.
_PRECEDENCE = ("correct", "timeout", "wrong", "unparseable", "bad_gold")


@dataclass(frozen=True, slots=True)
class Judgement:
    """Gives a verdict and the path to it.

    `exact`, `numeric`, `math_verify`: how the two were compared. `empty`, `too_long`: why they were
    not. `deadline`, `memory`, `crash`: how the worker was lost; the verdict is then `timeout`, or
    `bad_gold` where reading the gold alone did it.
    """

    verdict: str
    path: str


def verifier_name() -> str:
    """Name the verifier and its version, as the table of verdicts records it."""
    return f"math-verify {version('math-verify')}"


def verdict_of(
    golds: Sequence[str], answer: str | None, judged: Mapping[tuple[str, str], Judgement]
) -> str:
    """Combine the judgements of an answer: any match is correct, else the first of `timeout`,
    `wrong`, `unparseable`, `bad_gold` that any gold gave.
    """
    assert golds, "an answer needs at least one gold"
    if answer is None or not answer.strip():
        return "no_answer"
    return min((judged[gold, answer].verdict for gold in golds), key=_PRECEDENCE.index)


def settle(gold: str, answer: str) -> Judgement | None:
    """Judge a pair that needs no parsing: equal strings, plain numbers, nothing, too much."""
    gold, answer = gold.strip(), answer.strip()
    if not answer:
        return Judgement("no_answer", "empty")
    if gold == answer:
        return Judgement("correct", "exact")
    fault = _gold_fault(gold)
    if fault is not None:
        return fault
    if len(answer) > MAX_LENGTH:
        return Judgement("unparseable", "too_long")
    wanted, given = plain_number(gold), plain_number(answer)
    if wanted is None or given is None:
        return None
    if wanted == given:
        return Judgement("correct", "numeric")
    return Judgement("wrong", "numeric") if abs(wanted - given) >= _NEAR else None


@lru_cache(maxsize=4096)
def plain_number(text: str) -> Fraction | None:
    """Read `42`, `-1.50`, `1,000` or `$18` exactly; None for everything else."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    sign, whole, decimals = match.groups(default="")
    digits = whole.replace(",", "") + decimals[1:]
    if not 0 < len(digits) <= _DIGITS:
        return None
    value = Fraction(int(digits), 10 ** len(decimals[1:]))
    return -value if sign else value


class Verifier:
    """Judges pairs, each distinct one once; workers start with the first pair that needs one.

    `deadline` is the wall time of one pair in seconds, `memory_gb` the address space of one worker
    (enforced on Linux; macOS ignores it). Not for several threads at a time.
    """

    def __init__(
        self, *, deadline: float = 5.0, workers: int | None = None, memory_gb: float = 4
    ) -> None:
        # Every judgement so far, except of texts too long to parse: they may fill the memory.
        self.judged: dict[tuple[str, str], Judgement] = {}
        self._golds: dict[str, Judgement | None] = {}
        self._pool = Pool(
            deadline=deadline,
            workers=workers or min(MAX_WORKERS, _cores()),
            memory_gb=memory_gb,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

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
        hard: dict[str, list[str]] = {}
        for pair in dict.fromkeys(pairs):
            judgement = self.judged.get(pair) or settle(*pair)
            if judgement is None:
                hard.setdefault(pair[0], []).append(pair[1])
            else:
                judged[pair] = judgement
        self._consult(hard)
        for gold, answers in hard.items():
            for answer in answers:
                judged[gold, answer] = self._golds[gold] or self.judged[gold, answer]
        self.judged.update(
            (pair, judgement) for pair, judgement in judged.items() if judgement.path != "too_long"
        )
        return judged

    def bad_golds(self, golds: Iterable[str]) -> dict[str, Judgement]:
        """Find the golds that do not parse, do not equal themselves, or take too long to tell."""
        distinct = list(dict.fromkeys(golds))
        faults = {gold: _gold_fault(gold.strip()) for gold in distinct}
        unsure = [gold for gold in distinct if faults[gold] is None and not _plain(gold)]
        self._consult({gold: [] for gold in unsure if gold not in self._golds})
        faults |= {gold: self._golds[gold] for gold in unsure}
        return {gold: fault for gold, fault in faults.items() if fault is not None}

    def _consult(self, hard: Mapping[str, list[str]]) -> None:
        """Ask the workers, and record what they say or that they died of it."""
        unread = {gold: answers for gold, answers in hard.items() if not self._golds.get(gold)}
        for outcome in self._pool.run(_jobs(unread)):
            if outcome.answer is None:
                # Bad stays bad: the answers of a job that was dropped have no other judgement.
                known = self._golds.get(outcome.gold)
                self._golds[outcome.gold] = known or _gold_judgement(outcome)
            else:
                self.judged[outcome.gold, outcome.answer] = (
                    Judgement("timeout", outcome.lost)
                    if outcome.lost
                    else Judgement(str(outcome.word), "math_verify")
                )


def _gold_judgement(outcome: Outcome) -> Judgement | None:
    if outcome.word == "good":
        return None
    return Judgement("bad_gold", outcome.lost or "math_verify")


def _gold_fault(gold: str) -> Judgement | None:
    """Find what is wrong with a gold at first sight."""
    if not gold:
        return Judgement("bad_gold", "empty")
    return Judgement("bad_gold", "too_long") if len(gold) > MAX_LENGTH else None


def _plain(gold: str) -> bool:
    return plain_number(gold.strip()) is not None


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


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
