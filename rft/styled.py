"""Texts with styles, as data: readers make them, and the terminal escapes and colours them."""

from dataclasses import dataclass

PLAIN = ""
# How a verdict looks; whatever is neither right nor wrong is `other`.
VERDICT_STYLES = {"correct": "right", "wrong": "wrong"}
OTHER = "other"
# Heat from little to much, for tinting; what is below the first has no tint.
HEAT = tuple(f"heat-{level}" for level in range(1, 7))


@dataclass(frozen=True)
class Styled:
    """A text in pieces, each with the names of its styles; without those it has to say as much."""

    pieces: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """Give the text alone."""
        return "".join(piece for piece, _ in self.pieces)


def with_verdict(line: str, verdict: str, start: int) -> list[tuple[str, str]]:
    """Cut a line into pieces around the verdict that stands at a place of it, if it does."""
    if not verdict or not line.startswith(verdict, start):
        return [(line, PLAIN)]
    end = start + len(verdict)
    return [
        (line[:start], PLAIN),
        (verdict, VERDICT_STYLES.get(verdict, OTHER)),
        (line[end:], PLAIN),
    ]
