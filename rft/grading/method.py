"""What a verifier is: a method that a recipe names, with parameters, and what it judges by."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Protocol, Self

from rft.grading.answers import Finds
from rft.grading.judgement import Judgement
from rft.recipe import Grade
from rft.recipe.section import Section

Say = Callable[[str], None]


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


class Method(Section):
    """A way to tell whether an answer is right, with its parameters."""

    name: ClassVar[str]
    finds: ClassVar[Finds] = "box"
    """Where in a completion the answer is."""

    def open(self, settings: Grade, say: Say) -> Judges:
        """Make what judges by it."""
        raise NotImplementedError
