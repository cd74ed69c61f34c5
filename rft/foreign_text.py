"""Text that we did not write, made safe to print and to store: it may act, be long, or hold keys.

What acts on a terminal is escaped by the outlet, rft/cli/terminal.py, whoever wrote it. Keys and
passwords are hidden there too, and wherever somebody else's words go into a file.
"""

import base64
import json
import os
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

# What acts on a terminal or cannot be seen: controls, formats (bidirectional ones too), separators.
HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Beside those, what no XML may hold, and so no picture.
NO_XML = "\ufffe\uffff"


def visible(text: str) -> str:
    r"""Escape what acts on a terminal or is unseen, as \x1b or \u202e; keep tabs and newlines."""
    if text.isprintable():
        return text
    return "".join(
        _escaped(character)
        if character in NO_XML
        or (unicodedata.category(character) in HIDDEN and character not in "\n\t")
        else character
        for character in text
    )


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def unbroken(text: str) -> str:
    r"""Escape newlines and tabs as well: what may stand within a line of ours, and end it nowhere.

    >>> unbroken("a\nb")
    'a\\nb'
    """
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def one_line(text: str, width: int) -> str:
    """Write text in one line of at most `width` columns, with an ellipsis where it is cut."""
    from rich.cells import cell_len, chop_cells

    # What is far beyond the width need not be looked at.
    line = unbroken(text[: 4 * width])
    if len(text) <= 4 * width and cell_len(line) <= width:
        return line
    return (chop_cells(line, width - 1) or [""])[0] + "…"


def ending(text: str, width: int) -> str:
    """Write the end of a text in one line, with an ellipsis where its start is left out."""
    from rich.cells import cell_len

    line = unbroken(text[-width:])
    if len(text) <= width and cell_len(line) <= width:
        return line
    while cell_len(line) >= width:
        line = line[1:]
    return f"…{line}"


def short(text: str, longest: int = 300) -> str:
    """Make one printable line of somebody's words, not too long a one, and without keys in it."""
    text = masked(text[: 8 * longest])
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


# Keys and passwords -------------------------------------------------------------------------------

MASK = "(hidden)"
# Shorter ones are no secrets: servers that need none are given words such as `none` or `EMPTY`.
SHORTEST_SECRET = 6
# So much of a secret in a row is hidden even where the rest is missing.
PART = 8
VARIABLES = ("HF_TOKEN", "HUB_TOKEN", "_API_KEY", "_API_TOKEN", "_PASSWORD", "_TRACKING_TOKEN")

# What looks like a secret, wherever it comes from.
PATTERNS = [
    re.compile(r"(?i)(?<![a-z])([a-z][a-z0-9+.-]{0,20}://)[^\s/?#\"'<>\\]{0,500}@"),
    re.compile(
        r"(?i)([?&][\w.-]{0,60}(?:key|token|secret|password|signature|credential)=)[^\s&#\"'<>\\]+"
    ),
    re.compile(
        r"(?i)(authorization[\"']?\s*[:=]\s*[\"']?(?:(?:basic|bearer|token)\s+)?)[^\s\"',}]+"
    ),
    re.compile(r"(?i)\b(bearer\s+)(?=\S{0,60}\d)[\w.~+/=-]{8,}"),
    re.compile(r"\b()(?:hf_[A-Za-z0-9]{16,}|sk-[\w-]{16,})"),
]
WORD = re.compile(r"[^\s\"'`<>()\[\],;]+")
# What stands where somebody has left out the middle of a word.
GAPS = ("**", "...", "…")
SMALL = {ord("A") + i: ord("a") + i for i in range(26)}

_kept: set[str] = set()


def keep_secret(secret: str) -> None:
    """Hide a key from now on, whatever repeats it."""
    if secret:
        _kept.add(secret)


def holds_secret(text: str) -> bool:
    """Say whether a text repeats one of our keys."""
    return any(secret in text for secret in _secrets())


def masked(text: str) -> str:
    """Hide keys and passwords: ours in any spelling or in part, and whatever looks like one."""
    for pattern in PATTERNS:
        at = "@" if pattern is PATTERNS[0] else ""
        text = pattern.sub(rf"\g<1>{MASK}{at}", text)
    secrets = _secrets()
    if not secrets:
        return text
    text = WORD.sub(lambda word: MASK if _frames(word[0], secrets) else word[0], text)
    return _without_parts(text, _parts(secrets))


def harmless(value: Any) -> Any:
    """Hide keys and passwords in all texts of a value that JSON can hold."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {harmless(name): harmless(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [harmless(each) for each in value]
    return value


def json_line(value: Any) -> str:
    """Write a value as one line of JSON that can do nothing to a terminal."""
    # All else beyond ASCII or below the space is escaped by JSON itself.
    return json.dumps(value).replace("\x7f", "\\u007f")


def _secrets() -> frozenset[str]:
    """Collect the keys that this process has been given."""
    given = {value.strip() for name, value in os.environ.items() if name.endswith(VARIABLES)}
    return frozenset(each for each in given | _kept if len(each) >= SHORTEST_SECRET)


def _spellings(secret: str) -> Iterator[str]:
    """List how a secret may be written."""
    raw = secret.encode(errors="replace")
    yield from (secret, quote(secret, safe=""), quote_plus(secret), raw.hex())
    for before in range(3):  # what base64 makes of it depends on where it begins
        text = base64.b64encode(b" " * before + raw).decode().rstrip("=")
        whole = text[(0, 2, 3)[before] : len(text) - bool((before + len(raw)) % 3)]
        yield from (whole, whole.replace("+", "-").replace("/", "_"))


@lru_cache(maxsize=8)
def _parts(secrets: frozenset[str]) -> dict[int, set[str]]:
    """Cut secrets, in all their spellings, into the parts that are looked for, by their length."""
    parts: dict[int, set[str]] = {}
    for spelling in (each for secret in secrets for each in _spellings(secret)):
        size = min(PART, len(spelling))
        if size < SHORTEST_SECRET:
            continue
        small = spelling.translate(SMALL)
        parts.setdefault(size, set()).update(
            small[start : start + size] for start in range(len(small) - size + 1)
        )
    return parts


def _without_parts(text: str, parts: dict[int, set[str]]) -> str:
    """Put the mask in place of whatever is made of the parts of secrets."""
    small, hidden = text.translate(SMALL), bytearray(len(text))
    for size, those in parts.items():
        for start in range(len(small) - size + 1):
            if small[start : start + size] in those:
                hidden[start : start + size] = b"\x01" * size
    pieces, start = [], 0
    while start < len(text):
        end = hidden.find(not hidden[start], start)
        end = len(text) if end < 0 else end
        pieces.append(MASK if hidden[start] else text[start:end])
        start = end
    return "".join(pieces)


def _frames(word: str, secrets: frozenset[str]) -> bool:
    """Say whether a word without its middle begins or ends as a secret does."""
    word = word.strip(".:") if any(gap in word for gap in GAPS) else ""
    return word != "" and any(word[:3] == each[:3] or word[-4:] == each[-4:] for each in secrets)
