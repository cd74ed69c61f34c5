"""An answer token by token: what each token's text is, its class, its sentence, where it stands."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rft.measuring.pass_at_k import Numbers
from rft.token_kinds.words import CLASSES, class_spans, is_reflective, pivotal_starts, sentences

Places = NDArray[np.int64]

OTHER = CLASSES.index("other")
NO_SENTENCE = -1


class Texts:
    """The text of each token as it stands after another one, where it may begin with a space."""

    def __init__(self, decode: Callable[[Sequence[int]], str], before: int, silent: frozenset[int]):
        """Take the tokenizer's way back to text, an ordinary token, and tokens that are no text."""
        self.decode, self.before, self.silent = decode, before, silent
        self.start = decode([before])
        self.known: dict[int, str] = {}

    def of(self, token_ids: Sequence[int]) -> list[str]:
        """Give the text of each token; each kind of token is decoded once."""
        for token in token_ids:
            if token not in self.known:
                self.known[token] = "" if token in self.silent else self._decoded(token)
        return [self.known[token] for token in token_ids]

    def _decoded(self, token: int) -> str:
        return self.together([token])

    def together(self, token_ids: Sequence[int]) -> str:
        """Give the text of several tokens, which may have a letter only in common."""
        said = [token for token in token_ids if token not in self.silent]
        both = self.decode([self.before, *said])
        return both.removeprefix(self.start) if both.startswith(self.start) else self.decode(said)


@dataclass(frozen=True)
class Anatomy:
    """What the tokens of one answer belong to."""

    classes: Places
    """Of each token, its place in CLASSES: of the word in which its first letter or sign lies."""
    pivotal: NDArray[np.bool_]
    """Whether a pivotal word begins in it."""
    sentence: Places
    """The number of its sentence; NO_SENTENCE for space, and for signs between sentences."""
    reflective: NDArray[np.bool_]
    """Of each sentence, whether it looks back."""


def anatomy(texts: Sequence[str]) -> Anatomy:
    """Find out what the tokens of an answer belong to."""
    whole = "".join(texts)
    lengths = np.array([len(text) for text in texts], np.int64)
    ends = lengths.cumsum()
    leading = np.array([len(text) - len(text.lstrip()) for text in texts], np.int64)
    silent = leading == lengths
    first = np.where(silent, 0, ends - lengths + leading)

    def painted(spans: list[tuple[int, int, int]], nothing: int) -> Places:
        canvas = np.full(len(whole) + 1, nothing, np.int64)
        for start, end, number in spans:
            canvas[start:end] = number
        return np.where(silent, nothing, canvas[first])

    pivotal = np.zeros(len(texts), bool)
    pivotal[np.searchsorted(ends, pivotal_starts(whole), side="right")] = True
    parts = sentences(whole)
    return Anatomy(
        painted(class_spans(whole), OTHER),
        pivotal,
        painted([(a, b, number) for number, (a, b) in enumerate(parts)], NO_SENTENCE),
        np.array([is_reflective(whole[a:b]) for a, b in parts], bool),
    )


def position_means(values: Numbers, bins: int) -> Numbers:
    """Average an answer's values over equal parts of its length; nan where no token's middle lies.

    Token t of T stands at (t + 1/2) / T.
    """
    place = (2 * np.arange(len(values)) + 1) * bins // (2 * max(1, len(values)))
    sums = np.bincount(place, weights=values, minlength=bins)
    counts = np.bincount(place, minlength=bins)
    means = np.full(bins, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
