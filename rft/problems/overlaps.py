"""What questions have in common: words in a row, and nearly all of their words.

A word is a run of letters and digits, without case and accents of width; a letter of a script that
sets no spaces is a word by itself. Marks belong to the letter before them, as the vowel signs of
Hindi do; the points of Arabic and Hebrew, which most texts leave out, do not count. Signs are no
words: `2 + 3` and `2 - 3` are alike, which finds more than it should rather than less.
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, groupby
from typing import cast

import numpy as np

# Counts the changes of what is found: it is in the keys of what drops problems by it.
FINDING = 2
# The ideographs of Chinese, and the letters of Japanese, Thai, Lao, Burmese and Khmer.
ALONE = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
)
PLAIN_WORD = re.compile(r"[a-z0-9]+")
# Points, the line that stretches an Arabic word, and what only chooses a letter's shape.
POINTS = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc"
    "\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u08ca-\u08e1\u08e3-\u08ff\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
# Marks that take no room, and those that take some; what encloses a sign is none of its word.
MARKS = ("Mn", "Mc")
# Words in a row that tell of a copy: 8 as DeepSeek-R1's successors drop by, 12 as datatrove does.
RUNS = (8, 12)
# Words in a row by which two questions are alike; from this share on nearly the same.
SHINGLE, NEAR = 3, 0.8
# So many texts of a benchmark, and so many others, have a run of words that is no turn of phrase.
MOST_OWNERS, MOST_OTHERS = 2, 5


@cache
def word() -> re.Pattern[str]:
    """Give the form of a word, which needs all marks of the scripts that are in use."""
    # As ranges: a thousand single marks would be looked through one by one.
    codes = [code for code in range(0x300, 0x20000) if unicodedata.category(chr(code)) in MARKS]
    neighbours = groupby(enumerate(codes), lambda pair: pair[1] - pair[0])
    ranges = [[code for _, code in each] for _, each in neighbours]
    mark = f"[{''.join(f'{chr(each[0])}-{chr(each[-1])}' for each in ranges)}]"
    letter = rf"[^\W_{ALONE}]"
    return re.compile(rf"[{ALONE}]{mark}*|{letter}+(?:{mark}+{letter}*)*")


def words_of(text: str) -> list[str]:
    """Give the words of a text, as they are compared."""
    if text.isascii():
        return PLAIN_WORD.findall(text.casefold())
    folded = unicodedata.normalize("NFKC", text).casefold()
    return word().findall(POINTS.sub("", unicodedata.normalize("NFKC", folded)))


def runs_of(words: Sequence[str], length: int) -> set[str]:
    """Give the runs of so many words; a shorter text has none."""
    return {" ".join(words[at : at + length]) for at in range(len(words) - length + 1)}


def shingles_of(words: Sequence[str]) -> set[str]:
    """Give the runs of words by which likeness is measured; a shorter text is one by itself."""
    return runs_of(words, min(SHINGLE, len(words))) if words else set()


def alike(one: set[str], other: set[str]) -> float:
    """Give the share of shingles that two texts have in common, of all that either has."""
    both = len(one & other)
    return both / (len(one) + len(other) - both) if both else 0.0


@dataclass(frozen=True)
class Overlap:
    """What a text has in common with the one that it has most in common with."""

    other: int
    runs: tuple[int, int]
    """How many runs of 8 words, and of 12, are in both and tell of a copy."""
    likeness: float
    example: str
    """The first of these 8 words in a row; nothing where there are none."""

    @property
    def telling(self) -> bool:
        """Say whether it is more than turns of phrase."""
        return bool(self.runs[0]) or self.likeness >= NEAR

    @property
    def rank(self) -> tuple[bool, int, int, float]:
        """Order what is in common, so that what a problem is dropped for comes first."""
        return (self.likeness >= NEAR, self.runs[1], self.runs[0], self.likeness)


class References:
    """Texts that others must not have words in common with.

    A text that has more than half of the runs of 8 words of one of them is a copy of that one,
    however many copies there are. Else a run of words that more than two of them have, or more than
    five of the others that are no copies of what it is from, is a turn of phrase: "where m and n
    are relatively prime positive integers" tells of no copy.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """Note which run of words is in which text; of texts of the same words, the first."""
        words = [words_of(text) for text in texts]
        firsts = {" ".join(each): number for number, each in reversed([*enumerate(words)])}
        self.shingles = [shingles_of(each) for each in words]
        self.runs = [tuple(runs_of(each, length) for length in RUNS) for each in words]
        self.owners: dict[str, list[int]] = defaultdict(list)
        self.near = Alike(self.shingles, NEAR)
        for number in sorted(firsts.values()):
            self.near.add(number)
            for run in self.runs[number][0]:
                self.owners[run].append(number)
        # Whoever has more than half of a text's runs has one of the rarer half of them.
        self.rarer: dict[str, list[int]] = defaultdict(list)
        for number in firsts.values():
            runs = sorted(self.runs[number][0], key=lambda run: (len(self.owners[run]), run))
            for run in runs[: len(runs) - len(runs) // 2]:
                self.rarer[run].append(number)

    def overlaps(self, texts: Sequence[str]) -> list[Overlap | None]:
        """Find for each text the one that it has most in common with; None of one with nothing.

        One that is nearly the same comes first, then most runs of 12 words, then most of 8.
        """
        shared = [runs_of(words_of(text), RUNS[0]) & self.owners.keys() for text in texts]
        copied = [self._copied(runs) for runs in shared]
        having = Counter(
            run
            for runs, copies in zip(shared, copied, strict=True)
            for run in runs.difference(*(self.runs[number][0] for number in copies))
        )
        phrases = {run for run, owners in self.owners.items() if len(owners) > MOST_OWNERS}
        phrases |= {run for run, count in having.items() if count > MOST_OTHERS}
        return [
            self._overlap(text, runs, copies, phrases)
            for text, runs, copies in zip(texts, shared, copied, strict=True)
        ]

    def _copied(self, shared: set[str]) -> set[int]:
        """Give the texts of which more than half is there."""
        some = {number for run in shared for number in self.rarer.get(run, ())}
        return {
            number
            for number in some
            if 2 * len(shared & self.runs[number][0]) > len(self.runs[number][0])
        }

    def _overlap(
        self, text: str, shared: set[str], copied: set[int], phrases: set[str]
    ) -> Overlap | None:
        words = words_of(text)
        shingles = shingles_of(words)
        longest = runs_of(words, RUNS[1]) if shared else set()
        others = copied | {number for run in shared - phrases for number in self.owners[run]}
        if (close := self.near.find(shingles)) is not None:
            others.add(close)
        if not others and shared:  # turns of phrase, of whichever text has the first
            others = {self.owners[min(shared)][0]}

        def told(other: int) -> Overlap:
            telling = shared & self.runs[other][0]
            if other not in copied:
                telling -= phrases
            longer = {
                run
                for run in longest & self.runs[other][1]
                if telling & runs_of(run.split(), RUNS[0])
            }
            example = next((run for run in in_order(words, RUNS[0]) if run in telling), "")
            likeness = alike(shingles, self.shingles[other])
            return Overlap(other, (len(telling), len(longer)), likeness, example)

        overlaps = map(told, sorted(others))
        return max(overlaps, key=lambda each: each.rank, default=None)


def in_order(words: Sequence[str], length: int) -> Iterator[str]:
    """Give the runs of so many words as they follow each other."""
    return (" ".join(words[at : at + length]) for at in range(len(words) - length + 1))


class Alike:
    """Finds texts that have nearly all shingles in common, and misses none.

    Two sets of which the smaller share of common members is t have, each sorted in one and the same
    order, a member in common among their first |x| - ceil(t |x|) + 1 (prefix filtering: Chaudhuri,
    Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007). With the rarest shingles first few pairs
    are looked at. Of those only such are compared as are of like sizes, t |x| <= |y| <= |x| / t,
    and as have enough in common among their first: where those of x end no later than those of y,
    no more can be in common beyond them than x has beyond its own, and a likeness of t takes
    t / (1 + t) (|x| + |y|) of both (Xiao, Wang, Lin and Yu 2008).
    """

    def __init__(self, texts: Sequence[set[str]], threshold: float) -> None:
        """Take the texts that may be added, by their shingles."""
        # A hair less, so that no rounding of a product leaves a text out.
        self.threshold, self.least = threshold, threshold * (1 - 1e-9)
        counts = Counter(shingle for text in texts for shingle in text)
        often = np.fromiter(counts.values(), np.int64, len(counts))
        rarest = np.argsort(often, kind="stable")
        self.counts = often[rarest].tolist()
        self.ranks = dict(zip(counts, np.argsort(rarest).tolist(), strict=True))
        self.texts = [{self.ranks[shingle] for shingle in text} for text in texts]
        self.firsts = [self._first(text, len(text)) for text in self.texts]
        self.sizes = np.array([len(text) for text in texts], np.int64)
        self.last = np.array([first[-1] if first else -1 for first in self.firsts], np.int64)
        lengths = np.array([len(first) for first in self.firsts], np.int64)
        self.beyond = self.sizes - lengths
        flat = np.fromiter(chain.from_iterable(self.firsts), np.int64, int(lengths.sum()))
        order = np.argsort(flat, kind="stable")
        self.owners = np.repeat(np.arange(len(texts)), lengths)[order]
        self.starts = np.searchsorted(flat[order], np.arange(len(often) + 1)).tolist()
        self.there = np.zeros(len(texts), bool)

    def _first(self, text: set[int], size: int) -> list[int]:
        """Give the rarest members of a text, one of which any text that is alike has as well.

        Those that are as rare as the last of them stand there too, for more to count. What is in no
        text is the rarest, and left out.
        """
        ordered = sorted(text)
        end = len(text) - max(1, math.ceil(self.least * size)) + 1
        if end <= 0:
            return []
        count, most = self.counts[ordered[end - 1]], min(len(ordered), 3 * end)
        while end < most and self.counts[ordered[end]] == count:
            end += 1
        return ordered[:end]

    def add(self, number: int) -> None:
        """Let a text be found."""
        self.there[number] = True

    def find(self, text: set[str]) -> int | None:
        """Find the text that is most alike, the first of equals; None where none is near."""
        known = {self.ranks[shingle] for shingle in text if shingle in self.ranks}
        return self._nearest(known, self._first(known, len(text)), len(text))

    def find_like(self, number: int) -> int | None:
        """Find the text that is most like one of them."""
        text = self.texts[number]
        return self._nearest(text, self.firsts[number], len(text))

    def _nearest(self, text: set[int], first: list[int], size: int) -> int | None:
        best, most = None, 0.0
        for number in self.candidates(len(text), first, size) if first else ():
            both = len(text & self.texts[number])
            share = both / (size + len(self.texts[number]) - both)
            if share >= self.threshold and share > most:
                best, most = number, share
        return best

    def candidates(self, known: int, first: list[int], size: int) -> list[int]:
        """List the texts that may be near, in their order."""
        owners = [self.owners[self.starts[rank] : self.starts[rank + 1]] for rank in first]
        found = np.concatenate(owners)
        found = found[self.there[found]]
        if not len(found):
            return []
        numbers, both = np.unique(found, return_counts=True)
        sizes = self.sizes[numbers]
        earlier = self.last[numbers] < first[-1]
        beyond = np.where(earlier, self.beyond[numbers], known - len(first))
        enough = both + beyond >= self.least / (1 + self.threshold) * (size + sizes)
        near = np.minimum(size, sizes) >= self.least * np.maximum(size, sizes)
        return cast("list[int]", numbers[enough & near].tolist())


def near_duplicates(
    texts: Sequence[str], threshold: float, stays: Sequence[bool] = ()
) -> dict[int, int]:
    """Map each text that nearly repeats an earlier one, which is no repeat itself, to that one.

    Texts that stay are no repeats, whatever they are like.
    """
    kept, repeats = Alike([shingles_of(words_of(text)) for text in texts], threshold), {}
    for number in range(len(texts)):
        may = not (stays and stays[number])
        if may and (first := kept.find_like(number)) is not None:
            repeats[number] = first
        else:
            kept.add(number)
    return repeats
