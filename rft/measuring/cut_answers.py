"""Answers that were cut at the token limit, by how hard their problems are.

A limit that is too low costs the hard problems first, and the share over all of them hides it.
"""

from typing import Any

import polars as pl

ALARM = 0.05
# A share over fewer answers says nothing.
ENOUGH = 20
BANDS = ["never solved", "solved in up to half", "solved in more than half", "always solved"]
LEVELS = 12


def cut_at_limit(graded: pl.DataFrame, problems: pl.DataFrame) -> list[dict[str, Any]]:
    """Count each group's answers and those cut at the limit, all of them together first.

    Groups go by the problems' own difficulty if they have any, else by their share of correct
    answers in this round.
    """
    known = problems.select("problem_id", "difficulty").unique("problem_id")
    rows = graded.select("problem_id", "verdict", "finish_reason").join(
        known, on="problem_id", how="left"
    )
    cut = (pl.col("finish_reason") == "length").sum().alias("cut")
    levels = rows["difficulty"].drop_nulls().n_unique()
    if levels > LEVELS:
        low, high = (float(rows["difficulty"].quantile(share) or 0) for share in (1 / 3, 2 / 3))
        level = pl.col("difficulty")
        name = (
            pl.when(level.is_null())
            .then(pl.lit("no difficulty given"))
            .when(level <= low)
            .then(pl.lit(f"difficulty up to {low:g}"))
            .when(level <= high)
            .then(pl.lit(f"difficulty up to {high:g}"))
            .otherwise(pl.lit(f"difficulty above {high:g}"))
        )
    elif levels:
        given = pl.concat_str(pl.lit("difficulty "), pl.col("difficulty").cast(pl.String))
        name = given.str.strip_suffix(".0").fill_null("no difficulty given")
    else:
        rate = (pl.col("verdict") == "correct").mean().over("problem_id")
        name = (
            pl.when(rate == 0)
            .then(pl.lit(BANDS[0]))
            .when(rate <= 0.5)
            .then(pl.lit(BANDS[1]))
            .when(rate < 1)
            .then(pl.lit(BANDS[2]))
            .otherwise(pl.lit(BANDS[3]))
        )
    groups = rows.group_by(name.alias("group")).agg(cut, answers=pl.len()).sort("group")
    if not levels:
        groups = groups.sort(
            pl.col("group").replace_strict(dict(zip(BANDS, range(4), strict=True)))
        )
    every = rows.select(cut, answers=pl.len()).select(
        pl.lit("all").alias("group"), "cut", "answers"
    )
    counts = [*every.to_dicts(), *groups.to_dicts()]
    assert counts[0]["answers"] == sum(each["answers"] for each in counts[1:]), "all != its groups"
    return counts


def alarm(counts: list[dict[str, Any]], max_tokens: int) -> str | None:
    """Say which groups lose too many answers to the limit."""
    over = [
        f"{each['cut'] / each['answers']:.1%} of the {each['answers']:,} answers"
        + (f" to problems {each['group']}" if each["group"] != "all" else "")
        for each in counts
        if each["answers"] >= ENOUGH and each["cut"] > ALARM * each["answers"]
    ]
    if not over:
        return None
    return (
        f"warning: {', '.join(over)} were cut at sample.max_tokens={max_tokens}; raise it, or "
        "these problems are learnt from their short answers only"
    )
