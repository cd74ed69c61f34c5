"""A comparison's figures: Pass@k, differences, the way of each arm by round, what none solves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.readers.comparison.side_by_side import (
    Measured,
    OnBenchmark,
    SideBySide,
    mean_entropy,
    scaled_interval,
)
from pipelines.readers.comparison.sources import COLUMNS
from pipelines.readers.comparison.text import framed, notes, title
from pipelines.readers.current import sound
from rft.charts import Axis, Series, bars, curve, overlaps, points, refuse_missing_charts, write
from rft.errors import RFTError
from rft.measuring.pass_at_k import Numbers, passes, solved
from rft.recipe.compare import BASE
from rft.seeds import derive

# Arms whose bands can be told apart.
FEW = 4


def write_figures(comparison: SideBySide, folder: Path) -> list[str]:
    """Write every figure that the runs have data for; say what was written, or why nothing was."""
    try:
        refuse_missing_charts()
    except RFTError as error:
        return [str(error)]
    names = []
    for name, chart in figures(comparison):
        write(chart, folder, name)
        names.append(name)
    return [f"figures ({', '.join(names)}) are in {folder}"] if names else []


def figures(comparison: SideBySide) -> Iterator[tuple[str, Any]]:
    """Draw the figures of a comparison."""
    for benchmark in comparison.benchmarks:
        here = comparison.on[benchmark]
        yield f"pass-at-k-{slug(benchmark)}", pass_curves(here)
        if len(here.whole.arms) > 1:
            yield f"differences-{slug(benchmark)}", forest(here)
        yield f"unsolved-{slug(benchmark)}", unsolved_overlaps(here)
    way = by_round(comparison)
    if not way.is_empty() and way["round"].n_unique() > 1:
        yield "rounds", rounds_chart(comparison, way)
        if way["entropy"].null_count() == 0:
            yield "entropy", entropy_chart(comparison, way)


def slug(name: str) -> str:
    """Make a part of a file's name of a benchmark's."""
    return "".join(each if each.isalnum() else "-" for each in name.lower()) or "test"


def series_of(comparison: SideBySide) -> Series:
    """Tell arms apart in the same way in all figures, the base among them."""
    return Series("arm", "", (BASE, *comparison.arms))


def pass_curves(here: OnBenchmark) -> Any:
    """Draw Pass@k of each arm and of the base."""
    lines = [
        {
            "arm": row.arm,
            "k": k,
            "value": row.mean.value,
            "low": row.mean.low,
            "high": row.mean.high,
        }
        for k in here.ks
        for row in here.rows(here.metric(f"pass@{k}"))
    ]
    return curve(
        pl.DataFrame(lines),
        Axis("k", "k, samples of a problem", "log2"),
        Axis("value", "problems solved by at least one of k", "share"),
        series=series_of(here.whole),
        # More bands than a few hide each other; the differences have a figure of their own.
        band=("low", "high") if len(here.whole.arms) <= FEW else None,
        title=f"Pass@k, {here.problems} problems x {here.samples} samples",
        note=notes(here.whole)[-1],
    )


def forest(here: OnBenchmark) -> Any:
    """Draw each arm's difference to the control, with the intervals that hold for all at once."""
    names = [*framed(here), f"maj@{here.samples}"]
    lines = [
        {
            "arm": row.arm,
            "metric": title(name),
            "value": 100 * row.joint.value,
            "low": 100 * row.joint.low,
            "high": 100 * row.joint.high,
        }
        for name in names
        for row in here.rows(here.metric(name))
        if row.joint is not None
    ]
    return bars(
        pl.DataFrame(lines),
        Axis("arm", "", "category"),
        Axis("value", f"difference to {here.whole.control}, points"),
        series=Series("metric", "", tuple(title(name) for name in names)),
        band=("low", "high"),
        title=f"Difference to the control, {here.whole.control}",
        note=f"{notes(here.whole)[-1]}\nthe intervals of a metric hold for all arms at once",
    )


def unsolved_overlaps(here: OnBenchmark) -> Any:
    """Draw which problems no sample of an arm solves, of all its seeds, and which arms share."""
    arms = ([BASE] if here.has_one_base else []) + [*here.whole.arms]
    sets, sizes = {}, set()
    for arm in arms:
        counts = solved(here.pooled(arm))
        sets[arm] = counts.filter(pl.col("c") == 0)["problem_id"].to_list()
        sizes |= {int(each) for each in counts["n"].unique()}
    spread = " to ".join(str(each) for each in dict.fromkeys([min(sizes), max(sizes)]))
    return overlaps(
        sets,
        members="problems",
        title=f"Problems of {here.problems} that no sample solves",
        note=f"{spread} samples of each problem, all seeds together",
    )


def by_round(comparison: SideBySide) -> pl.DataFrame:
    """Follow each arm over its rounds, on dev where it has that: a row for each arm and round."""
    lines = []
    for arm, runs in comparison.arms.items():
        ways = [way_of(one) for one in runs]
        rounds = set.intersection(*(set(way) for way in ways))
        for round in sorted(rounds):
            frames = [way[round] for way in ways]
            k = min(int(solved(frame)["n"].to_numpy().min()) for frame in frames)
            line: dict[str, Any] = {"arm": arm, "round": round, "k": k}
            for name, values in over_seeds(frames, k).items():
                source = derive(comparison.seed, "compare", "rounds", arm, round, name)
                mean = None if values is None else scaled_interval(values, source)
                line |= {
                    name: mean and mean.value,
                    f"{name} low": mean and mean.low,
                    f"{name} high": mean and mean.high,
                }
            lines.append(line)
    return pl.DataFrame(lines, infer_schema_length=None)


def over_seeds(frames: list[pl.DataFrame], k: int) -> dict[str, Numbers | None]:
    """Give what is followed: a row for each seed, a column for each problem; None where unknown."""
    known = not any(frame["mean_entropy"].null_count() for frame in frames)
    return {
        "first": np.array([passes(frame, 1) for frame in frames]),
        "last": np.array([passes(frame, k) for frame in frames]),
        "entropy": np.array([mean_entropy(frame) for frame in frames]) if known else None,
    }


def way_of(one: Measured) -> dict[int, pl.DataFrame]:
    """Read a run's measurements by round, of one split: dev, or else test."""
    frames = {
        round: one.run.read("evaluations", round, COLUMNS)
        for round in range(one.run.recipe.rounds + 1)
        if sound(one.run, "evaluate", round)
    }
    split = "dev" if all((frame["split"] == "dev").any() for frame in frames.values()) else "test"
    here = {round: frame.filter(pl.col("split") == split) for round, frame in frames.items()}
    return {round: frame for round, frame in here.items() if not frame.is_empty()}


def rounds_chart(comparison: SideBySide, way: pl.DataFrame) -> Any:
    """Draw Pass@1 against Pass@k, a way over the rounds for each arm."""
    ks = sorted(set(way["k"]))
    k = " to ".join(str(each) for each in dict.fromkeys([ks[0], ks[-1]]))
    return points(
        way,
        Axis("first", "Pass@1", "share"),
        Axis("last", f"Pass@{k}", "share"),
        series=series_of(comparison),
        trail="round",
        title="Pass@1 against Pass@k by round, on the dev problems",
        note="numbers are rounds, 0 is the base; means over seeds",
    )


def entropy_chart(comparison: SideBySide, way: pl.DataFrame) -> Any:
    """Draw the entropy of each arm's answers by round."""
    return curve(
        way,
        Axis("round", "round", "count"),
        Axis("entropy", "mean entropy of a token, nats"),
        series=series_of(comparison),
        band=("entropy low", "entropy high"),
        title="Entropy by round, of the answers to the dev problems",
        note=notes(comparison)[-1],
    )
