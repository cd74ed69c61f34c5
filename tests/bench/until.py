"""Sampling in waves against a fixed n, at equal numbers of usable samples (make bench-until).

Samples every problem MAX times once, then asks the real stage, over that recording, for waves until
ACCEPTED are correct and pass the rules. What is used of a problem is at most ACCEPTED samples, by
`select.per_problem`; a fixed n is the smallest that yields as many usable ones. Both are paid for
in the same tokens, so nothing but the rule differs.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.filter import apply_rules
from pipelines.grade import grading
from rft.runs.folder import open_run
from tests.command import command

ACCEPTED, MAX, WAVE, PROBLEMS = 4, 64, 4, 256
RESAMPLES = 2000


def rft(*arguments: object) -> None:
    subprocess.run(command(*arguments), check=True)


def sampled(folder: Path, *settings: str) -> pl.DataFrame:
    """Sample a round and give its rollouts."""
    changes = [part for setting in settings for part in ("--set", setting)]
    rft("prepare", "quickstart", "--out", folder, *changes)
    rft("sample", folder)
    return open_run(folder).read("rollouts", 1)


def usable(graded: pl.DataFrame, rules: dict[str, dict[str, object]]) -> int:
    """Count the accepted answers of which a selection can use: so many of each problem."""
    kept, _ = apply_rules(graded, rules)
    counts = kept.filter(pl.col("verdict") == "correct")["problem_id"].value_counts()
    return int(counts["count"].clip(upper_bound=ACCEPTED).sum())


def main() -> None:
    """Print both costs, their ratio with its interval, and how even the yield is."""
    with tempfile.TemporaryDirectory() as scratch:
        recording = Path(scratch) / "recording"
        problems = f"sample.problems={PROBLEMS}"
        everything = sampled(recording, problems, f"sample.n={MAX}")
        waves = sampled(
            Path(scratch) / "waves",
            problems,
            f"sample.until={{accepted: {ACCEPTED}, max: {MAX}, wave: {WAVE}}}",
            "engine.kind=replay",
            f"engine.path={recording}",
        )
        run = open_run(recording)
        with grading(run) as (graded_of, _):
            graded, in_waves = graded_of(everything), graded_of(waves)
    rules = run.recipe.filter
    there = usable(in_waves, rules)
    yields = {
        n: usable(graded.filter(pl.col("sample_index") < n), rules) for n in range(1, MAX + 1)
    }
    n = min(n for n, number in yields.items() if number >= there or n == MAX)
    fixed = everything.filter(pl.col("sample_index") < n)
    by_problem = (
        waves.group_by("problem_id")
        .agg(waves=pl.col("num_tokens").sum())
        .join(fixed.group_by("problem_id").agg(fixed=pl.col("num_tokens").sum()), on="problem_id")
    )
    assert len(by_problem) == PROBLEMS, "both ask the same problems"
    a, b = by_problem["waves"].to_numpy(), by_problem["fixed"].to_numpy()
    source = np.random.default_rng(0)
    picks = [source.integers(PROBLEMS, size=PROBLEMS) for _ in range(RESAMPLES)]
    low, high = np.percentile([a[pick].sum() / b[pick].sum() for pick in picks], [2.5, 97.5])
    print(f"usable samples: waves {there}, n = {n} {yields[n]}, n = {n - 1} {yields.get(n - 1, 0)}")
    print(
        f"until {{accepted: {ACCEPTED}, max: {MAX}, wave: {WAVE}}}: "
        f"{len(waves):,} rollouts, {a.sum():,} tokens"
    )
    print(f"fixed n = {n}: {len(fixed):,} rollouts, {b.sum():,} tokens")
    print(f"ratio of rollouts {len(waves) / len(fixed):.3f}")
    print(f"ratio of tokens {a.sum() / b.sum():.3f} [{low:.3f}, {high:.3f}], by problems, that n")


if __name__ == "__main__":
    main()
