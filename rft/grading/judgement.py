"""What is said of an answer: a verdict and how it came about, and which of several counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rft.grading.units import Unit, asked_for

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
