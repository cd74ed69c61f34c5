"""A comparison's figures: Pass@k, differences, the way of each arm by round, what none solves."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from pipelines.readers.comparison.side_by_side import (
    UNITS,
    Measured,
    OnBenchmark,
    SideBySide,
    Way,
    scaled_interval,
)
from pipelines.readers.comparison.text import framed, notes, title
from pipelines.readers.measured_on import slugs
from rft.charts import Axis, Series, bars, curve, overlaps, points
from rft.measuring.mean_entropy import mean_entropy
from rft.measuring.pass_at_k import Numbers, passes, solved
from rft.measuring.unsolved import unsolved
from rft.recipe.compare import BASE
from rft.seeds import derive

# Arms whose bands can be told apart.
FEW = 4


def figures(comparison: SideBySide) -> Iterator[tuple[str, Any]]:
    """Draw the figures of a comparison."""
    names = slugs(comparison.benchmarks)
    for benchmark in comparison.benchmarks:
        here, name = comparison.on[benchmark], names[benchmark]
        yield f"pass-at-k-{name}", pass_curves(here)
        if any(row.joint is not None for row in here.rows(here.metric("pass@1"))):
            yield f"differences-{name}", forest(here)
        yield f"unsolved-{name}", unsolved_overlaps(here)
    split, way = by_round(comparison)
    if not way.is_empty() and way["round"].n_unique() > 1:
        yield "rounds", rounds_chart(comparison, split, way)
        if way["entropy"].null_count() == 0:
            yield "entropy", entropy_chart(comparison, split, way)


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
    # More bands than a few hide each other; the differences have a figure of their own.
    few = len(here.whole.arms) <= FEW
    return curve(
        pl.DataFrame(lines),
        Axis("k", "k, samples of a problem", "log2"),
        Axis("value", "problems solved by at least one of k", "share"),
        series=series_of(here.whole),
        band=("low", "high") if few else None,
        title=f"Pass@k, {here.problems} problems x {here.samples} samples",
        note=notes(here.whole)[-1] if few else "means over seeds; intervals are in the tables",
    )


def forest(here: OnBenchmark) -> Any:
    """Draw each arm's difference to the control, with the intervals that hold for all at once."""
    names = [*framed(here), *here.votes]
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
        Axis("value", "difference to the control, points"),
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
        answers = pl.concat(here.answers[arm].values())
        sets[arm] = [problem for _, problem in unsolved(answers)]
        sizes |= set(solved(answers)["n"])
    spread = " to ".join(str(each) for each in dict.fromkeys([min(sizes), max(sizes)]))
    return overlaps(
        sets,
        members="problems",
        title=f"Problems of {here.problems} that no sample solves",
        note=f"{spread} samples of each problem, all seeds together",
    )


def by_round(comparison: SideBySide) -> tuple[str, pl.DataFrame]:
    """Follow each arm over its rounds, on dev where all have that: a row for each arm and round."""
    split, ways = ways_of(comparison)
    every = [frame for runs in ways.values() for way in runs for frame in way.values()]
    k = min((int(solved(frame)["n"].to_numpy().min()) for frame in every), default=1)
    lines = []
    for arm, runs in ways.items():
        for round in sorted(set.intersection(*(set(way) for way in runs))):
            frames = [way[round] for way in runs]
            line: dict[str, Any] = {"arm": arm, "round": round, "k": k}
            for name, values in over_seeds(frames, k).items():
                source = derive(comparison.seed, "compare", "rounds", arm, round, name)
                line |= told(name, values, source, alike=of_the_same(frames))
            lines.append(line)
    return split, pl.DataFrame(lines, infer_schema_length=None)


def ways_of(comparison: SideBySide) -> tuple[str, dict[str, list[Way]]]:
    """Read every run's measurements by round, all of one split, and name that."""
    read = {arm: [up_to_its_model(one) for one in runs] for arm, runs in comparison.arms.items()}
    every = [frame for runs in read.values() for way in runs for frame in way.values()]
    split = "dev" if all((frame["split"] == "dev").any() for frame in every) else "test"

    def here(way: Way) -> Way:
        parts = {round: frame.filter(pl.col("split") == split) for round, frame in way.items()}
        return {round: frame for round, frame in parts.items() if not frame.is_empty()}

    return split, {arm: [here(way) for way in runs] for arm, runs in read.items()}


def up_to_its_model(one: Measured) -> Way:
    """Read a run's measurements by round: later ones are of other models than the one compared."""
    return {round: frame for round, frame in one.by_round().items() if round <= one.model}


def over_seeds(frames: list[pl.DataFrame], k: int) -> dict[str, list[Numbers] | None]:
    """Give what is followed: of each seed a value for each problem; None where unknown."""
    known = not any(frame["mean_entropy"].null_count() for frame in frames)
    return {
        "first": [passes(frame, 1) for frame in frames],
        "last": [passes(frame, k) for frame in frames],
        "entropy": [mean_entropy(frame) for frame in frames] if known else None,
    }


def of_the_same(frames: list[pl.DataFrame]) -> bool:
    """Say whether all are of the same problems: a seed may hold out some of its own for dev."""
    names = ["benchmark", "problem_id"]
    return all(
        solved(frame).select(names).equals(solved(frames[0]).select(names)) for frame in frames
    )


def told(
    name: str, values: list[Numbers] | None, source: int, *, alike: bool
) -> dict[str, float | None]:
    """Give a mean over seeds and problems, and its interval where the problems are the same."""
    if values is None:
        return {name: None, f"{name} low": None, f"{name} high": None}
    mean = float(np.mean([each.mean() for each in values]))
    if not alike:
        return {name: mean, f"{name} low": None, f"{name} high": None}
    over = scaled_interval(np.array(values), source, share=name not in UNITS)
    return {name: mean, f"{name} low": over.low, f"{name} high": over.high}


def rounds_chart(comparison: SideBySide, split: str, way: pl.DataFrame) -> Any:
    """Draw Pass@1 against Pass@k, a way over the rounds for each arm."""
    return points(
        way,
        Axis("first", "Pass@1", "share"),
        Axis("last", f"Pass@{way['k'][0]}", "share"),
        series=series_of(comparison),
        trail="round",
        title=f"Pass@1 against Pass@{way['k'][0]} by round, on the {split} problems",
        note="numbers are rounds, where there is room for one; 0 is the base; means over seeds",
    )


def entropy_chart(comparison: SideBySide, split: str, way: pl.DataFrame) -> Any:
    """Draw the entropy of each arm's answers by round."""
    banded = len(comparison.arms) <= FEW and way["entropy low"].count() > 0
    several = any(len(runs) > 1 for runs in comparison.arms.values())
    over = "problems and seeds" if several else "problems"
    return curve(
        way,
        Axis("round", "round", "count"),
        Axis("entropy", "mean entropy of a token, nats"),
        series=series_of(comparison),
        band=("entropy low", "entropy high") if banded else None,
        title=f"Entropy by round, of the answers to the {split} problems",
        note="0 is the base; means over seeds" + f"; 95% intervals over {over}" * banded,
    )
