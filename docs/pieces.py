"""Pieces of Markdown, of which generated pages are put together."""

import inspect
import re
import textwrap

# Signs that mean something in Markdown.
ACTING = re.compile(r"([\\*_\[\]<|])")


def page(title: str, *parts: str) -> str:
    """Put a page together."""
    return "\n\n".join([f"# {title}", *parts]) + "\n"


def table(heads: str, rows: list[list[str]]) -> str:
    """Write a table, whose cells may hold anything."""
    names = heads.split(", ")
    lines = [names, ["---"] * len(names), *([cell(each) for each in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text: str) -> str:
    """Write a text in one line, so that no bar in it ends the cell."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def prose(text: str) -> str:
    """Write a docstring as paragraphs, formulas set off; no sign in it acts as Markdown."""
    parts = []
    for part in text.split("\n\n"):
        if part.startswith("    "):
            parts.append(f"```text\n{textwrap.dedent(part)}\n```")
        else:
            spans = re.split(r"(`[^`]*`)", part)
            spans[::2] = [ACTING.sub(r"\\\1", span) for span in spans[::2]]
            parts.append("".join(spans))
    return "\n\n".join(parts)


def text_of(documented: object) -> str:
    """Give a docstring without the indentation of the code."""
    return inspect.getdoc(documented) or ""


def first_sentence(documented: object) -> str:
    """Give the first line of a docstring, which is a sentence."""
    return text_of(documented).partition("\n")[0]


def first_paragraph(documented: object) -> str:
    """Give what a docstring says before it goes into details."""
    return text_of(documented).partition("\n\n")[0]
