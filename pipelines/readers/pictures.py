"""Figures of a run as files: what it did to Pass@k, its entropy, and its tokens."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.readers.current import measured_models, sound
from pipelines.readers.measured_on import measured_on, slugs
from pipelines.readers.report_answers import model_name
from pipelines.readers.report_online import so_far
from pipelines.readers.report_rounds import statistics, takes_any_verdict
from pipelines.readers.report_scores import pass_of
from pipelines.readers.report_tokens import round_to_see
from pipelines.readers.round_pictures import chosen, funnels, lengths, problems
from pipelines.readers.token_pictures import token_pictures
from pipelines.readers.tokens import rounds_to_see, view
from rft.charts import Axis, Series, curve, refuse_missing_charts, write
from rft.errors import RFTError
from rft.measuring.clustered import clustered_levels, gathered
from rft.measuring.pass_at_k import solved
from rft.runs.folder import Run

# The end of a figure's file, and the figure; altair's types are not looked into.
Pictures = Iterator[tuple[str, Any]]
BAND = ("low", "high")
INTERVAL = "95% over problems"


def write_pictures(run: Run, folder: Path, round: int | None) -> list[Path]:
    """Write the figures of a run, those of tokens for one round, the last graded one by default."""
    refuse_missing_charts()
    if folder.exists() and not folder.is_dir():
        raise RFTError(f"{folder}: not a folder; name one for the figures")
    pictures = [*scores(run), *round_pictures(run), *entropy(run)]
    if run.recipe.grpo is None and (round is not None or any(rounds_to_see(run))):
        pictures += token_pictures(view(run, round_to_see(run, round)))
    if not pictures:
        raise RFTError(f"{run.path}: nothing to draw yet, no model is evaluated; run it first")
    names = [name for name, _ in pictures]
    assert len(set(names)) == len(names), f"two figures of one name: {names}"
    return [path for name, chart in pictures for path in write(chart, folder, name)]


def round_pictures(run: Run) -> Pictures:
    """Draw what the models solve, and what became of the samples of all rounds."""
    for drawn in (problems, funnels, chosen, lengths):
        yield from drawn(run)


def scores(run: Run) -> Pictures:
    """Draw Pass@k of each model on each benchmark, and Pass@1 and the highest Pass@k by round."""
    columns = ["split", "benchmark", "problem_id", "verdict"]
    frames = {model: run.read("evaluations", model, columns) for model in measured_models(run)}
    labels = {model: f"model {model_name(run, model)}" for model in frames}
    files = slugs(what.name for what in measured_on(frames))
    for what in measured_on(frames):
        name, rows, sizes = what.name, [], []
        for model, frame in frames.items():
            here = what.of(frame)
            if here.is_empty():
                continue
            counts = solved(here)
            sizes.append((len(counts), int(counts["n"].min())))  # type: ignore[arg-type]
            for k in sorted({1, *(k for k in run.recipe.evaluate.k if k <= sizes[-1][1])}):
                each = pass_of(run, name, model, here, k)
                told = {"value": each.value, "low": each.low, "high": each.high}
                rows.append({"model": labels[model], "round": model, "k": k, **told})
        table, file = pl.DataFrame(rows), files[name]
        note = f"{sizes[0][0]:,} problems of {name} x {sizes[0][1]} answers; bands: {INTERVAL}"
        yield (
            f"pass-at-k-{file}",
            curve(
                table,
                Axis("k", "k, answers drawn per problem", "log2"),
                Axis("value", "problems solved by one of k", "share"),
                series=Series("model", order=tuple(labels.values())),
                band=BAND,
                title=f"Pass@k on {name}",
                note=note,
            ),
        )
        ends = [f"Pass@{k}" for k in sorted({1, int(table["k"].max())})]  # type: ignore[arg-type]
        table = table.with_columns(which=pl.format("Pass@{}", "k"))
        yield (
            f"pass-by-round-{file}",
            curve(
                table.filter(pl.col("which").is_in(ends)),
                Axis("round", "model, 0 is the base"),
                Axis("value", "problems solved", "share"),
                series=Series("which", order=tuple(ends)),
                band=BAND,
                title=f"{' and '.join(ends)} by round on {name}",
                note=note,
            ),
        )


GROUPS = {
    "all": "all",
    "correct": "right",
    "wrong": "wrong",
    "pool": "pool: kept and right",
    "positive": "selected",
}


def entropy(run: Run) -> Pictures:
    """Draw mean entropy by round, or by step of online training."""
    if run.recipe.grpo is not None:
        yield from _online(run)
        return
    rows: list[dict[str, Any]] = []
    names = GROUPS | ({"pool": "pool: kept"} if takes_any_verdict(run) else {})
    for round in rounds_to_see(run):
        for group, frame in statistics(run, round, ["problem_id"]):
            rows += _mean_entropy(frame, round, names[group])
    if not rows:
        return
    yield (
        "entropy-by-round",
        curve(
            pl.DataFrame(rows),
            Axis("round", "round, sampled from the model before it"),
            Axis("value", "mean entropy of an answer (nats)"),
            series=Series("group", order=tuple(names.values())),
            band=BAND,
            title="Entropy by round",
            note=f"Means over a response's tokens, then over answers; bands: {INTERVAL}.",
        ),
    )


def _mean_entropy(frame: pl.DataFrame, round: int, group: str) -> Iterator[dict[str, Any]]:
    known = frame.filter(pl.col("mean_entropy").is_not_null())
    if known.is_empty():
        return
    codes = np.asarray(known["problem_id"].rank("dense").cast(pl.Int64).to_numpy() - 1, np.int64)
    values = known["mean_entropy"].cast(pl.Float64).to_numpy()
    (each,) = clustered_levels(*gathered(values, codes, np.zeros_like(codes), 1))
    yield {"round": round, "group": group, **vars(each)}


def _online(run: Run) -> Pictures:
    made = sound(run, "grpo", 1)
    steps = run.read("dynamics", 1).sort("step") if made else so_far(run)
    if steps.is_empty():
        return
    kinds = {"entropy": "all", "entropy_correct": "right", "entropy_wrong": "wrong"}
    rows = steps.select("step", *kinds).unpivot(index="step", variable_name="kind")
    rows = rows.with_columns(pl.col("kind").replace_strict(kinds))
    temperature = run.recipe.grpo.temperature if run.recipe.grpo else 1.0
    yield (
        "entropy-by-step",
        curve(
            rows,
            Axis("step", "step"),
            Axis("value", "mean entropy of a token (nats)"),
            series=Series("kind", order=tuple(kinds.values())),
            title="Entropy by step",
            note=f"Of the policy while it learns, at the sampling temperature ({temperature:g}).",
        ),
    )
    reward = steps.select("step", "reward").rename({"reward": "value"})
    yield (
        "reward-by-step",
        curve(reward, Axis("step", "step"), Axis("value", "mean reward"), title="Reward by step"),
    )
