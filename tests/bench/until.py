"""Sampling in waves against a fixed n, at equal numbers of usable samples (make bench-until).

Samples every problem 64 times once, then asks the real stage, over that recording, for waves until
ACCEPTED are correct and pass the rules, or max were drawn, for several max. What can be used of a
problem is at most ACCEPTED samples (`select.per_problem`), so that a fixed n = max yields exactly
as many usable ones. Both are paid for in the same tokens: nothing but the rule differs.
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

ACCEPTED, WAVE, PROBLEMS = 4, 4, 256
MOST = (8, 16, 32, 64)
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
    """Count the accepted answers that a selection can use: so many of each problem."""
    kept, _ = apply_rules(graded, rules)
    counts = kept.filter(pl.col("verdict") == "correct")["problem_id"].value_counts()
    return int(counts["count"].clip(upper_bound=ACCEPTED).sum())


def ratio(waves: pl.DataFrame, fixed: pl.DataFrame) -> str:
    """Write the ratio of tokens, with an interval over problems."""
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
    return f"{a.sum() / b.sum():.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    """Print what both take, for each max."""
    with tempfile.TemporaryDirectory() as scratch:
        recording = Path(scratch) / "recording"
        problems = f"sample.problems={PROBLEMS}"
        everything = sampled(recording, problems, f"sample.n={MOST[-1]}")
        in_waves = {
            most: sampled(
                Path(scratch) / f"waves-{most}",
                problems,
                f"sample.until={{accepted: {ACCEPTED}, max: {most}, wave: {WAVE}}}",
                "engine.kind=replay",
                f"engine.path={recording}",
            )
            for most in MOST
        }
        run = open_run(recording)
        with grading(run) as (graded_of, _):
            graded = graded_of(everything)
            yields = {most: usable(graded_of(in_waves[most]), run.recipe.filter) for most in MOST}
    print("| max = n | usable samples | rollouts, waves : fixed | tokens, waves : fixed | ratio |")
    print("|---|---|---|---|---|")
    for most, waves in in_waves.items():
        first = pl.col("sample_index") < most
        fixed = everything.filter(first)
        same = usable(graded.filter(first), run.recipe.filter)
        assert yields[most] == same, "waves yield other numbers of usable samples"
        tokens = [frame["num_tokens"].sum() for frame in (waves, fixed)]
        print(
            f"| {most} | {same} | {len(waves):,} : {len(fixed):,} | {tokens[0]:,} : {tokens[1]:,} "
            f"| {ratio(waves, fixed)} |"
        )


if __name__ == "__main__":
    main()
