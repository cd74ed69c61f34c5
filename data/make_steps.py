"""Write the harder bundled problems, data/steps/{train,dev,test}.jsonl.

Two steps and more, none of them in `arithmetic` and none that `tiny` was trained on: what a
comparison needs, since of easier ones 64 samples solve all. Run as `python data/make_steps.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

from arithmetic_language import (
    INSTRUCTION,
    Expression,
    Problem,
    add_or_subtract,
    hard,
    instructions,
    middling,
    story,
    symbols,
    value,
)
from make_tiny import DOCUMENTS, END, SEED, START, draw_documents

OWN_SEED = 20_251_129
SIZES = {"test": 300, "dev": 150, "train": 1800}
HOME = Path(__file__).parent


def harder(rng: Random) -> Expression:
    """Draw a step more than the hard ones have."""
    return add_or_subtract(hard(rng), 2, 20, rng)


TIERS: dict[int, Callable[[Random], Expression]] = {1: middling, 2: hard, 3: harder}


def draw(tier: int, rng: Random) -> Problem:
    """Draw a problem of one tier, half in symbols and half in words."""
    expression = TIERS[tier](rng)
    kind = rng.choice(("symbols", "symbols", "story", "instructions"))
    if kind == "symbols":
        forms = ("{} = ?", "What is {}?", "Calculate {}.", "Compute {}.", "Find the value of {}.")
        question = rng.choice(forms).format(symbols(expression))
    else:
        question = (story if kind == "story" else instructions)(expression, rng)
    return Problem(question, value(expression), tier, kind, expression)


def taken() -> set[str]:
    """Give the questions of `arithmetic`, and those that `tiny` has seen."""
    questions = {
        json.loads(line)["question"]
        for path in (HOME / "arithmetic").glob("*.jsonl")
        for line in path.read_text().splitlines()
    }
    for prompt, _, _ in draw_documents(DOCUMENTS, Random(SEED)):
        asked = prompt.removeprefix(f"{START}user\n").partition(END)[0].removesuffix("\n")
        questions.add(asked.removesuffix(INSTRUCTION))
    return questions


def main() -> None:
    """Write the three splits, disjoint by question; any prefix is balanced over tiers."""
    (HOME / "steps").mkdir(exist_ok=True)
    rng = Random(OWN_SEED)
    used = taken()
    for split, size in SIZES.items():
        rows = []
        while len(rows) < size:
            tiers = list(TIERS)
            rng.shuffle(tiers)
            for tier in tiers:
                problem = draw(tier, rng)
                while problem.question in used or not 0 <= problem.gold <= 999:
                    problem = draw(tier, rng)
                used.add(problem.question)
                rows.append(
                    {
                        "question": problem.question,
                        "gold": str(problem.gold),
                        "difficulty": tier,
                        "kind": problem.kind,
                    }
                )
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (HOME / "steps" / f"{split}.jsonl").write_text(text, encoding="utf-8")
        print(f"{split}: {len(rows)} problems")


if __name__ == "__main__":
    main()
