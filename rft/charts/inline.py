"""A chart within a page: an SVG that takes the page's colours, and its numbers as a table."""

import re
from collections.abc import Iterator
from typing import Any

from rft.charts.files import svg_of
from rft.charts.style import COLOURS, FAINT, INK, MUTED

# What an SVG is drawn in, and what a page says in its place, for a light and a dark ground.
COLOURS_OF_PAGE = {INK: "var(--ink)", FAINT: "var(--faint)", MUTED: "var(--muted)"}
COLOURS_OF_PAGE |= {COLOURS[-1]: "var(--ink)"}
# Columns of a chart's data that a table of it shows, in this order; others only place a mark.
COLUMNS: tuple[str, ...] = ("step", "part", "category", "series", "trail", "x", "from", "to", "y")
COLUMNS += ("value", "count", "share", "low", "high", "left", "right", "members", "sets")
# Those that have no title of their own.
WORDS = {"series": "", "trail": "", "low": "low", "high": "high", "left": "left", "right": "right"}


def inline(spec: dict[str, Any], name: str) -> str:
    """Draw a specification for a page: its ids are of `name`, its ground is the page's own."""
    svg = svg_of(spec)
    svg = re.sub(r'<rect width="[0-9.]+" height="[0-9.]+" fill="#FFFFFF"/>', "", svg, count=1)
    for colour, variable in COLOURS_OF_PAGE.items():
        svg = re.sub(f'"{colour}"', f'"{variable}"', svg, flags=re.IGNORECASE)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    label = title_of(spec)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{_quoted(label)}" ', 1)


def title_of(spec: dict[str, Any]) -> str:
    """Give a chart's title."""
    title = spec.get("title", "")
    return str(title.get("text", "") if isinstance(title, dict) else title)


def numbers(spec: dict[str, Any]) -> Iterator[tuple[list[str], list[list[Any]]]]:
    """Give the data of each plot of a chart: the heads of columns, and rows."""
    for plot in _plots(spec):
        titles, rows = _titles(plot), _values(plot, spec.get("datasets", {}))
        # Where a histogram's line ends is no bin.
        rows = [row for row in rows if "from" not in row or row["from"] != row["to"]]
        names = [name for name in COLUMNS if rows and name in rows[0]]
        if not names:
            continue
        yield (
            [WORDS[name] if name in WORDS else titles.get(name, name) for name in names],
            [[row[name] for name in names] for row in rows],
        )


def _plots(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    inside = spec.get("vconcat") or spec.get("hconcat")
    if inside is None:
        yield spec
    # Data that all plots share stand once, above them.
    above = {"data": spec["data"]} if "data" in spec else {}
    for each in inside or []:
        yield from _plots({**above, **each})


def _layers(plot: dict[str, Any]) -> list[dict[str, Any]]:
    return [plot, *plot.get("layer", [])]


def _values(plot: dict[str, Any], named: dict[str, Any]) -> list[dict[str, Any]]:
    sources = (layer.get("data", {}) for layer in _layers(plot))
    values = (each.get("values") or named.get(each.get("name")) for each in sources)
    return next((rows for rows in values if rows), [])


def _titles(plot: dict[str, Any]) -> dict[str, str]:
    titles: dict[str, str] = {}
    for layer in _layers(plot):
        for channel in layer.get("encoding", {}).values():
            for each in channel if isinstance(channel, list) else [channel]:
                if each.get("field") and each.get("title"):
                    titles.setdefault(each["field"], str(each["title"]))
    return titles


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
