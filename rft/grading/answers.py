r"""Finds `\boxed{...}` in text: one pass, linear on hostile input, the same for every stage."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

# A box opens, or a backslash makes a literal of what follows it (`\{`, `\}`, `\\`), or a brace.
_TOKEN = re.compile(r"(\\boxed\s*\{)|\\.|([{}])", re.DOTALL)
_BOX, _BRACE = 1, 2
_PLAIN = -1


@dataclass(frozen=True, slots=True)
class Box:
    """Places a balanced box in its text: `text[start:end]` is all of it, braces included."""

    start: int
    end: int
    inside: int
    text: str = field(repr=False, compare=False)

    @property
    def content(self) -> str:
        """Return what stands between the braces."""
        # Sliced on demand: the contents of n nested boxes would take n^2 memory.
        return self.text[self.inside : self.end - 1]


def boxes(text: str) -> list[Box]:
    """List every balanced box, nested ones too, by where it starts; an unclosed box is no box."""
    return sorted(_closed(text), key=lambda box: box.start)


def first_box(text: str) -> Box | None:
    """Find the balanced box with the earliest start."""
    return min(_closed(text), key=lambda box: box.start, default=None)


def answer_of(text: str) -> str | None:
    """Read the answer, the stripped content of the first box: None without one, maybe empty."""
    box = first_box(text)
    return None if box is None else box.content.strip()


def last_answer_of(text: str) -> str | None:
    """Read the stripped content of the box that starts last, as most published numbers do."""
    box = max(_closed(text), key=lambda box: box.start, default=None)
    return None if box is None else box.content.strip()


def count_boxes(text: str) -> int:
    """Count the balanced boxes."""
    return sum(1 for _ in _closed(text))


def _closed(text: str) -> Iterator[Box]:
    """Yield every balanced box, in the order in which they close."""
    if "\\boxed" not in text:
        return
    opened: list[tuple[int, int]] = []
    for token in _TOKEN.finditer(text):
        if token.lastindex == _BOX:
            opened.append((token.start(), token.end()))
        elif token.lastindex == _BRACE and token[0] == "{":
            opened.append((_PLAIN, _PLAIN))
        # A closing brace that nothing opened is text.
        elif token.lastindex == _BRACE and opened:
            start, inside = opened.pop()
            if start != _PLAIN:
                yield Box(start, token.end(), inside, text)
