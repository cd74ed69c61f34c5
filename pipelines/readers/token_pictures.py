"""Figures of a round's tokens, of the same frames as the tables of the report."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from pipelines.readers.tokens import GROUPS, STRATA, TokenView
from rft.charts import Axis, Series, bars, beside, curve

BAND = ("low", "high")
ENTROPY = Axis("value", "mean entropy of a token (nats)")


def token_pictures(seen: TokenView) -> Iterator[tuple[str, Any]]:
    """Draw what there is to see of a round's tokens."""
    of = f"round {seen.round}: {seen.notes['describes']}; {seen.notes['tokens']}"
    told = f"{of}\nIntervals: 95% over problems."
    if seen.position["answers"].sum():
        yield "tokens-position", position(seen, told)
    if seen.words is not None and seen.classes is not None:
        yield "tokens-words", words(seen.words, told)
        yield "tokens-classes", classes(seen.classes, told)
    if seen.strata["answers"].sum():
        yield "tokens-strata", strata(seen)
    if seen.difficulty["what"].n_unique() > 1:
        yield "samples-difficulty", difficulty(seen)


def position(seen: TokenView, told: str) -> Any:
    """Draw entropy by relative position."""
    return curve(
        seen.position,
        Axis("position", "position of the token in its answer", "share", (0, 1)),
        ENTROPY,
        series=Series("group", order=GROUPS),
        band=BAND,
        title="Entropy by relative position",
        note=told,
    )


def words(rows: pl.DataFrame, told: str) -> Any:
    """Draw pivotal words and reflective sentences against the rest."""
    named = rows.with_columns(what=_counted(rows, "what", "count"))
    return bars(
        named,
        Axis("what", "", "category"),
        ENTROPY,
        band=BAND,
        title="Entropy of pivotal words and of reflective sentences",
        note=told,
    )


def classes(rows: pl.DataFrame, told: str) -> Any:
    """Draw the classes of tokens."""
    share = (100 * pl.col("share")).round(1).cast(pl.String)
    named = rows.with_columns(what=pl.format("{} ({}% of tokens)", "what", share))
    return bars(
        named,
        Axis("what", "", "category"),
        ENTROPY,
        band=BAND,
        title="Entropy by class of token",
        note=told,
    )


def strata(seen: TokenView) -> Any:
    """Draw accuracy and entropy by fifth of perplexity."""
    rows = seen.strata.drop_nulls("perplexity").with_columns(pl.col("fifth").cast(pl.String))
    x = Axis("fifth", "fifth by perplexity, 1 the lowest", "category")
    accuracy, better, entropy = (rows.filter(pl.col("what") == what) for what in STRATA)
    medians = ", ".join(f"{each:.2f}" for each in accuracy["perplexity"])
    plots = [
        curve(accuracy, x, Axis("value", "right of all answers", "share"), band=BAND, narrow=True),
        curve(
            better,
            x,
            Axis("value", "right, against its problem", "share"),
            band=BAND,
            narrow=True,
        ),
        curve(entropy, x, Axis("value", "mean entropy (nats)"), band=BAND, narrow=True),
    ]
    return beside(
        plots,
        title="Answers by perplexity",
        note=f"round {seen.round}: all judged answers in fifths, of median perplexity {medians}. "
        "Against its problem: less the share that is right of all answers to the same problems.\n"
        "Intervals: 95% over problems.",
    )


def difficulty(seen: TokenView) -> Any:
    """Draw how problems and samples lie by the problem's pass rate."""
    kinds = tuple(dict.fromkeys(seen.difficulty["what"]))
    problems = pl.col("what") == "problems"
    there = seen.difficulty.filter(problems & (pl.col("count") > 0)).select("tenth")
    return curve(
        seen.difficulty.join(there, on="tenth", how="semi", maintain_order="left"),
        Axis("tenth", "pass rate of the problem (%), where there are problems", "category"),
        Axis("share", "share of each", "share"),
        series=Series("what", order=kinds),
        title="Problems, kept and selected samples by difficulty",
        note=f"round {seen.round}: were every problem's share of samples the same, the lines would "
        "be one.",
    )


def _counted(rows: pl.DataFrame, name: str, count: str) -> pl.Series:
    return pl.Series([f"{what} ({number:,})" for what, number in rows.select(name, count).rows()])
