"""Labels where no gold is known: the answer that most of a problem's own rollouts agree on (TTRL).

Self-consistency as a label (arXiv 2504.16084): answers that are one as mathematics form a class,
and a class of enough rollouts is what the others are judged by. It is no gold: a model that is
mostly wrong is taught its own mistake.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rft.grading.judgement import AnswerKey, Judgement, judgement_of
from rft.grading.method import Judges

# The paths of verdicts with a label, and without one.
MAJORITY, NO_MAJORITY = "majority", "no_majority"


@dataclass
class Agreeing:
    """Answers that are one, by the first of them, and how many rollouts gave them."""

    answer: str
    rollouts: int


def by_majority(
    problems: Sequence[str],
    answers: Sequence[str | None],
    keys: Mapping[str, AnswerKey],
    verifier: Judges,
    *,
    at_least: float,
) -> list[Judgement]:
    """Judge each answer by the label that its problem's rollouts give; all of them have to be here.

    Of a key its question alone is read. Without a label an answer is neither right nor wrong: its
    gold is a bad one.
    """
    given: dict[str, Counter[str]] = {}
    for name, answer in zip(problems, answers, strict=True):
        counted = given.setdefault(name, Counter())
        if answer is not None and answer.strip():
            counted[answer] += 1
    # The most frequent first, so that a label is an answer as most have written it.
    ordered = {
        name: [answer for _, answer in sorted((-n, answer) for answer, n in counted.items())]
        for name, counted in given.items()
    }
    judged = verifier.verdicts(
        (one, other)
        for each in ordered.values()
        for place, one in enumerate(each)
        for other in each[place:]
    )
    drawn = Counter(problems)
    labels: dict[str, AnswerKey | None] = {}
    for name, each in ordered.items():
        question = keys[name].question if name in keys else None
        classes = classes_of(each, given[name], question, judged)
        label = label_of(classes, drawn[name], at_least)
        labels[name] = None if label is None else AnswerKey([label], question)
    by_label = [
        (label.golds[0], answer)
        for name, label in labels.items()
        for answer in ordered[name]
        if label is not None
    ]
    judged = verifier.verdicts(by_label)
    return [
        judged_by(labels[name], answer, judged)
        for name, answer in zip(problems, answers, strict=True)
    ]


def classes_of(
    answers: Sequence[str],
    counted: Mapping[str, int],
    question: str | None,
    judged: Mapping[tuple[str, str], Judgement],
) -> list[Agreeing]:
    """Put each answer into the first class whose answer it is equal to, or make a new one of it."""
    classes: list[Agreeing] = []
    for answer in answers:
        for one in classes:
            key = AnswerKey([one.answer], question)
            if judgement_of(key, answer, judged).verdict == "correct":
                one.rollouts += counted[answer]
                break
        else:
            classes.append(Agreeing(answer, counted[answer]))
    return classes


def label_of(classes: Sequence[Agreeing], rollouts: int, at_least: float) -> str | None:
    """Give the answer of the largest class, if it is large enough and no other is as large."""
    sizes = sorted((one.rollouts for one in classes), reverse=True)
    if not sizes or sizes[0] < at_least * rollouts or sizes[1:2] == sizes[:1]:
        return None
    return next(one.answer for one in classes if one.rollouts == sizes[0])


def judged_by(
    label: AnswerKey | None, answer: str | None, judged: Mapping[tuple[str, str], Judgement]
) -> Judgement:
    """Judge an answer by a label, if there is one."""
    if answer is None or not answer.strip():
        return Judgement("no_answer", "empty")
    if label is None:
        return Judgement("bad_gold", NO_MAJORITY)
    return Judgement(judgement_of(label, answer, judged).verdict, MAJORITY)
