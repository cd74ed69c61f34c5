"""Judges what needs no computer algebra: equal texts, times of day, numbers, sums read exactly."""

import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from rft.grading.closed_forms import closed_form, value, without_case
from rft.grading.judgement import Judgement
from rft.grading.shapes import Opened, opened, same_shape
from rft.grading.verifier_worker import close

# Longer texts are not parsed: no answer in mathematics needs them, and parsing is slow on them.
MAX_LENGTH = 2000
# Plain numbers, which math-verify and everybody else read alike. Left to math-verify are
# `01,000`, and what is so long that it would round.
_NUMBER = re.compile(
    r"(?:\\?\$)?(-?)([0-9]{1,15}|[1-9][0-9]{0,2}(?:,[0-9]{3}){1,4})?(\.[0-9]{1,14})?"
    r"(?: \\times 10\^\{(-?[0-9]{1,3})\})?",
    re.ASCII,
)
_DIGITS = 15
# math-verify compares decimals rounded to 6 places: nearer than this, it decides.
_NEAR = Fraction(1, 100_000)
_FAR = Decimal("0.0001")
# A word, where a capital does not count: `True` and `true`; `AB` and `ab` differ.
_WORD = re.compile(r"[A-Za-z][a-z]{2,}", re.ASCII)
# A time of day is a text: 12:00 is no division by zero.
_AROUND_TIME = re.compile(r"\\(?:text|textrm|mathrm|mbox)(?![A-Za-z])|\\[,;: ]|[{}~]")
_TIME = re.compile(r"[0-2]?[0-9]:[0-5][0-9](:[0-5][0-9])?([ap]m)?", re.ASCII)


def at_first_sight(gold: str, answer: str) -> Judgement | None:
    """Judge what needs no reading: equal strings, nothing, too much."""
    gold, answer = gold.strip(), answer.strip()
    if not answer:
        return Judgement("no_answer", "empty")
    if gold == answer:
        return Judgement("correct", "exact")
    fault = gold_fault(gold)
    if fault is not None:
        return fault
    return Judgement("unparseable", "too_long") if len(answer) > MAX_LENGTH else None


def gold_fault(gold: str) -> Judgement | None:
    """Find what is wrong with a gold at first sight."""
    if not gold:
        return Judgement("bad_gold", "empty")
    return Judgement("bad_gold", "too_long") if len(gold) > MAX_LENGTH else None


def settle(gold: str, answer: str) -> Judgement | None:
    """Judge two texts in one spelling that need no algebra: equal ones, numbers, and sums."""
    if "".join(gold.split()) == "".join(answer.split()):
        return Judgement("correct", "exact")
    if _WORD.fullmatch(gold) and _WORD.fullmatch(answer) and gold.lower() == answer.lower():
        return Judgement("correct", "text")
    if is_time(gold) and timed(gold) == timed(answer):
        return Judgement("correct", "text")
    return as_numbers(gold, answer) or _as_closed_forms(gold, answer)


def as_numbers(gold: str, answer: str) -> Judgement | None:
    """Judge two plain numbers, unless they are so near that math-verify decides."""
    wanted, given = plain_number(gold), plain_number(answer)
    if wanted is None or given is None:
        return None
    if wanted == given:
        return Judgement("correct", "numeric")
    if abs(wanted - given) >= _NEAR or not close(wanted, given, (gold, answer)):
        return Judgement("wrong", "numeric")
    return None


def _as_closed_forms(gold: str, answer: str) -> Judgement | None:
    """Judge two sums that can be read exactly, or two points, intervals or sets of them.

    What is so near that math-verify may call it equal, it decides.
    """
    ours, theirs = opened(gold), opened(answer)
    if ours.brackets != theirs.brackets or len(ours.items) != len(theirs.items):
        return None
    each = [_same(*pair) for pair in zip(ours.items, theirs.items, strict=True)]
    if all(each) and same_shape(gold, answer):
        return Judgement("correct", "closed_form")
    # A set has no order, and intervals that hold nothing are all one.
    in_order = ours.brackets in (("", ""), ("(", ")")) or (
        is_interval(ours) and is_interval(theirs)
    )
    apart = in_order and False in each and None not in each
    return Judgement("wrong", "closed_form") if apart else None


def is_interval(text: Opened) -> bool:
    """Tell whether a text is an interval from one number to a larger one."""
    if "[" not in text.brackets and "]" not in text.brackets:
        return False
    ends = [closed_form(item) for item in text.items]
    values = [value(end) for end in ends if end is not None]
    if len(text.items) != 2 or len(values) != 2:
        return False
    low, high = values
    return low is not None and high is not None and high - low >= _FAR


def _same(gold: str, answer: str) -> bool | None:
    """Tell whether two sums are equal; None where they cannot be read or are too near to tell."""
    wanted, given = closed_form(gold), closed_form(answer)
    if wanted is None or given is None:
        return None
    if wanted == given:
        return True
    one, other = value(wanted), value(given)
    if one is None or other is None:  # two polynomials that differ
        return None if without_case(wanted) == without_case(given) else False
    return False if abs(one - other) >= _FAR * max(Decimal(1), abs(one), abs(other)) else None


@lru_cache(maxsize=4096)
def plain_number(text: str) -> Fraction | None:
    r"""Read `42`, `-1.50`, `1,000`, `$18` or `3 \times 10^{8}` exactly; None for all else."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    sign, whole, decimals, exponent = match.groups(default="")
    digits = whole.replace(",", "") + decimals[1:]
    if not 0 < len(digits) <= _DIGITS:
        return None
    value = Fraction(int(digits), 10 ** len(decimals[1:])) * Fraction(10) ** int(exponent or 0)
    return -value if sign else value


def needs_no_reading(gold: str) -> bool:
    """Tell whether a gold can be compared without math-verify, whatever the answer."""
    return plain_number(gold) is not None or closed_form(gold) is not None or is_time(gold)


def is_time(text: str) -> bool:
    """Tell whether a text is a time of day."""
    return _TIME.fullmatch(timed(text)) is not None


def timed(text: str) -> str:
    """Write a time of day in one way."""
    return "".join(_AROUND_TIME.sub("", text).casefold().replace(".", "").split())
