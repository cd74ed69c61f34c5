"""Pieces of Markdown that no text, however hostile, can break out of."""

import re
from collections.abc import Iterable, Sequence

import yaml

from pipelines.readers.layout import short_digest
from rft import foreign_text


def markdown(titles: str, lines: Iterable[Sequence[object]]) -> str:
    """Write a table."""
    names = titles.split(", ")
    cells = ([str(cell).replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(row)} |" for row in [names, ["---"] * len(names), *cells])


def tally(counts: dict[str, int] | None) -> str:
    """Write counts by name in one cell."""
    if counts is None:
        return "-"
    return ", ".join(f"{count:,} {plain(name)}" for name, count in counts.items()) or "0"


def share(part: int, whole: int) -> str:
    """Write a count with its share."""
    return f"{part:,} ({part / whole:.1%})"


def flow(settings: object) -> str:
    """Write settings as YAML on one line, in their order: rules have one."""
    text = yaml.safe_dump(settings, default_flow_style=True, sort_keys=False, width=10**6)
    return str(text).removesuffix("...\n")


def short(digest: str) -> str:
    """Quote the start of a digest."""
    return code(short_digest(digest))


def visible(text: str) -> str:
    """Show control characters, which Markdown and terminals do not bear, as their pictures.

    What has no picture is escaped, and keys are hidden.
    """
    pictures = {n: 0x2400 + n for n in range(32) if chr(n) not in "\n\t"} | {127: 0x2421}
    return foreign_text.visible(foreign_text.masked(text).translate(pictures))


def fenced(text: str) -> str:
    """Quote a text verbatim within a fence that no backticks of its own can close."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{visible(text)}\n{fence}"


def code(text: str) -> str:
    """Quote a text within a line or a table's cell."""
    line = " ".join(visible(text).split())
    ticks = "`" * (1 + max(map(len, re.findall(r"`+", line)), default=0))
    return f"{ticks} {line} {ticks}" if "`" in line else f"`{line}`"


def plain(text: str) -> str:
    """Write a name so that nothing in it is taken for Markdown."""
    return re.sub(r"([\\`*_\[\]<>#])", r"\\\1", " ".join(visible(text).split()))
