"""The verifiers by the name that a recipe gives, each with its parameters."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field

from rft.errors import RFTError, suggestion
from rft.grading.answers import Finds
from rft.grading.at_sight import at_first_sight
from rft.grading.grade import Judging, judge
from rft.grading.judge import Judge
from rft.grading.judgement import Judgement
from rft.grading.known_verdicts import KnownVerdicts, name_of
from rft.grading.majority import by_majority
from rft.grading.method import Judges, Method, Say
from rft.grading.programs.judging import Code
from rft.grading.spelling import canonical
from rft.grading.verifier import MEMORY_GB, Verifier
from rft.recipe import Grade
from rft.recipe.parameters import read_parameters

# `B`, `(B)`, `B. because`, `\text{B}`, `option B`, in either case: a letter by itself, or first.
_CHOICE = re.compile(
    r"(?:the\s+)?(?:option|choice|answer)?\s*[(\[]?\s*(?:\\[a-z]+\s*\{)?\s*[(\[]?([A-Za-z])"
    r"(?:\s*[)\]}]|\s*[.:,]|\s+-|$)",
    re.IGNORECASE,
)
# Another one after it: `A, B`, `A) 5, B) 6`. Whoever lists several has chosen none.
_OTHER = re.compile(r"[\s,;/&({\[]([A-Ja-j])(?=\s*(?:[)\]}.:,;]|$))")


class PlainVerifier:
    """Judges pairs by what both come to as text; a gold that comes to nothing is a bad one."""

    def __init__(self, name: str, meaning: Callable[[str], str | None]) -> None:
        self._name, self.meaning = name, meaning
        self.judged: dict[tuple[str, str], Judgement] = {}

    @property
    def name(self) -> str:
        return self._name

    def verdicts(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Judgement]:
        judged = {pair: self.judged.get(pair) or self._judge(*pair) for pair in set(pairs)}
        self.judged |= {pair: each for pair, each in judged.items() if each.path != "too_long"}
        return judged

    def _judge(self, gold: str, answer: str) -> Judgement:
        judgement = at_first_sight(gold, answer)
        if judgement is not None:
            return judgement
        wanted, given = self.meaning(gold), self.meaning(answer)
        if wanted is None:
            return Judgement("bad_gold", self.name)
        if given is None:
            return Judgement("unparseable", self.name)
        return Judgement("correct" if wanted == given else "wrong", self.name)

    def bad_golds(self, golds: Iterable[str]) -> dict[str, Judgement]:
        return {
            gold: Judgement("bad_gold", self.name)
            for gold in dict.fromkeys(golds)
            if not gold.strip() or self.meaning(gold) is None
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        return None


def text_of(text: str) -> str:
    """Write a text in one spelling, without spaces."""
    return "".join(canonical(text).split())


def letter_of(text: str) -> str | None:
    """Read the letter that a text chooses, as a capital; None where it chooses none, or several."""
    text = text.strip()
    match = _CHOICE.match(text)
    if match is None:
        return None
    letter = match[1]
    others = {
        each for each in _OTHER.findall(text[match.end(1) :]) if each.isupper() == letter.isupper()
    }
    return letter.upper() if others <= {letter} else None


class Math(Method):
    r"""As mathematics: exact, then numeric, then symbolic. `\frac{1}{2}`, `0.5` and `50\%` are one.

    What cannot be told at sight is read by math-verify, in processes that may be killed.
    """

    name = "math"

    def open(self, settings: Grade, say: Say) -> Judges:
        known = None
        if settings.verdicts is not None:
            path = Path(settings.verdicts)
            name = name_of(settings.deadline, MEMORY_GB)
            known = KnownVerdicts(path, verifier=name, whom="math-verify", say=say)
        return Verifier(deadline=settings.deadline, known=known)


class Exact(Method):
    """As text in one spelling, spaces aside."""

    name = "exact"

    def open(self, _settings: Grade, _say: Say) -> Judges:
        return PlainVerifier(self.name, text_of)


class Choice(Method):
    """By the letter that an answer chooses: `B`, `(B)`, `B. because`."""

    name = "choice"

    def open(self, _settings: Grade, _say: Say) -> Judges:
        return PlainVerifier(self.name, letter_of)


class Majority(Method):
    """By the answer that most of a problem's own rollouts agree on, where no gold is known.

    Answers are one as `math` has it. What is measured (dev, test) is judged by its golds, as `math`
    does. Pseudo-labels (TTRL, arXiv 2504.16084): a model that is mostly wrong learns its mistake.
    """

    name = "majority"

    at_least: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The share of a problem's rollouts that has to agree; else the problem has no label."""

    def open(self, settings: Grade, say: Say) -> Judges:
        return Math().open(settings, say)


class Given(Method):
    """By somebody else: rows of `--input` bring their column `verdict`."""

    name = "given"


VERIFIERS: dict[str, type[Method]] = {
    "math": Math,
    "exact": Exact,
    "choice": Choice,
    "code": Code,
    "judge": Judge,
    "majority": Majority,
    "given": Given,
}


def method_of(settings: Grade) -> Method:
    """Make the verifier of a recipe's `grade` section, or say what is wrong with it."""
    ((name, parameters),) = settings.verifier.items()
    if name not in VERIFIERS:
        advice = suggestion(name, VERIFIERS, otherwise=f"there are {', '.join(VERIFIERS)}")
        raise RFTError(f'grade.verifier: there is no "{name}"; {advice}')
    return read_parameters(VERIFIERS[name], parameters, f"grade.verifier.{name}")


def finds(settings: Grade) -> Finds:
    """Say where a recipe's `grade` section looks for the answer in a completion."""
    # Of a run that is only read, whose own verifier is not run: its parameters are not known.
    method = VERIFIERS.get(settings.judge)
    return method.finds if method else method_of(settings).finds


def judging(settings: Grade) -> Judging:
    """Say how what is learnt from is judged: by golds, or by labels of its own."""
    method = method_of(settings)
    if isinstance(method, Majority):
        return partial(by_majority, at_least=method.at_least)
    return judge


def needs_golds(settings: Grade) -> bool:
    """Say whether a problem to learn from is of no use without a gold."""
    return settings.judge != Majority.name


def open_verifier(settings: Grade, say: Say = lambda _line: None) -> Judges:
    """Make what judges by a recipe's `grade` section, which says what it knew before."""
    return method_of(settings).open(settings, say)
