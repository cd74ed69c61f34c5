r"""Of which kind an answer is: a point, a set, a list; math-verify takes one for another.

THE RULE. `(1,2,3)` is a point and `\{1,2,3\}` a set, and they differ; `1,2,3` without either may be
both. An item that one side lists twice and the other once makes them differ, but in a set.
`12_3` and `12_4` differ, and `1:2:3` is no quotient.
"""

import itertools
import math
import re
from collections import Counter
from typing import NamedTuple

_OPENED, _CLOSED = "([{", ")]}"
_SEPARATOR = re.compile(r"\s+and\s+|\s+or\s+|\\text\{\s*(?:and|or)\s*\}")
_GROUPED = re.compile(r"[0-9],[0-9]{3}(?![0-9])", re.ASCII)
# Numbers that math-verify divides by one another, and a base that it drops.
_RATIO = re.compile(r"([0-9]{1,9}(?::[0-9]{1,9}){2,9})", re.ASCII)
_IN_BASE = re.compile(r"[0-9A-F]+_\{?([0-9]{1,3})\}?", re.ASCII)


def same_shape(gold: str, answer: str) -> bool:
    """Tell whether two texts of equal content are of one kind too, as far as they say."""
    for pattern in (_RATIO, _IN_BASE):
        one, other = (pattern.fullmatch("".join(text.split())) for text in (gold, answer))
        if one and other and proportion(one[1]) != proportion(other[1]):
            return False
    kinds = {kind_of(gold), kind_of(answer)}
    if {"point", "set"} <= kinds:
        return False
    return "set" in kinds or repeated(gold) == repeated(answer)


def proportion(text: str) -> list[int]:
    """Give the numbers of a ratio in lowest terms; one number stays as it is."""
    numbers = [int(number) for number in text.split(":")]
    common = math.gcd(*numbers) if len(numbers) > 1 else 1
    return [number // max(common, 1) for number in numbers]


def kind_of(text: str) -> str:
    """Tell by what encloses all of a text whether it is a `point` or a `set`; else a `list`."""
    text = plain(text)
    for opened, closed, kind in (("(", ")", "point"), (r"\{", r"\}", "set")):
        inside = text[len(opened) : -len(closed)]
        if text.startswith(opened) and text.endswith(closed) and len(items(inside)) > 1:
            return kind
    return "list"


class Opened(NamedTuple):
    """The items of a text, and the brackets around all of them; of one item there are none."""

    brackets: tuple[str, str]
    items: list[str]


def opened(text: str) -> Opened:
    """Take a point or a set apart; a list without brackets is one item, as `(1,000)` is."""
    text = plain(text)
    if _GROUPED.search(text):
        return Opened(("", ""), [text])
    for first, last in itertools.product(("(", "[", r"\{"), (")", "]", r"\}")):
        inside = text[len(first) : -len(last)]
        if text.startswith(first) and text.endswith(last) and len(parts := items(inside)) > 1:
            return Opened((first, last), parts)
    return Opened(("", ""), [text])


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
