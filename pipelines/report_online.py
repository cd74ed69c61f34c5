"""The report's section about online training: what each part of it did to reward and entropy."""

from typing import Any

import polars as pl

from pipelines.layout import entry, number, percent, table
from pipelines.status import sound
from rft.store import Run

# How many lines the table of steps has at most.
LINES = 10


def online(run: Run) -> list[str]:
    """Write the dynamics, averaged over as many steps as fit a line, and what plug-ins touched."""
    grpo = run.recipe.grpo
    if grpo is None or not run.recipe.rounds:
        return []
    made = sound(run, "grpo", 1)
    if made is None:
        return ["  Nothing trained yet."]
    rows = run.read("dynamics", 1).sort("step")
    counts = made["counts"]
    answers = f"{counts['in']:,} drawn = {counts['trained']:,} trained on"
    answers += "".join(f" + {n:,} {why}" for why, n in counts["dropped"].items())
    return [
        "  Means over the steps of a line. Entropy in nats, of the policy while it learns, at the",
        f"  sampling temperature ({grpo.temperature:g}); elsewhere it is at temperature 1.",
        *table("l" + "r" * 9, steps(rows)),
        *entry("answers", answers),
        *shaping(rows),
    ]


def steps(rows: pl.DataFrame) -> list[list[str]]:
    """Average the rows over stretches of steps."""
    k = int(rows["k"][0])
    header = ["steps", "reward", f"Pass@{k}", "entropy", "of right", "of wrong", "tokens", "cut"]
    lines = [[*header, "no signal", "clipped"]]
    each = -(-len(rows) // LINES)
    for start in range(0, len(rows), each):
        part = rows.slice(start, each)
        first, last = part["step"][0], part["step"][-1]

        mean = part.with_columns(clipped=pl.col("clip_low") + pl.col("clip_high")).mean()
        at = mean.row(0, named=True)
        lines.append(
            [
                f"{first}" if first == last else f"{first} to {last}",
                number(at["reward"], ".3f"),
                percent(at["pass_at_k"]),
                number(at["entropy"], ".3f"),
                number(at["entropy_correct"], ".3f"),
                number(at["entropy_wrong"], ".3f"),
                number(at["response_length"]),
                percent(at["cut"]),
                percent(at["without_signal"]),
                percent(at["clipped"]),
            ]
        )
    return lines


def shaping(rows: pl.DataFrame) -> list[str]:
    """Say what share of the tokens each plug-in touched, and what became of the advantages."""
    touched = (
        rows.select("touched")
        .explode("touched")
        .drop_nulls()
        .unnest("touched")
        .group_by("plugin", maintain_order=True)
        .agg(pl.col("share").mean(), steps=pl.len())
    )
    lines = []
    for name, share, count in touched.iter_rows():
        during = "" if count == len(rows) else f", in {count:,} of {len(rows):,} steps"
        lines += entry("plug-in", f"{name} touched {percent(share)} of the tokens{during}")
    flips, revived = int(rows["sign_flips"].sum()), int(rows["revived"].sum())
    largest: Any = rows["largest_ratio"].max()
    if largest is not None:
        text = f"{flips:,} tokens turned their sign, {revived:,} got one that had none; at most "
        lines += entry("advantages", f"{text}{largest:.2f} times their plain size")
    return lines
