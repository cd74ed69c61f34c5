"""What a report consists of: tables, labelled lines and prose, for a terminal and a page alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.readers import layout


@dataclass(frozen=True)
class Table:
    """Rows in columns, each aligned left (l) or right (r); the first row is the head."""

    align: str
    rows: Sequence[Sequence[str]]
    indent: int

    def lines(self) -> list[str]:
        """Write it for a terminal."""
        return layout.table(self.align, self.rows, self.indent)


@dataclass(frozen=True)
class Labelled:
    """A text under a label."""

    label: str
    text: str
    indent: int
    column: int

    def lines(self) -> list[str]:
        """Write it for a terminal."""
        return layout.entry(self.label, self.text, self.indent, self.column)


@dataclass(frozen=True)
class Heading:
    """What the blocks after it are about, within a section."""

    text: str

    def lines(self) -> list[str]:
        """Write it for a terminal."""
        return [f"  {self.text}"]


Block = str | Table | Labelled | Heading
"""A text is a line of prose, which goes on in the next one; an empty one ends it."""


def table(align: str, rows: Sequence[Sequence[str]], indent: int = 4) -> list[Block]:
    """Lay out rows in columns."""
    return [Table(align, rows, indent)]


def entry(label: str, text: str, indent: int = 2, column: int = 14) -> list[Block]:
    """Put a text under a label."""
    return [Labelled(label, text, indent, column)]


def heading(text: str) -> list[Block]:
    """Say what follows."""
    return [Heading(text)]


def lines_of(blocks: Iterable[Block]) -> list[str]:
    """Write blocks for a terminal."""
    lines: list[str] = []
    for block in blocks:
        lines += [block] if isinstance(block, str) else block.lines()
    return lines


def in_sections(sections: Mapping[str, Sequence[Block]]) -> str:
    """Write sections under their titles for a terminal; what is empty is left out."""
    return "\n\n".join(
        "\n".join([title] * bool(title) + lines_of(blocks))
        for title, blocks in sections.items()
        if blocks
    )
