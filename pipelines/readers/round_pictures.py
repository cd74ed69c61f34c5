"""Figures of a run's rounds: what became of the samples, what was chosen, what the models solve."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import polars as pl

from pipelines.readers.current import measured_models, sound
from pipelines.readers.measured_on import measured_on, slugs
from pipelines.readers.report_answers import model_name
from pipelines.readers.report_rounds import by_verdict, rounds_with, takes_any_verdict
from pipelines.selection import rates_of, scores_of, with_scores
from rft.charts import Axis, Series, Step, beside, flow, histogram
from rft.measuring.pass_at_k import solved
from rft.runs.folder import Run

Pictures = Iterator[tuple[str, Any]]
# A shape of fewer answers says nothing.
FEW = 20
# What a selection is held against, with its axis.
TRAITS = {
    "mean_entropy": Axis("mean_entropy", "mean entropy (nats)"),
    "mean_branching": Axis("mean_branching", "mean branching"),
    "num_response_tokens": Axis("num_response_tokens", "tokens of the response"),
    "pass_rate": Axis("pass_rate", "pass rate of the problem", "share", (0, 1)),
}


def funnels(run: Run) -> Pictures:
    """Draw what became of each round's samples."""
    for round, _ in rounds_with(run, "grade"):
        steps = list(_steps(run, round))
        yield (
            f"funnel-{round}",
            flow(
                steps,
                of="rollouts",
                title=f"Round {round}: what became of the samples",
                note="Each bar is what goes on of the one above it.",
            ),
        )


def _steps(run: Run, round: int) -> Iterator[Step]:
    verdicts = by_verdict(run.read("graded", round, ["verdict"]))
    if not sound(run, "filter", round):
        yield Step("sampled, by verdict", verdicts, frozenset(verdicts))
        return
    kept = run.read("kept", round, ["verdict"])
    rejected = run.read("rejected", round, ["rejected_by"])["rejected_by"].value_counts()
    reasons = dict(sorted(rejected.iter_rows(), key=lambda row: (-row[1], row[0])))
    yield Step("sampled", {"kept": len(kept), **reasons}, frozenset({"kept"}))
    chosen = sound(run, "select", round)
    if not chosen:
        left = by_verdict(kept)
        yield Step("kept, by verdict", left, frozenset(left))
        return
    roles = {f"selected, {role}": n for role, n in chosen["counts"]["selected"].items() if n}
    dropped = dict(sorted(chosen["counts"]["dropped"].items(), key=lambda each: -each[1]))
    yield Step("kept", roles | dropped, frozenset(roles))


def chosen(run: Run) -> Pictures:
    """Draw what the last selection took against what it could have taken."""
    rounds = [round for round, _ in rounds_with(run, "select")]
    if not rounds:
        return
    round = rounds[-1]
    names = ["rollout_id", "problem_id", *(name for name in TRAITS if name != "pass_rate")]
    pool = run.read("kept", round, [*names, "verdict", "stats_origin", "mean_nll"])
    if sound(run, "score", round):
        pool = with_scores(pool, scores_of(run, round))
    if not takes_any_verdict(run):
        pool = pool.filter(verdict="correct")
    pool, mixed = of_one_origin(pool)
    picked = run.read("selected", round, ["rollout_id", "role"]).filter(role="positive")
    taken = pool.join(picked, on="rollout_id", how="semi")
    rates = rates_of(run, round)
    both = pl.concat([frame.with_columns(what=pl.lit(what)) for what, frame in _named(pool, taken)])
    both = both.with_columns(
        pass_rate=pl.col("problem_id").replace_strict(rates, default=None, return_dtype=pl.Float64)
    )
    order = tuple(what for what, _ in _named(pool, taken))
    plots = [
        histogram(
            both,
            within(axis, both[name]),
            series=Series("what", order=order),
            bins=10 if name == "pass_rate" else 20,
            narrow=True,
        )
        for name, axis in TRAITS.items()
        if both[name].drop_nulls().len()
    ]
    if not plots:
        return
    yield (
        "chosen-against-pool",
        beside(
            plots,
            title=f"Round {round}: what was chosen of what could have been",
            note="Samples, each line as a share of its own kind; the pool is what was kept"
            + ("." if takes_any_verdict(run) else " and is right.")
            + f" Entropy and branching leave out {mixed:,} of another origin." * bool(mixed)
            + "\nOne in 200 at either end may lie beyond, and is counted at the end.",
        ),
    )


def of_one_origin(rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Leave the statistics of those that most rows do not share their origin with, and count them:
    estimates and exact values are no one distribution.
    """
    counts = rows["stats_origin"].drop_nulls().value_counts().sort("count", "stats_origin")
    if len(counts) < 2:
        return rows, 0
    same = pl.col("stats_origin") == counts["stats_origin"][-1]
    names = ["mean_entropy", "mean_branching"]
    return rows.with_columns(pl.when(same).then(pl.col(names))), int(counts["count"][:-1].sum())


def within(axis: Axis, values: pl.Series) -> Axis:
    """Bound an axis by nearly all of its values: one far away would squeeze the others."""
    if axis.limits:
        return axis
    known = values.drop_nulls()
    low, high = float(known.quantile(0.005) or 0), float(known.quantile(0.995) or 0)
    return replace(axis, limits=(low, high if high > low else low + 1))


def _named(pool: pl.DataFrame, taken: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [(f"pool ({len(pool):,})", pool), (f"selected ({len(taken):,})", taken)]


def lengths(run: Run) -> Pictures:
    """Draw how long answers are, right, wrong and others, in the last round that is graded."""
    rounds = [round for round, _ in rounds_with(run, "grade")]
    if not rounds:
        return
    rows = run.read("graded", rounds[-1], ["num_tokens", "verdict", "finish_reason"])
    rows = rows.drop_nulls("num_tokens")
    if rows.is_empty():
        return
    counts = {name: count for name, count in by_verdict(rows).items() if count >= FEW}
    rows = rows.filter(pl.col("verdict").is_in(list(counts)))
    if rows.is_empty():
        return
    named = {name: f"{name} ({count:,})" for name, count in counts.items()}
    rows = rows.with_columns(verdict=pl.col("verdict").replace_strict(named))
    cut = len(rows.filter(finish_reason="length"))
    yield (
        "lengths",
        histogram(
            rows,
            Axis("num_tokens", "tokens of the answer"),
            series=Series("verdict", order=tuple(named.values())),
            title=f"Round {rounds[-1]}: length by verdict",
            note=f"{cut:,} of {len(rows):,} answers were cut at the limit; verdicts of fewer than "
            f"{FEW} answers are left out.",
        ),
    )


def problems(run: Run) -> Pictures:
    """Draw how often problems are solved by the base and by the last model that was measured."""
    columns = ["split", "benchmark", "problem_id", "verdict"]
    frames = {model: run.read("evaluations", model, columns) for model in measured_models(run)}
    files = slugs(what.name for what in measured_on(frames))
    for what in measured_on(frames):
        here = {}
        for model, frame in frames.items():
            if len(rows := what.of(frame)):
                here[f"model {model_name(run, model)}"] = solved(rows)
        ends = dict([*here.items()][:1] + [*here.items()][-1:])
        rates = pl.concat(
            counts.select(rate=pl.col("c") / pl.col("n"), model=pl.lit(model))
            for model, counts in ends.items()
        )
        yield (
            f"pass-rates-{files[what.name]}",
            histogram(
                rates,
                Axis("rate", "share of a problem's answers that are right", "share", (0, 1)),
                series=Series("model", order=tuple(ends)),
                bins=10,
                title=f"Problems of {what.name} by pass rate",
                note="At the left those that are hardly ever solved, at the right nearly always.",
            ),
        )
