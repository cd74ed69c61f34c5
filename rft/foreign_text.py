"""Text that we did not write, made safe to print: model output is hostile."""

import unicodedata

from rich.cells import cell_len, chop_cells

# What acts on a terminal or cannot be seen: controls, formats (bidirectional ones too), separators.
HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def visible(text: str) -> str:
    r"""Escape what acts on a terminal or is unseen, as \x1b or \u202e; keep tabs and newlines."""
    if text.isprintable():
        return text
    return "".join(
        _escaped(character)
        if unicodedata.category(character) in HIDDEN and character not in "\n\t"
        else character
        for character in text
    )


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def one_line(text: str, width: int) -> str:
    """Write text in one line of at most `width` columns, with an ellipsis where it is cut."""
    # What is far beyond the width need not be looked at.
    line = visible(text[: 4 * width]).replace("\n", "\\n").replace("\t", "\\t")
    if len(text) <= 4 * width and cell_len(line) <= width:
        return line
    return (chop_cells(line, width - 1) or [""])[0] + "…"


def ending(text: str, width: int) -> str:
    """Write the end of a text in one line, with an ellipsis where its start is left out."""
    line = visible(text[-width:]).replace("\n", "\\n").replace("\t", "\\t")
    if len(text) <= width and cell_len(line) <= width:
        return line
    while cell_len(line) >= width:
        line = line[1:]
    return f"…{line}"


def short(text: str) -> str:
    """Make one printable line of a text, and not too long a one."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 300 else f"{line[:297]}..."
