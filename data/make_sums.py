"""Write the easier bundled problems, data/sums/{train,dev,test}.jsonl.

One step each, small numbers, plain words: for small language models that were trained on everything
but arithmetic. Run as `python data/make_sums.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from arithmetic_language import NAMES, THINGS, apply

SEED = 20_251_128
SIZES = {"test": 150, "dev": 150, "train": 900}
FOLDER = Path(__file__).parent / "sums"
# Of each tier's calculations, how many in a hundred are those of dev, and of test.
SHARE = 20

Calculation = tuple[str, int, int]

CALCULATIONS: dict[int, list[Calculation]] = {
    1: [("+", a, b) for a in range(1, 11) for b in range(1, a + 1)]
    + [("-", a, b) for a in range(2, 11) for b in range(1, a)],
    2: [("+", a, b) for a in range(11, 31) for b in range(2, 13)]
    + [("-", a, b) for a in range(11, 31) for b in range(2, 11)],
    3: [("*", a, b) for a in range(2, 13) for b in range(2, min(a, 9) + 1)],
}
WORDS = {
    "+": (
        "What is {a} plus {b}?",
        "What is the sum of {a} and {b}?",
        "{name} has {a} {things} and gets {b} more. How many {things} does {name} have now?",
        "{name} has {a} {things} and {other} has {b} {things}. How many {things} do they have "
        "together?",
    ),
    "-": (
        "What is {a} minus {b}?",
        "What is {b} less than {a}?",
        "{name} has {a} {things} and gives away {b}. How many {things} are left?",
        "{name} has {a} {things} and {other} has {b} {things}. How many more {things} does {name} "
        "have?",
    ),
    "*": (
        "What is {a} times {b}?",
        "What is the product of {a} and {b}?",
        "{name} has {a} boxes with {b} {things} in each. How many {things} does {name} have?",
        "How many dollars do {a} {things} cost at {b} dollars each?",
    ),
}


def split_up(rng: Random) -> dict[str, dict[int, list[Calculation]]]:
    """Give each calculation to one split: what is tested is trained on in no other words either."""
    given: dict[str, dict[int, list[Calculation]]] = {split: {} for split in SIZES}
    for tier, every in CALCULATIONS.items():
        shuffled = rng.sample(every, len(every))
        cut = len(every) * SHARE // 100
        given["test"][tier] = shuffled[:cut]
        given["dev"][tier] = shuffled[cut : 2 * cut]
        given["train"][tier] = shuffled[2 * cut :]
    return given


def ask(calculation: Calculation, rng: Random) -> str:
    """Put a calculation into words."""
    op, a, b = calculation
    if op in "+*" and rng.random() < 0.5:
        a, b = b, a
    name, other = rng.sample(NAMES, 2)
    words = rng.choice(WORDS[op])
    # Whatever one has one of is one thing.
    if 1 in (a, b) and "{things}" in words:
        words = WORDS[op][0]
    return words.format(a=a, b=b, name=name, other=other, things=rng.choice(THINGS))


def draw(
    calculations: dict[int, list[Calculation]], size: int, rng: Random
) -> list[dict[str, object]]:
    """Draw new problems, one of each tier in turn, so that any prefix is balanced over tiers."""
    used: set[str] = set()
    rows: list[dict[str, object]] = []
    while len(rows) < size:
        tiers = rng.sample(list(calculations), len(calculations))
        for tier in tiers:
            calculation = rng.choice(calculations[tier])
            question = ask(calculation, rng)
            while question in used:
                calculation = rng.choice(calculations[tier])
                question = ask(calculation, rng)
            used.add(question)
            rows.append(
                {"question": question, "gold": str(apply(*calculation)), "difficulty": tier}
            )
    return rows


def made() -> dict[str, str]:
    """Make the text of each split's file; the splits are disjoint by calculation."""
    rng = Random(SEED)
    return {
        split: "".join(json.dumps(row) + "\n" for row in draw(calculations, SIZES[split], rng))
        for split, calculations in split_up(rng).items()
    }


def main() -> None:
    """Write the three splits."""
    FOLDER.mkdir(exist_ok=True)
    for split, text in made().items():
        (FOLDER / f"{split}.jsonl").write_text(text, encoding="utf-8")
        print(f"{split}: {SIZES[split]} problems")


if __name__ == "__main__":
    main()
