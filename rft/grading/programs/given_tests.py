"""Tests as a gold gives them: inputs and outputs, texts or for a function, or asserts in Python."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# No honest set of tests has more; each takes a process.
MOST_CASES = 1_000


@dataclass(frozen=True)
class Streams:
    """For programs that read their input and print: what goes in, and what has to come out."""

    cases: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Calls:
    """For a function: its arguments, and what it has to give."""

    name: str
    cases: Sequence[tuple[Sequence[Any], Any]]


@dataclass(frozen=True)
class Asserts:
    """Python that calls what a program defines, and fails if that is not as it should be."""

    source: str


def read_tests(gold: str) -> Streams | Calls | Asserts | None:
    """Read a gold; None where it is JSON but no tests. What is Python is not looked into."""
    if not gold.lstrip().startswith("{"):
        return Asserts(gold)
    try:
        given = json.loads(gold)
        inputs, outputs, name = given["inputs"], given["outputs"], given.get("fn_name")
        paired = list(zip(inputs, outputs, strict=True))
        if not 0 < len(paired) <= MOST_CASES:
            return None
        if name is None:
            return Streams([(_text(given), _text(wanted)) for given, wanted in paired])
        if not (isinstance(name, str) and name.isidentifier()):
            return None
        return Calls(name, [(_arguments(given), _result(wanted)) for given, wanted in paired])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _text(given: Any) -> str:
    """Read what is to be fed or printed: a text, or a list of lines."""
    lines = given if isinstance(given, list) else [given]
    if not all(isinstance(line, str) for line in lines):
        raise ValueError("a stream is text")
    return "\n".join(lines)


def _arguments(given: Any) -> list[Any]:
    """Read arguments: a list of them, or a line of JSON for each."""
    if isinstance(given, str):
        return [json.loads(line) for line in given.split("\n") if line.strip()]
    if not isinstance(given, list):
        raise ValueError("arguments are a list")
    return given


def _result(wanted: Any) -> Any:
    """Read what a function has to give: a value, or one in JSON."""
    if not isinstance(wanted, str):
        return wanted
    try:
        return json.loads(wanted)
    except ValueError:
        return wanted


def same_output(output: bytes, wanted: str) -> bool:
    """Compare line by line; blanks at the ends of lines and blank lines at the end do not count."""
    return _lines(output.decode(errors="replace")) == _lines(wanted)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def same_result(output: bytes, wanted: Any) -> bool:
    """Compare what a function gave; sources may write a single result as a list of it."""
    try:
        given = json.loads(output)
    except (ValueError, RecursionError):
        return False
    alone = isinstance(wanted, list) and len(wanted) == 1 and given == wanted[0]
    return bool(given == wanted or alone)
