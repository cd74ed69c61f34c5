"""Diversity within a problem: first the best, then again and again what is least like those taken.

Greedy max-min distance, as arXiv 2510.26122 chooses solutions by embeddings of their steps; here a
step is its words, so that no model is needed. A word counts with the two that follow it in its step
(a line or a sentence), and the distance of two responses is 1 - Jaccard of the sets of these runs.
"""

import hashlib
import re
from collections.abc import Sequence
from itertools import repeat

import numpy as np
import polars as pl
from numpy.typing import NDArray

# The end of a step, which is that of a sentence or of a line; or in the group a word or a mark.
PIECE = re.compile(r"[.!?](?=\s|$)|\n|(\w+|[^\w\s])")
# So many runs stand for a response, those with the smallest hashes: up to there distances are
# exact, beyond they are estimates (bottom-k sketches) whose error is about 1%.
RUNS = 2048
# What the runs of one problem may come to, and which of its samples are compared with all: the ones
# after them keep their order. Together they bound memory and time whatever the texts are.
RUNS_OF_PROBLEM = 2**24
PLACES = 256


def by_diversity(ranked: pl.DataFrame, unranked: int, texts: pl.Series) -> pl.DataFrame:
    """Put the rows of each problem in the order of their diversity; problems stay apart.

    `ranked` is best first, its last `unranked` rows have no value and come after the others of
    their problem; `texts` has a response for each `row` of it. Adds `distance`: the smallest one to
    those before it in its problem, null for the first, and where none was measured.
    """
    places = ranked.select("problem_id", "row", at=pl.int_range(pl.len()))
    order: list[int] = []
    distances: list[float | None] = []
    for _, mine in places.group_by("problem_id", maintain_order=True):
        at = mine["at"].to_list()
        known = sum(place < len(ranked) - unranked for place in at)
        responses = texts[mine["row"]].to_list()
        picked, apart = farthest_first(responses, known)
        order += [at[place] for place in picked]
        distances += apart
    column = pl.Series("distance", distances, pl.Float32)
    return ranked[pl.Series(order, dtype=pl.UInt32)].with_columns(column)


def farthest_first(texts: Sequence[str], known: int) -> tuple[list[int], list[float | None]]:
    """Order texts, given best first, and give each one's smallest distance to those before it.

    The first `known` come before the rest; of those equally far away, the better one comes first.
    """
    sketches = Sketches(texts)
    nearest = np.full(len(texts), np.inf)
    free = np.ones(len(texts), dtype=bool)
    picked: list[int] = []
    apart: list[float | None] = []
    for number in range(min(len(texts), PLACES)):
        end = known if number < known else len(texts)
        pick = int(np.argmax(np.where(free, nearest, -1.0)[:end]))
        picked.append(pick)
        apart.append(float(nearest[pick]) if number else None)
        free[pick] = False
        nearest = np.minimum(nearest, sketches.distances(pick))
    rest = np.flatnonzero(free).tolist()
    return [*picked, *rest], [*apart, *repeat(None, len(rest))]


class Sketches:
    """The runs of words of several texts, so that one can be held against all at once."""

    def __init__(self, texts: Sequence[str]) -> None:
        most = max(1, min(RUNS, RUNS_OF_PROBLEM // len(texts)))
        words: dict[str, int] = {}
        kept, whole = [], []
        for text in texts:
            runs = runs_of(text, words)
            kept.append(runs[:most].copy())  # a view would keep all of them in memory
            whole.append(len(runs) <= most)
        self.ends = np.cumsum([len(each) for each in kept])
        self.starts = np.concatenate([[0], self.ends[:-1]])
        # By its number, which grows with its hash, a run is a place in a row of marks.
        values, numbers = np.unique(np.concatenate(kept), return_inverse=True)
        self.numbers = numbers
        self.marks = np.zeros(len(values), dtype=bool)
        # Up to which number a sketch has all runs of its text.
        self.reach = np.array(
            [
                len(values) if complete else numbers[end - 1]
                for complete, end in zip(whole, self.ends, strict=True)
            ]
        )

    def distances(self, pick: int) -> NDArray[np.float64]:
        """Measure the distance of each text to one of them: 0 where neither has any words."""
        mine = self.numbers[self.starts[pick] : self.ends[pick]]
        self.marks[mine] = True
        shared = self._count(self.marks[self.numbers])
        self.marks[mine] = False
        # Only as far as both sketches reach are they samples of the same runs.
        theirs = self._count(self.numbers <= self.reach[pick])
        both = theirs + np.searchsorted(mine, self.reach, side="right") - shared
        return 1.0 - np.where(both > 0, shared / np.maximum(both, 1), 1.0)

    def _count(self, which: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Count how many runs of each text are among those."""
        upto = np.zeros(len(which) + 1, dtype=np.int64)
        np.cumsum(which, out=upto[1:])
        counts: NDArray[np.int64] = upto[self.ends] - upto[self.starts]
        return counts


def runs_of(text: str, words: dict[str, int]) -> NDArray[np.uint64]:
    """Hash each word with the two that follow it in its step; sorted, each once.

    `words` remembers the hashes of words.
    """
    hashes: list[int] = []
    for piece in PIECE.findall(text.lower()):
        if not piece:
            hashes.append(0)
            continue
        if (known := words.get(piece)) is None:
            known = words[piece] = _hash_of(piece)
        hashes.append(known)
    first = np.array([*hashes, 0, 0], dtype=np.uint64)
    second = first[1:-1] * (first[:-2] > 0)
    third = first[2:] * (second > 0)
    mixed = _mixed(first[:-2] + _mixed(second + _mixed(third)))
    return np.unique(mixed[first[:-2] > 0])


def _hash_of(word: str) -> int:
    """Hash a word, the same on every machine; 0 stands for the end of a step."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest()) | 1


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread 64-bit values over all 64-bit values (the finalizer of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
