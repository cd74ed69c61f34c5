"""Grading against a plain math-verify loop, by kind of answer: `make bench-grading`.

Answers are drawn as a model's are: some right and spelled otherwise, some wrong, many alike.
Start-up is excluded on both sides; ratios are of paired, alternating repetitions in one process.
"""

import logging
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from rft.grading.verifier import Verifier
from rft.runs.folder import versions
from tests.closed_forms import drawn, spelled

PAIRS, REPEATS = 200, 3
# Of 2,000 distinct pairs of a round over problems such as MATH's; each comes ten times.
SHARES = {
    "numbers": 0.62,
    "sums of fractions, roots, pi, variables": 0.2,
    "points and intervals": 0.05,
    "with units or words": 0.08,
    "functions, equations, unions": 0.05,
}
DISTINCT, TIMES = 2_000, 10
Pair = tuple[str, str]


def numbers(source: random.Random) -> Pair:
    """Draw two numbers."""
    gold = source.choice([source.randint(0, 999), source.randint(1_000, 99_999)])
    given = gold if source.random() < 0.5 else gold + source.randint(1, 9)
    return str(gold), source.choice([f"{given}", f"{given:,}", f"{given}.0", rf"\${given}"])


def sums(source: random.Random) -> Pair:
    """Draw two sums."""
    gold = drawn(source)
    return gold, spelled(gold) if source.random() < 0.5 else drawn(source)


def points(source: random.Random) -> Pair:
    """Draw two points or intervals."""
    first, last = source.choice([("(", ")"), ("(", ")"), ("[", ")")])
    ends = drawn(source), drawn(source)
    other = map(spelled, ends) if source.random() < 0.5 else (drawn(source), ends[1])
    return f"{first}{', '.join(ends)}{last}", rf"\left{first}{','.join(other)}\right{last}"


def measures(source: random.Random) -> Pair:
    """Draw a number with a unit, or a text."""
    if source.random() < 0.5:
        words = ["even", "odd", "east", "Monday", "no solution", "parallelogram"]
        return rf"\text{{{source.choice(words)}}}", source.choice(words)
    gold, unit = source.randint(1, 500), source.choice(["cm", "dollars", "degrees", "hours"])
    given = gold if source.random() < 0.5 else gold + 1
    return str(gold), source.choice([f"{given} {unit}", rf"{given}\text{{ {unit}}}"])


def functions(source: random.Random) -> Pair:
    """Draw what only computer algebra reads."""
    a, b = source.randint(2, 9), source.randint(1, 9)
    c = b if source.random() < 0.5 else b + 1
    return source.choice(
        [
            (rf"{a}\sin x + {b}", rf"{c}+{a}\sin(x)"),
            (rf"y = {a}x + {b}", f"y={c}+{a}x"),
            (rf"(-\infty, {a}) \cup ({a + b}, \infty)", rf"(-\infty,{a})\cup({a + c},\infty)"),
            (rf"\log_{{{a}}} {b}", rf"\frac{{\ln {c}}}{{\ln {a}}}"),
            (rf"\frac{{1}}{{x+{b}}}", f"1/({c}+x)"),
        ]
    )


KINDS: dict[str, Callable[[random.Random], Pair]] = dict(
    zip(SHARES, (numbers, sums, points, measures, functions), strict=True)
)


def distinct(kind: str, count: int, source: random.Random) -> list[Pair]:
    """Draw so many different pairs of a kind."""
    pairs: dict[Pair, None] = {}
    while len(pairs) < count:
        pairs[KINDS[kind](source)] = None
    return list(pairs)


def loop(pairs: Iterable[Pair]) -> float:
    """Time what most people write."""
    from math_verify import parse, verify

    began = time.perf_counter()
    for gold, answer in pairs:
        verify(
            parse(rf"\boxed{{{gold}}}", parsing_timeout=None),
            parse(rf"\boxed{{{answer}}}", parsing_timeout=None),
            timeout_seconds=None,
        )
    return time.perf_counter() - began


def ours(pairs: Iterable[Pair]) -> float:
    """Time a cold verifier of one worker, whose process is there."""
    with Verifier(workers=1) as verifier:
        verifier.verdicts([(r"\sin x", r"\sin(x)")])
        began = time.perf_counter()
        verifier.verdicts(pairs)
        return time.perf_counter() - began


def show(what: str, pairs: list[Pair], repeats: int) -> None:
    """Print the speed of both, and the ratio of their times."""
    both = [(loop(pairs), ours(pairs)) for _ in range(repeats)]
    ratios = sorted(theirs / mine for theirs, mine in both)
    first, second = (len(pairs) / statistics.median(each) for each in zip(*both, strict=True))
    print(
        f"| {what} | {first:,.0f} | {second:,.0f} | "
        f"{statistics.median(ratios):.1f} [{ratios[0]:.1f}, {ratios[-1]:.1f}] |",
        flush=True,
    )


def main() -> None:
    """Compare the two on each kind, and on a round's rollouts."""
    logging.disable(logging.WARNING)
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}; ", end="")
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    print("| pairs | loop, pairs/s | one worker, pairs/s | times as fast |\n|---|---|---|---|")
    loop([("1", "1")])
    whole: list[Pair] = []
    for kind, share in SHARES.items():
        source = random.Random(kind)
        show(f"{PAIRS} distinct: {kind}", distinct(kind, PAIRS, source), REPEATS)
        whole += distinct(kind, round(DISTINCT * share), source)
    random.Random(0).shuffle(whole)
    show(f"{len(whole):,} distinct, as above in a round's shares", whole, REPEATS)
    show(f"{TIMES * len(whole):,} rollouts of them", whole * TIMES, 1)


if __name__ == "__main__":
    main()
