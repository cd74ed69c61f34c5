"""What the quickstarts gain, and what their parts add: control arms, over seeds.

Each arm is the shipped recipe with one thing taken away. Beside the interval over problems of one
run stands the spread over seeds, which says more of the method.

Run: make bench-controls (about 50 minutes on 2 CPU cores; what is done is used again)
"""

import argparse
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from rft.measuring.diversity import distinct_answers
from rft.measuring.gain import gain_of
from rft.measuring.majority import majority
from rft.measuring.pass_at_k import paired_difference_of, passes
from rft.runs.folder import Run, open_run

ARMS = {
    "quickstart": {
        "as shipped": [],
        "random choice": ["select.by=random", "select.strata=null"],
        "rules only, no noise": [
            "select.by=random",
            "select.strata=null",
            "select.noise=0",
            "select.per_problem=null",
        ],
    },
    "grpo-quickstart": {"as shipped": [], "plain GRPO": ["grpo.plugins={}"]},
}


@dataclass(frozen=True)
class Result:
    """What a run did to the test problems."""

    change: str
    gain: float
    form: float
    skill: float
    numbers: list[float]


def run_of(recipe: str, arm: str, seed: int, root: Path) -> Run:
    """Do a run, or what is missing of it."""
    folder = root / f"{recipe}-{arm.replace(' ', '-').replace(',', '')}-{seed}"
    verb = "grpo" if recipe.startswith("grpo") else "run"
    if not (folder / "recipe.yaml").exists():
        settings = [f"seed={seed}", *ARMS[recipe][arm]]
        options = [word for setting in settings for word in ("--set", setting)]
        words = [recipe, "--out", str(folder), *options]
    else:
        words = [str(folder)]
    command = [sys.executable, "-m", "rft", verb, *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return open_run(folder)


def measured(run: Run, model: int) -> pl.DataFrame:
    """Read a model's answers to the test problems."""
    return run.read("evaluations", model).filter(pl.col("split") == "test")


def numbers_of(frame: pl.DataFrame) -> list[float]:
    """Give Pass@1, lenient Pass@1, Pass@16, maj@16, distinct answers and mean entropy."""
    lenient = frame.with_columns(verdict="verdict_lenient")
    return [
        100 * float(passes(frame, 1).mean()),
        100 * float(passes(lenient, 1).mean()),
        100 * float(passes(frame, 16).mean()),
        100 * float(majority(frame).mean()),
        float(distinct_answers(frame).mean()),
        float(frame["mean_entropy"].mean()),
    ]


def result_of(run: Run, seed: int) -> Result:
    """Compare a run's last model with its base."""
    base, last = measured(run, 0), measured(run, run.recipe.rounds)
    change = paired_difference_of(base, last, k=1, seed=seed)
    gain = gain_of(base, last, seed=seed)
    assert gain is not None, "the base boxes nothing"
    value, low, high = (100 * each for each in (change.value, change.low, change.high))
    return Result(
        f"{value:+.1f} [{low:+.1f}, {high:+.1f}]",
        value,
        100 * gain.form.value,
        100 * gain.skill.value,
        numbers_of(last),
    )


def spread(values: list[float], form: str = ".1f") -> str:
    """Write a mean with its standard deviation over seeds."""
    return f"{statistics.mean(values):{form}} ± {statistics.stdev(values):{form.lstrip('+')}}"


def main() -> None:
    """Do all arms with all seeds, and print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, default=Path("runs/controls"))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for recipe, arms in ARMS.items():
        print(f"\n{recipe}: change of test Pass@1 in points, with its interval over problems\n")
        print("| arm | " + " | ".join(f"seed {seed}" for seed in range(options.seeds)), end="")
        print(" | mean ± sd over seeds | format | skill |")
        print("|---" * (options.seeds + 4) + "|")
        rows = []
        base = []
        for arm in arms:
            runs = [run_of(recipe, arm, seed, options.root) for seed in range(options.seeds)]
            results = [result_of(run, seed) for seed, run in enumerate(runs)]
            base = base or [numbers_of(measured(run, 0)) for run in runs]
            cells = [
                *(each.change for each in results),
                spread([each.gain for each in results], "+.1f"),
                spread([each.form for each in results], "+.1f"),
                spread([each.skill for each in results], "+.1f"),
            ]
            print(f"| {arm} | " + " | ".join(cells) + " |", flush=True)
            rows.append((arm, [each.numbers for each in results]))
        print("\n| last model | Pass@1 | lenient | Pass@16 | maj@16 | distinct answers | entropy |")
        print("|---" * 7 + "|")
        for arm, seeds in [("the base", base), *rows]:
            columns = list(zip(*seeds, strict=True))
            cells = [spread(list(each)) for each in columns[:4]]
            cells += [spread(list(each), ".2f") for each in columns[4:]]
            print(f"| {arm} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
