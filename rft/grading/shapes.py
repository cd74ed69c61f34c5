r"""Of which kind an answer is: a point, a set, a list; math-verify takes one for another.

THE RULE. `(1,2,3)` is a point and `\{1,2,3\}` a set, and they differ; `1,2,3` without either may be
both. An item that one side lists twice and the other once makes them differ, but in a set.
"""

import re
from collections import Counter

_OPENED, _CLOSED = "([{", ")]}"
_SEPARATOR = re.compile(r"\s+and\s+|\s+or\s+|\\text\{\s*(?:and|or)\s*\}")


def same_shape(gold: str, answer: str) -> bool:
    """Tell whether two texts of equal content are of one kind too, as far as they say."""
    kinds = {kind_of(gold), kind_of(answer)}
    if {"point", "set"} <= kinds:
        return False
    return "set" in kinds or repeated(gold) == repeated(answer)


def kind_of(text: str) -> str:
    """Tell by what encloses all of a text whether it is a `point` or a `set`; else a `list`."""
    text = plain(text)
    for opened, closed, kind in (("(", ")", "point"), (r"\{", r"\}", "set")):
        inside = text[len(opened) : -len(closed)]
        if text.startswith(opened) and text.endswith(closed) and len(items(inside)) > 1:
            return kind
    return "list"


def repeated(text: str) -> dict[str, int]:
    """Count the items that a list has more than once."""
    counts = Counter("".join(item.split()) for item in items(_SEPARATOR.sub(",", plain(text))))
    return {item: count for item, count in counts.items() if count > 1}


def items(text: str) -> list[str]:
    """Split a text at the commas that no bracket encloses; one item if brackets do not match."""
    depth, begin, parts = 0, 0, []
    for place, sign in enumerate(text):
        depth += (sign in _OPENED) - (sign in _CLOSED)
        if depth < 0:
            return [text]
        if sign == "," and depth == 0:
            parts.append(text[begin:place])
            begin = place + 1
    return [text] if depth else [*parts, text[begin:]]


def plain(text: str) -> str:
    """Take off what sizes brackets and what sets space."""
    return re.sub(r"\\(?:left|right|big|Big|bigl|bigr)(?![A-Za-z])|\\[,;:! ]", "", text).strip()
