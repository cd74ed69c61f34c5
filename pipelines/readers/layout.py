"""Plain text for terminals: tables, sums that add up, and hostile text made harmless."""

import textwrap
from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from rft.foreign_text import visible

WIDTH = 100
NOTHING = "-"


def table(align: str, rows: Sequence[Sequence[str]], indent: int = 4) -> list[str]:
    """Lay out rows in columns, each aligned left (l) or right (r)."""
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(align))]
    lines = []
    for row in rows:
        cells = []
        for side, cell, width in zip(align, row, widths, strict=True):
            space = " " * (width - cell_len(cell))
            cells.append(cell + space if side == "l" else space + cell)
        lines.append((" " * indent + "  ".join(cells)).rstrip())
    return lines


def width_of(lines: Sequence[str]) -> int:
    """Give the columns that lines take."""
    return max((cell_len(line) for line in lines), default=0)


def entry(label: str, text: str, indent: int = 2, column: int = 14) -> list[str]:
    """Write a label and its text, wrapped under itself."""
    first = f"{' ' * indent}{label:{column - indent - 1}} "
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * column,
        break_on_hyphens=False,
    ) or [first.rstrip()]


def labelled(label: str, text: str | None) -> list[str]:
    """Write a label and foreign text, in its own lines and in full."""
    lines = visible(NOTHING if text is None else text).split("\n")
    return [f"{'' if index else label:12}{line}" for index, line in enumerate(lines)]


def block(text: str | None, margin: str = "| ") -> list[str]:
    """Write foreign text in its own lines and in full, behind a margin that tells it from ours."""
    return [f"  {margin}{line}" for line in visible(text or "").split("\n")]


def total(whole: int, parts: Mapping[str, int]) -> str:
    """Write a whole as the sum of its parts, which it has to be."""
    assert whole == sum(parts.values()), f"{whole} is not the sum of {dict(parts)}"
    terms = [f"{count:,} {name}" for name, count in parts.items()]
    return f"{whole:,} = {' + '.join(terms) or '0'}"


def number(value: float | None, form: str = ",.1f") -> str:
    """Write a number; one that is missing is no zero."""
    return NOTHING if value is None else format(value, form)


def percent(share: float | None) -> str:
    """Write a share in percent."""
    return NOTHING if share is None else f"{100 * share:.1f}%"


def short_digest(digest: str) -> str:
    """Shorten a digest, keeping the name of what is on the Hub: hub:NAME@COMMIT."""
    name, at, content = digest.rpartition("@")
    return f"{name}{at}{content[:12]}"


def span(seconds: float) -> str:
    """Write a duration as hours, minutes and seconds."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
