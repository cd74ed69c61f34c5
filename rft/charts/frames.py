"""What goes into a chart: columns of a frame by what they stand for, and texts that cannot act."""

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from rft.foreign_text import one_line

LONGEST = 60  # columns of a name in a legend or on an axis
LINE = 100  # columns of the lines under a title


@dataclass(frozen=True)
class Axis:
    """One direction of a chart: a column, what it is called with its unit, and how it runs.

    Titles of axes and series are our words, no foreign ones: Vega-Lite puts them into expressions.
    """

    column: str
    title: str
    scale: Literal["linear", "log2", "share", "count", "category"] = "linear"
    """share is written in percent; count starts at zero; category keeps the frame's order."""
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Series:
    """What is told apart by colour, shape and dash: a column, and its values in a fixed order.

    Give all values that any picture of a set shows, and each looks the same in all of them.
    """

    column: str
    title: str = ""
    order: tuple[str, ...] = ()


def tidy(frame: pl.DataFrame, columns: Mapping[str, str]) -> list[dict[str, Any]]:
    """Take columns under names of ours: a foreign name could mean something in a specification."""
    assert not (lost := set(columns.values()) - set(frame.columns)), f"no columns {sorted(lost)}"
    rows = frame.select(pl.col(column).alias(name) for name, column in columns.items())
    return [{name: _plain(value) for name, value in row.items()} for row in rows.to_dicts()]


def _plain(value: Any) -> Any:
    """Make a value JSON that every reader knows: null where not finite, and never zero."""
    if isinstance(value, str):
        return name_of(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def name_of(value: Any) -> str:
    """Write a name as it stands in a chart: in one line, short, and nothing unseen in it."""
    return one_line(str(value), LONGEST)


def names_in(rows: list[dict[str, Any]], key: str, order: tuple[str, ...] = ()) -> list[str]:
    """List the names of a column, in the order given, then in that of the rows."""
    seen = [str(row[key]) for row in rows if row[key] is not None]
    return list(dict.fromkeys([*map(name_of, order), *seen]))


def wrapped(note: str) -> list[str]:
    """Break what stands under a title into lines; a line of ours may hold foreign names."""
    return [part for line in note.split("\n") for part in textwrap.wrap(one_line(line, 600), LINE)]
