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
from itertools import groupby

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
    runs: tuple[int, ...]
    """How many runs of 8 words, and of 12, are in both and tell of a copy."""
    likeness: float
    example: str
    """The first of these 8 words in a row; nothing where there are none."""

    @property
    def telling(self) -> bool:
        """Say whether it is more than turns of phrase."""
        return bool(self.runs[0]) or self.likeness >= NEAR


class References:
    """Texts that others must not have words in common with.

    A run of words that more than two of them have, or more than five of the others, is a turn of
    phrase: "where m and n are relatively prime positive integers" tells of no copy.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        """Note which run of words is in which text."""
        words = [words_of(text) for text in texts]
        self.shingles = [shingles_of(each) for each in words]
        self.runs = [tuple(runs_of(each, length) for length in RUNS) for each in words]
        self.owners: dict[str, list[int]] = defaultdict(list)
        for number, (shortest, *_) in enumerate(self.runs):
            for run in shortest:
                self.owners[run].append(number)
        self.near = Alike(self.shingles, NEAR)
        for number in range(len(texts)):
            self.near.add(number)

    def overlaps(self, texts: Sequence[str]) -> list[Overlap | None]:
        """Find for each text the one that it has most in common with; None of one with nothing."""
        shared = [runs_of(words_of(text), RUNS[0]) & self.owners.keys() for text in texts]
        having = Counter(run for runs in shared for run in runs)
        phrases = {
            run
            for run, count in having.items()
            if count > MOST_OTHERS or len(self.owners[run]) > MOST_OWNERS
        }
        return [
            self._overlap(text, runs, phrases) for text, runs in zip(texts, shared, strict=True)
        ]

    def _overlap(self, text: str, shared: set[str], phrases: set[str]) -> Overlap | None:
        words = words_of(text)
        shingles = shingles_of(words)
        counts = Counter(owner for run in shared - phrases for owner in self.owners[run])
        most = max(counts.values(), default=0)
        others = {number for number, count in counts.items() if count == most}
        if (close := self.near.find(shingles)) is not None:
            others.add(close)
        if not others and shared:  # turns of phrase, of whichever text has the first
            others = {self.owners[min(shared)][0]}

        def told(other: int) -> Overlap:
            telling = (shared & self.runs[other][0]) - phrases
            longer = {
                run
                for run in runs_of(words, RUNS[1]) & self.runs[other][1]
                if telling & runs_of(run.split(), RUNS[0])
            }
            example = next((run for run in in_order(words, RUNS[0]) if run in telling), "")
            likeness = alike(shingles, self.shingles[other])
            return Overlap(other, (len(telling), len(longer)), likeness, example)

        overlaps = map(told, sorted(others))
        return max(overlaps, key=lambda each: (each.likeness, each.runs), default=None)


def in_order(words: Sequence[str], length: int) -> Iterator[str]:
    """Give the runs of so many words as they follow each other."""
    return (" ".join(words[at : at + length]) for at in range(len(words) - length + 1))


class Alike:
    """Finds texts that have nearly all shingles in common, and misses none.

    Two sets of which the smaller share of common members is t have, each sorted in one and the same
    order, a member in common among their first |x| - ceil(t |x|) + 1 (prefix filtering: Chaudhuri,
    Ganti and Kaushik 2006; Bayardo, Ma and Srikant 2007). With the rarest shingles first few pairs
    are looked at.
    """

    def __init__(self, texts: Sequence[set[str]], threshold: float) -> None:
        """Take the texts that may be added, by their shingles."""
        self.texts, self.threshold = texts, threshold
        self.counts = Counter(shingle for text in texts for shingle in text)
        self.owners: dict[str, list[int]] = defaultdict(list)

    def first(self, text: set[str]) -> list[str]:
        """Give the shingles one of which any text that is alike has among its own first."""
        ordered = sorted(text, key=lambda shingle: (self.counts[shingle], shingle))
        # A hair less, so that no rounding of the product leaves one out.
        least = math.ceil(self.threshold * len(text) * (1 - 1e-9))
        return ordered[: len(text) - least + 1]

    def add(self, number: int) -> None:
        """Let a text be found."""
        for shingle in self.first(self.texts[number]):
            self.owners[shingle].append(number)

    def find(self, text: set[str]) -> int | None:
        """Find the text that is most alike, the first of equals; None where none is near."""
        seen = {number for shingle in self.first(text) for number in self.owners.get(shingle, ())}
        likeness = {number: alike(text, self.texts[number]) for number in sorted(seen)}
        near = [number for number, share in likeness.items() if share >= self.threshold]
        return max(near, key=lambda number: likeness[number], default=None)


def near_duplicates(
    texts: Sequence[str], threshold: float, stays: Sequence[bool] = ()
) -> dict[int, int]:
    """Map each text that nearly repeats an earlier one, which is no repeat itself, to that one.

    Texts that stay are no repeats, whatever they are like.
    """
    shingles = [shingles_of(words_of(text)) for text in texts]
    kept, repeats = Alike(shingles, threshold), {}
    for number, text in enumerate(shingles):
        may = not (stays and stays[number])
        if text and may and (first := kept.find(text)) is not None:
            repeats[number] = first
        else:
            kept.add(number)
    return repeats
