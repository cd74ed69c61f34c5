"""Reads maths with math-verify in a process that may be killed at any moment.

Run by path (so this file imports nothing of ours) by `rft.grading.verifier`; one job a line on
stdin: `{"gold": ..., "answers": [...], "plain": false}`. One word a line on stdout: `ready` once,
then for each job `good` or `bad` for the gold and `correct`, `wrong` or `unparseable` for each
answer, in order. `memory` is the last word of a worker that ran out of it, `failed: ...` of one
that could not start.
"""

import contextlib
import json
import logging
import os
import random
import re
import resource
import signal
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

# The parent stops being there without a word only when it was killed: nobody is left to enforce
# the deadline then, and the kernel does it, these CPU seconds later.
ORPHAN_SECONDS = 3
ROOM = 64 << 20

_DELIMITED = re.compile(r"\$[^$]*[^$\s][^$]*\$|\\\(.*\\\)|\\\[.*\\\]|\\boxed\s*\{", re.DOTALL)
# What math-verify hands to sympy's parse_expr, which evaluates, has a digit and then one of these.
_ARITHMETIC = re.compile(r"\d[\d.\s+\-*×/^()÷]*[+\-*×/^()÷]")  # noqa: RUF001


# A letter that is no number, outside of commands: what has one has no value.
_VARIABLE, _COMMAND = re.compile("[a-df-hj-zA-DF-HJ-Z]", re.ASCII), re.compile(r"\\[A-Za-z]+")

# Two numbers are one if they differ by no more than this share of the larger,
CLOSE = Fraction(1, 1_000_000)
# or if one is the other rounded at its last digit, which has to leave so many that count.
DIGITS = 6
_DECIMAL = re.compile(r"-?([0-9,]*)\.([0-9]+)(?: \\times 10\^\{(-?[0-9]{1,3})\})?", re.ASCII)


def close(gold: Fraction, answer: Fraction, texts: tuple[str, str]) -> bool:
    """Tell whether two numbers, with the texts that they were read from, may count as one.

    math-verify compares six decimals, so that all tiny numbers are one to it.
    """
    apart = abs(gold - answer)
    return apart <= CLOSE * max(abs(gold), abs(answer)) or any(
        apart <= Fraction(last_digit(text)) / 2 for text in texts
    )


def last_digit(text: str) -> Fraction:
    """Give what one more in the last digit of a decimal is worth; 0 if too few digits count."""
    match = _DECIMAL.fullmatch(text.strip().lstrip("\\").lstrip("$"))
    if match is None:
        return Fraction(0)
    whole, decimals, exponent = match[1].replace(",", ""), match[2], int(match[3] or 0)
    if len((whole + decimals).lstrip("0")) < DIGITS:
        return Fraction(0)
    return Fraction(10) ** (exponent - len(decimals))


def read_answer(answer: str) -> list[Any]:
    """Parse an answer as LaTeX in a box: sympy objects, then the text itself.

    Only what LaTeX cannot read goes through math-verify's plain-number patterns, and only where
    they cannot hand an expression to sympy's parse_expr, which evaluates it: of what a model wrote,
    nothing but a number literal is ever evaluated (by `sympy.Number`).
    """
    boxed = rf"\boxed{{{answer}}}"
    parsed = _parse(boxed, latex_only=True)
    if _understood(parsed) or _ARITHMETIC.search(boxed):
        return parsed
    return _parse(boxed, latex_only=False)


@lru_cache(maxsize=4)
def read_gold(gold: str) -> list[Any]:
    r"""Parse a gold answer like an answer, unless it marks its mathematics with `$` and the like.

    A bare gold cannot be parsed as it is: `4a-2` would be 4, and `(1,2)` nothing.
    """
    if _DELIMITED.search(gold):
        parsed = _parse(gold, latex_only=True)
        if _understood(parsed):
            return parsed
    return read_answer(gold)


def gold_is_good(gold: str) -> bool:
    """Tell whether a gold answer parses to mathematics and equals itself."""
    objects = _understood(read_gold(gold))
    return _equal(objects, objects)


def judge(gold: str, answer: str) -> str:
    """Compare one answer with one gold: `correct`, `wrong` or `unparseable`."""
    wanted, parsed = read_gold(gold), read_answer(answer)
    if _equal(wanted, parsed):
        near = _near(_understood(wanted), _understood(parsed), (gold, answer))
        return "correct" if near and ("=" in gold or not _false_equation(answer)) else "wrong"
    return "wrong" if _understood(parsed) else "unparseable"


def judge_plainly(gold: str, text: str) -> str:
    """Let math-verify find the answer in a whole text, and compare it, as most use it."""
    wanted = _parse(rf"\boxed{{{gold}}}", latex_only=False)
    return "correct" if _equal(wanted, _parse(text, latex_only=False)) else "wrong"


def _near(gold: list[Any], answer: list[Any], texts: tuple[str, str]) -> bool:
    """Tell whether two things are close, where both are numbers; others are as near as they are."""
    if not (gold and answer):
        return True
    return _all_near(gold[0], answer[0], texts)


def _all_near(gold: Any, answer: Any, texts: tuple[str, str]) -> bool:
    from sympy import FiniteSet, Tuple  # type: ignore[import-untyped]

    if isinstance(gold, Tuple) and isinstance(answer, Tuple):
        return len(gold) != len(answer) or all(
            _all_near(one, other, ("", "")) for one, other in zip(gold, answer, strict=True)
        )
    if isinstance(gold, FiniteSet) and isinstance(answer, FiniteSet):
        return all(any(_all_near(one, other, ("", "")) for other in answer) for one in gold)
    one, other = _value(gold), _value(answer)
    return one is None or other is None or close(one, other, texts)


def _value(number: Any) -> Fraction | None:
    """Give a real number to 40 digits; None of everything else."""
    from sympy import Expr, N

    if not isinstance(number, Expr) or not number.is_number or number.is_real is False:
        return None
    try:
        return Fraction(str(N(number, 40)))
    except (ValueError, TypeError, ArithmeticError):
        return None


def _false_equation(answer: str) -> bool:
    """Tell whether an answer says of two numbers that they are one, and they are not: `4 = 3`."""
    sides = answer.split("=")
    if len(sides) < 2 or any(
        _VARIABLE.search(_COMMAND.sub("", side)) for side in sides[:: len(sides) - 1]
    ):
        return False
    first, last = (read_answer(side.strip()) for side in (sides[0], sides[-1]))
    values = [_value(each[0]) for each in (_understood(first), _understood(last)) if each]
    return len(values) == 2 and None not in values and not _equal(first, last)


def _parse(text: str, *, latex_only: bool) -> list[Any]:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    config = [LatexExtractionConfig()] + ([] if latex_only else [ExprExtractionConfig()])
    parsed: list[Any] = parse(text, extraction_config=config, parsing_timeout=None)
    return parsed


def _equal(gold: list[Any], answer: list[Any]) -> bool:
    from math_verify import verify

    return bool(verify(gold, answer, timeout_seconds=None))


def _understood(parsed: list[Any]) -> list[Any]:
    """Take what was read: neither the text itself, nor what is no number, to which all is equal."""
    return [item for item in parsed if not isinstance(item, str) and not _is_nothing(item)]


def _is_nothing(item: Any) -> bool:
    from sympy import nan, zoo

    return hasattr(item, "has") and bool(item.has(nan, zoo))


def serve(jobs: Any, say: Callable[[str], None], *, deadline: float) -> None:
    """Answer jobs until the parent closes the pipe."""
    for line in jobs:
        job = json.loads(line)
        gold = job["gold"]
        _start_clock(deadline)
        good = job["plain"] or gold_is_good(gold)
        say("good" if good else "bad")
        for answer in job["answers"] if good else []:
            _start_clock(deadline)
            say(judge_plainly(gold, answer) if job["plain"] else judge(gold, answer))


def _start_clock(deadline: float) -> None:
    """Make a task a function of its pair alone, and bound the CPU time that it can take."""
    from sympy.core.random import seed  # type: ignore[import-untyped]

    # sympy's numeric tests draw random points.
    seed(0)
    random.seed(0)
    allow_seconds(deadline)


def allow_seconds(deadline: float) -> None:
    """Bound the CPU time that this process can take from now on."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = usage.ru_utime + usage.ru_stime
    lower(resource.RLIMIT_CPU, int(spent + deadline) + ORPHAN_SECONDS)


def lower(limit: int, value: int) -> None:
    """Lower a limit of this process, as far as it may be."""
    _, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def has_room(memory_gb: float) -> bool:
    """Bound the memory of this process, and say whether that leaves room to work in."""
    lower(resource.RLIMIT_CORE, 0)
    # macOS takes this and ignores it, or refuses it: the deadline has to do there.
    with contextlib.suppress(ValueError, OSError):
        lower(resource.RLIMIT_AS, int(memory_gb * 2**30))
    try:
        # math-verify takes a MemoryError for an unreadable text: with too little room to work in,
        # every verdict would be wrong without a word.
        bytearray(ROOM)
    except MemoryError:
        return False
    return True


def main(deadline: float, memory_gb: float) -> None:
    """Serve the parent on the pipes that it gave us."""
    # Whoever presses Ctrl-C means the parent, which decides what becomes of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nothing but our own words may reach the pipe, whatever the libraries print.
    pipe = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)

    def say(word: str) -> None:
        pipe.write(word + "\n")
        pipe.flush()

    logging.disable(logging.CRITICAL)
    try:
        # Without its parser math-verify would find every answer unreadable. This also loads all
        # that the first pair would otherwise load on its own time.
        assert judge(r"\frac{x}{2}", "0.5x") == "correct", "it cannot read 0.5x"
    except (ImportError, AssertionError) as error:
        say(f"failed: {error!a}")
        return
    if not has_room(memory_gb):
        say(f"failed: a memory limit of {memory_gb:g} GB leaves no room to work in")
        return
    say("ready")
    try:
        serve(sys.stdin, say, deadline=deadline)
    except MemoryError:
        say("memory")
    except BrokenPipeError:
        # The parent is gone. Leave without flushing what it will never read.
        os._exit(0)


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]))
