r"""What a completion's answer may be to a lenient reader: in the first box, the last, or none.

Beside the strict number, which asks for the right answer in the first box that holds one, it tells
how much of a gain is skill, and how much the habit of boxing.
"""

import re
from collections.abc import Mapping, Sequence

from rft.grading.answers import NO_FORM, Form, read
from rft.grading.grade import judge
from rft.grading.judgement import PRECEDENCE, AnswerKey
from rft.grading.method import Judges

# The end of a completion is where the answer is; a search of no more stays cheap.
LAST = 2_000
_SAID = re.compile(
    r"(?:answer\s*(?:is|equals|:|=|was|would be|must be|should be)|####)\s*:?", re.IGNORECASE
)
# A sentence ends at a point before a space or the end; `3.5` goes on.
_END = re.compile(r"[.!?;](?:\s|$)|,?\s+(?:because|since)\b|,\s+(?:so|which|and)\b")
_NUMBER = re.compile(
    r"-?(?:\\[dt]?frac\s*\{-?[0-9]+\}\s*\{[0-9]+\}|[0-9][0-9,]*(?:\.[0-9]+)?(?:\s*/\s*[0-9]+)?"
    r"|\.[0-9]+)",
    re.ASCII,
)

# A number within a formula is not what the formula comes to: the 3 of `\sqrt{3}`, of `x + 3`.
_OF_A_FORMULA = re.compile(r"[\^_+*(]|\\(?!text|f?box|[,;:! $%])")
_FACTOR = re.compile(r"[0-9}](?:[A-Za-z(]|\\(?!text|f?box|[,;:! $%]))")


def lenient_answers(completion: str, form: Form = NO_FORM) -> list[str]:
    """List what may be meant as the answer: the first, the last and all boxes, or else the end.

    Where there is no box it is what follows `the answer is`, or where that is missing the last
    number.
    """
    reading = read(completion, form)
    if form.finds == "code block":
        return [reading.answer] if reading.answer else []
    if reading.answers:
        last = reading.answers[-1].content.strip()
        each = [reading.answer, last, reading.together]
        return list(dict.fromkeys(text for text in each if text))
    end = completion[-LAST:]
    said = [match.end() for match in _SAID.finditer(end)]
    if said:
        line = end[said[-1] :].strip().partition("\n")[0]
        expression = _END.split(line, maxsplit=1)[0].strip(" *:$")
        numbers = numbers_alone(expression.rpartition("=")[2])
        return list(dict.fromkeys(text for text in [expression, *numbers[-1:]] if text))
    return _NUMBER.findall(end)[-1:]


def numbers_alone(text: str) -> list[str]:
    """List the numbers of a text; none where it is a formula of more."""
    if _FACTOR.search(text) or _OF_A_FORMULA.search(_NUMBER.sub(" ", text)):
        return []
    return _NUMBER.findall(text)


def lenient_verdicts(
    problems: Sequence[str],
    completions: Sequence[str],
    keys: Mapping[str, AnswerKey],
    verifier: Judges,
    form: Form = NO_FORM,
) -> list[str]:
    """Give the best verdict of what each completion may mean as its answer."""
    meant = [lenient_answers(text, form) for text in completions]
    owners = [row for row, answers in enumerate(meant) for _ in answers]
    judged = judge(
        [problems[row] for row in owners],
        [answer for answers in meant for answer in answers],
        keys,
        verifier,
    )
    best = ["no_answer"] * len(completions)
    for row, judgement in zip(owners, judged, strict=True):
        best[row] = min(best[row], judgement.verdict, key=PRECEDENCE.index)
    return best
