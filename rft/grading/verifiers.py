"""The verifiers by the name that a recipe gives: as mathematics, as text, or as a letter."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, Self

from rft.grading.at_sight import at_first_sight
from rft.grading.judgement import Judgement
from rft.grading.known_verdicts import KnownVerdicts
from rft.grading.spelling import canonical
from rft.grading.verifier import MEMORY_GB, Verifier
from rft.recipe import Grade

Say = Callable[[str], None]

# `B`, `(B)`, `B. because`, `\text{B}`, `option B`, in either case: a letter by itself, or first.
_CHOICE = re.compile(
    r"(?:the\s+)?(?:option|choice|answer)?\s*[(\[]?\s*(?:\\[a-z]+\s*\{)?\s*[(\[]?([A-Za-z])"
    r"(?:\s*[)\]}]|\s*[.:,]|\s+-|$)",
    re.IGNORECASE,
)
# Another one after it: `A, B`, `A) 5, B) 6`. Whoever lists several has chosen none.
_OTHER = re.compile(r"[\s,;/&({\[]([A-Ja-j])(?=\s*(?:[)\]}.:,;]|$))")


class Judges(Protocol):
    """What judges (gold, answer) pairs, each distinct one once."""

    judged: dict[tuple[str, str], Judgement]

    @property
    def name(self) -> str:
        """Name the verifier, and its version, as the table of verdicts records it."""

    def verdicts(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Judgement]:
        """Judge each distinct pair."""

    def bad_golds(self, golds: Iterable[str]) -> dict[str, Judgement]:
        """Find the golds that no answer could match."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: Any) -> None: ...


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


def open_verifier(settings: Grade, say: Say = lambda _line: None) -> Judges:
    """Make the verifier of a recipe's `grade` section, which says what it knew before."""
    return VERIFIERS[settings.verifier](settings, say)


def math_verifier(settings: Grade, say: Say) -> Verifier:
    """Make the verifier that knows mathematics: the only one whose verdicts take time to find."""
    known = None
    if settings.verdicts is not None:
        path = Path(settings.verdicts)
        known = KnownVerdicts(path, deadline=settings.deadline, memory_gb=MEMORY_GB, say=say)
    return Verifier(deadline=settings.deadline, known=known)


VERIFIERS: dict[str, Callable[[Grade, Say], Judges]] = {
    "math": math_verifier,
    "exact": lambda *_: PlainVerifier("exact", text_of),
    "choice": lambda *_: PlainVerifier("choice", letter_of),
}
