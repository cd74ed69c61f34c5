"""Judges answers against gold answers: exactly where that is safe, else with math-verify.

Both are written in one spelling first (spelling.py), and units are set apart (units.py). What
math-verify then calls equal has to be of one shape too (shapes.py), and, between numbers, close.
It runs in worker processes that are killed at the deadline, because its own timeouts hang or need
the main thread (Math-Verify#65). A judgement is a function of its (gold, answer) pair alone; only
whether a question asks for an answer's unit is looked up after it.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from importlib.metadata import version
from types import TracebackType
from typing import Self

from rft.grading.closed_forms import closed_form, value, without_case
from rft.grading.shapes import opened, same_shape
from rft.grading.spelling import canonical, with_names
from rft.grading.units import Unit, asked_for, split_unit
from rft.grading.verifier_pool import Comparison, Outcome, Pool
from rft.grading.verifier_worker import close

# Longer texts are not parsed: no answer in mathematics needs them, and parsing is slow on them.
MAX_LENGTH = 2000
# Answers that a worker gets at once, in number and in characters (what a pipe takes in one go).
JOB_ANSWERS = 64
JOB_LENGTH = 4000
# More workers than this win nothing: distinct pairs are few.
MAX_WORKERS = 16

# Plain numbers, which math-verify and everybody else read alike. Left to math-verify are
# `01,000`, and what is so long that it would round.
_NUMBER = re.compile(
    r"(?:\\?\$)?(-?)([0-9]{1,15}|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,4})?(\.[0-9]{1,14})?"
    r"(?: \\times 10\^\{(-?[0-9]{1,3})\})?",
    re.ASCII,
)
_DIGITS = 15
# math-verify compares decimals rounded to 6 places: nearer than this, it decides.
_NEAR = Fraction(1, 100_000)
_FAR, _MODERATE = Decimal("0.0001"), Decimal(10**9)
# A time of day is a text: 12:00 is no division by zero.
# A word, where a capital does not count: `True` and `true`; `AB` and `ab` differ.
_WORD = re.compile(r"[A-Za-z][a-z]{2,}", re.ASCII)
_AROUND_TIME = re.compile(r"\\(?:text|textrm|mathrm|mbox)(?![A-Za-z])|\\[,;: ]|[{}~]")
_TIME = re.compile(r"[0-2]?[0-9]:[0-5][0-9](:[0-5][0-9])?([ap]m)?", re.ASCII)

# From the verdict that decides to the one that says least. An answer that may match a gold is not
# wrong, so `timeout` comes before `wrong`; a gold that nobody can read says nothing.
PRECEDENCE = ("correct", "timeout", "wrong", "unparseable", "bad_gold", "no_answer")


@dataclass(frozen=True, slots=True)
class Judgement:
    """Gives a verdict and the path to it.

    `exact`, `numeric`, `closed_form`, `math_verify`, `text`: how the two were compared.
    `unit_ignored`: equal but for a unit that one of them lacks; `unit`, `shape`: equal but for
    another unit, or another kind of thing. `empty`, `too_long`: why they were not compared.
    `deadline`, `memory`, `crash`: how the worker was lost; the verdict is then `timeout`, or
    `bad_gold` where reading the gold alone did it.
    """

    verdict: str
    path: str
    unit: Unit | None = None
    """The unit that a question has to ask for or leave open: the answer's, or one in doubt."""


@dataclass(frozen=True)
class AnswerKey:
    """The accepted answers of a problem, and its question, where there is one."""

    golds: Sequence[str]
    question: str | None = None


@dataclass(frozen=True)
class Way:
    """One way in which a gold and an answer may be equal."""

    gold: str
    answer: str
    ignores_unit: bool = False
    unit: Unit | None = None


def judgement_of(
    key: AnswerKey, answer: str | None, judged: Mapping[tuple[str, str], Judgement]
) -> Judgement:
    """Combine the judgements of an answer: any match is correct, else the first of `timeout`,
    `wrong`, `unparseable`, `bad_gold` that any gold gave.
    """
    assert key.golds, "an answer needs at least one gold"
    if answer is None or not answer.strip():
        return Judgement("no_answer", "empty")
    each = [judged[gold, answer] for gold in key.golds]
    allowed = [
        Judgement("wrong", "unit")
        if one.unit is not None and not asked_for(key.question, one.unit)
        else one
        for one in each
    ]
    return min(allowed, key=lambda one: PRECEDENCE.index(one.verdict))


def at_first_sight(gold: str, answer: str) -> Judgement | None:
    """Judge what needs no reading: equal strings, nothing, too much."""
    gold, answer = gold.strip(), answer.strip()
    if not answer:
        return Judgement("no_answer", "empty")
    if gold == answer:
        return Judgement("correct", "exact")
    fault = _gold_fault(gold)
    if fault is not None:
        return fault
    return Judgement("unparseable", "too_long") if len(answer) > MAX_LENGTH else None


@lru_cache(maxsize=4096)
def measured(text: str) -> tuple[str, str, Unit | None]:
    """Write a text in one spelling: all of it, and without its unit, if it has one."""
    whole = canonical(text)
    if _is_time(whole):
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


def settle(gold: str, answer: str) -> Judgement | None:
    """Judge two texts in one spelling that need no parsing: equal ones, and plain numbers."""
    if "".join(gold.split()) == "".join(answer.split()):
        return Judgement("correct", "exact")
    if _WORD.fullmatch(gold) and _WORD.fullmatch(answer) and gold.lower() == answer.lower():
        return Judgement("correct", "text")
    if _is_time(gold) and _timed(gold) == _timed(answer):
        return Judgement("correct", "text")
    return _as_numbers(gold, answer) or _as_closed_forms(gold, answer)


def _as_numbers(gold: str, answer: str) -> Judgement | None:
    """Judge two plain numbers, unless they are so near that math-verify decides."""
    wanted, given = plain_number(gold), plain_number(answer)
    if wanted is None or given is None:
        return None
    if wanted == given:
        return Judgement("correct", "numeric")
    if abs(wanted - given) >= _NEAR or not close(wanted, given, (gold, answer)):
        return Judgement("wrong", "numeric")
    return None


def _as_closed_forms(gold: str, answer: str) -> Judgement | None:
    """Judge two sums that can be read exactly, or two points, intervals or sets of them.

    What is so near that math-verify may call it equal, it decides.
    """
    ours, theirs = opened(gold), opened(answer)
    if ours.brackets != theirs.brackets or len(ours.items) != len(theirs.items):
        return None
    each = [_same(*pair) for pair in zip(ours.items, theirs.items, strict=True)]
    if all(each) and same_shape(gold, answer):
        return Judgement("correct", "closed_form")
    # The ends of an interval may be empty, and a set has no order: those are math-verify's.
    in_order = ours.brackets in (("", ""), ("(", ")"))
    apart = in_order and False in each and None not in each
    return Judgement("wrong", "closed_form") if apart else None


def _same(gold: str, answer: str) -> bool | None:
    """Tell whether two sums are equal; None where they cannot be read or are too near to tell."""
    wanted, given = closed_form(gold), closed_form(answer)
    if wanted is None or given is None:
        return None
    if wanted == given:
        return True
    one, other = value(wanted), value(given)
    if one is None or other is None:  # two polynomials that differ
        return None if without_case(wanted) == without_case(given) else False
    far = abs(one - other) >= _FAR and max(abs(one), abs(other)) < _MODERATE
    return False if far else None


@lru_cache(maxsize=4096)
def plain_number(text: str) -> Fraction | None:
    r"""Read `42`, `-1.50`, `1,000`, `$18` or `3 \times 10^{8}` exactly; None for all else."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    sign, whole, decimals, exponent = match.groups(default="")
    digits = whole.replace(",", "") + decimals[1:]
    if not 0 < len(digits) <= _DIGITS:
        return None
    value = Fraction(int(digits), 10 ** len(decimals[1:])) * Fraction(10) ** int(exponent or 0)
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
        # The same, of two texts in one spelling, and the golds that were read.
        self._compared: dict[tuple[str, str], Judgement] = {}
        self._golds: dict[str, Judgement | None] = {}
        self._pool = Pool(
            deadline=deadline,
            workers=workers or min(MAX_WORKERS, _cores()),
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
            judgement = judgement or _as_numbers(gold.strip(), answer.strip())
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
        faults = {gold: _gold_fault(gold.strip()) for gold in distinct}
        unsure = {gold: measured(gold)[1] for gold in distinct if faults[gold] is None}
        self._consult({bare: [] for bare in unsure.values() if not _needs_no_reading(bare)})
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
            judgement = settle(*pair)
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
            if _is_time(gold) and self._golds[gold]:
                self._golds[gold] = None
                self._compared |= {
                    (gold, answer): Judgement("wrong", "text") for answer in hard[gold]
                }


def _gold_judgement(outcome: Outcome) -> Judgement | None:
    if outcome.word == "good":
        return None
    return Judgement("bad_gold", outcome.lost or "math_verify")


def _gold_fault(gold: str) -> Judgement | None:
    """Find what is wrong with a gold at first sight."""
    if not gold:
        return Judgement("bad_gold", "empty")
    return Judgement("bad_gold", "too_long") if len(gold) > MAX_LENGTH else None


def _needs_no_reading(gold: str) -> bool:
    return plain_number(gold) is not None or closed_form(gold) is not None or _is_time(gold)


def _is_time(text: str) -> bool:
    return _TIME.fullmatch(_timed(text)) is not None


def _timed(text: str) -> str:
    return "".join(_AROUND_TIME.sub("", text).casefold().replace(".", "").split())


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
