"""Blocks of a report and charts as HTML; every text is escaped by the way it is put together."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup, escape

from pipelines.readers.blocks import Block, Heading, Labelled, Table
from rft.charts import inline, numbers, specification, title_of

# Rows of a chart's numbers that a page holds.
ROWS = 400


def html_of(blocks: Iterable[Block]) -> Markup:
    """Write blocks: lines of prose that go on in each other are one paragraph."""
    parts = []
    for kind, group in groupby(blocks, _kind):
        those = list(group)
        match kind:
            case "prose":
                parts += _paragraphs(those)
            case "table":
                parts += [table_of(each.rows, each.align) for each in those]  # type: ignore[union-attr]
            case "labelled":
                parts.append(_labels(those))  # type: ignore[arg-type]
            case "heading":
                parts += [Markup("<h3>{}</h3>").format(each.text) for each in those]  # type: ignore[union-attr]
    return Markup("\n").join(parts)


def _kind(block: Block) -> str:
    kinds = {str: "prose", Table: "table", Labelled: "labelled", Heading: "heading"}
    return kinds[type(block)]


def _paragraphs(lines: Sequence[Block]) -> list[Markup]:
    texts = [str(line).strip() for line in lines]
    together = [" ".join(group) for full, group in groupby(texts, bool) if full]
    return [Markup("<p>{}</p>").format(coded(text)) for text in together]


def coded(text: str) -> Markup:
    """Write a text, with what is code as code."""
    parts = re.split("`([^`]*)`", text)
    marked = [
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    ]
    return Markup("").join(marked)


def _labels(entries: Sequence[Labelled]) -> Markup:
    rows = [
        Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(each.label, coded(each.text))
        for each in entries
    ]
    return Markup("<dl>{}</dl>").format(Markup("").join(rows))


def table_of(rows: Sequence[Sequence[Any]], align: str, label: str = "table") -> Markup:
    """Write a table whose first row is its head; it scrolls within itself."""
    head, *body = rows
    lines = [Markup("<tr>{}</tr>").format(_cells(row, align, "td")) for row in body]
    return Markup(
        '<div class="scroll" tabindex="0" role="group" aria-label="{}"><table><thead><tr>{}</tr>'
        "</thead><tbody>{}</tbody></table></div>"
    ).format(label, _cells(head, align, "th"), Markup("").join(lines))


def _cells(row: Sequence[Any], align: str, tag: str) -> Markup:
    cells = []
    for side, value in zip(align, row, strict=True):
        kind = "td" if value in ("", None) else tag
        scope = Markup(' scope="col"') if kind == "th" else ""
        side_class = Markup(' class="number"') if side == "r" else ""
        cells.append(
            Markup("<{0}{1}{2}>{3}</{0}>").format(Markup(kind), scope, side_class, _cell(value))
        )
    return Markup("").join(cells)


def _cell(value: Any) -> Any:
    # A terminal's columns are made with spaces.
    return re.sub(r"\[ +", "[", value) if type(value) is str else "" if value is None else value


def figures_of(drawn: Iterable[tuple[str, Any]]) -> Markup:
    """Draw charts, two beside each other where there is room."""
    figures = [figure_of(name, chart) for name, chart in drawn]
    if not figures:
        return Markup("")
    return Markup('<div class="figures">{}</div>').format(Markup("\n").join(figures))


def figure_of(name: str, chart: Any) -> Markup:
    """Draw a chart, with its numbers under it."""
    tables, spec = [], specification(chart)
    for head, rows in numbers(spec):
        written = [[_number(value) for value in row] for row in rows[:ROWS]]
        align = "".join("r" if isinstance(value, int | float) else "l" for value in rows[0])
        tables.append(table_of([head, *written], align, f"numbers of {title_of(spec)}"))
        if len(rows) > ROWS:
            tables.append(
                Markup("<p>{:,} of {:,} rows; `rft report --figures` writes all.</p>").format(
                    ROWS, len(rows)
                )
            )
    # What vl-convert writes is ours; texts in it were escaped when it was drawn.
    drawn = Markup(inline(spec, name))
    return Markup(
        '<figure id="figure-{}"><div class="scroll picture" tabindex="0" role="group" '
        'aria-label="{}">{}</div><details><summary>The numbers</summary>{}</details></figure>'
    ).format(name, title_of(spec), drawn, Markup("").join(tables))


def _number(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
    return str(value)
