"""Gold answers, read out of what a source has in their place."""

import json
import math
from collections.abc import Callable
from typing import Any

from rft.errors import RFTError, clipped
from rft.grading.answers import last_answer_of
from rft.parts.faults import told_in_one_line


def plain(text: str) -> str | None:
    """The text itself."""
    return text


def gsm8k(text: str) -> str | None:
    """What follows the last `####`, without commas, as in GSM8K."""
    return text.rpartition("####")[2].strip().replace(",", "") if "####" in text else None


def boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` of a worked solution."""
    return last_answer_of(text)


def tests(text: str) -> str | None:
    """Tests of a program, all of which are one gold: a text, JSON, or lines of Python."""
    return text


READERS: dict[str, Callable[[str], str | None]] = {
    "plain": plain,
    "gsm8k": gsm8k,
    "boxed": boxed,
    "tests": tests,
}


def read_gold(value: Any, reader: str) -> list[str]:
    """Read the accepted answers out of a source's gold column."""
    values = value if isinstance(value, list | tuple) else [value]
    if reader == "tests":
        values = [_together(value)]
    golds = []
    for text in (str(item).strip() for item in values if _is_there(item)):
        with told_in_one_line():
            gold = READERS[reader](text)
        if gold is not None and not isinstance(gold, str):
            raise RFTError(
                f"gold_reader {reader}: it gave {clipped(repr(gold))} for {clipped(repr(text))}; "
                "it has to give a text, or None"
            )
        if gold:
            golds.append(gold)
    return list(dict.fromkeys(golds))


def _together(value: Any) -> str | None:
    """Make one text of tests that come in several lines, or as JSON that was read already."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    if isinstance(value, dict):
        return json.dumps(value)
    return value if isinstance(value, str) else None


def _is_there(item: Any) -> bool:
    """Say whether a gold is one: a text or a number; pandas writes NaN where there is none."""
    if item is None or isinstance(item, dict | list | bytes):
        return False
    return not isinstance(item, float) or math.isfinite(item)
