"""Write the bundled problems, data/arithmetic/{train,dev,test}.jsonl.

Run as `python data/make_arithmetic.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from arithmetic_language import TIERS, Problem, draw_problem

SEED = 20_250_811
SIZES = {"test": 300, "dev": 300, "train": 2400}
FOLDER = Path(__file__).parent / "arithmetic"


def draw_split(size: int, used: set[str], rng: Random) -> list[Problem]:
    """Draw new problems, one of each tier in turn, so that any prefix is balanced over tiers."""
    problems: list[Problem] = []
    while len(problems) < size:
        tiers = list(TIERS)
        rng.shuffle(tiers)
        for tier in tiers:
            problem = draw_problem(tier, rng)
            while problem.question in used:
                problem = draw_problem(tier, rng)
            used.add(problem.question)
            problems.append(problem)
    return problems


def main() -> None:
    """Write the three splits, disjoint by question."""
    FOLDER.mkdir(exist_ok=True)
    rng = Random(SEED)
    used: set[str] = set()
    for split, size in SIZES.items():
        rows = [
            {"question": p.question, "gold": str(p.gold), "difficulty": p.tier, "kind": p.kind}
            for p in draw_split(size, used, rng)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (FOLDER / f"{split}.jsonl").write_text(text, encoding="utf-8")
        print(f"{split}: {len(rows)} problems")


if __name__ == "__main__":
    main()
