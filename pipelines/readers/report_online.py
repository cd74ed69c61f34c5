"""The report's section about online training: what each part of it did to reward and entropy."""

from typing import Any

import polars as pl

from pipelines.readers.blocks import Block, entry, table
from pipelines.readers.current import sound
from pipelines.readers.layout import number, percent, total
from pipelines.readers.status import journal
from rft.exploration import PLUGINS
from rft.exploration.preset import Preset
from rft.recipe import Grpo
from rft.runs import tables
from rft.runs.folder import Run

# How many lines the table of steps has at most.
LINES = 10


def online(run: Run) -> list[Block]:
    """Write the dynamics, averaged over as many steps as fit a line, and what plug-ins touched."""
    grpo = run.recipe.grpo
    if grpo is None or not run.recipe.rounds:
        return []
    made = sound(run, "grpo", 1)
    rows = run.read("dynamics", 1).sort("step") if made else so_far(run)
    if rows.is_empty():
        return ["  Nothing trained yet."]
    drawn, lost = len(rows) * grpo.problems * grpo.n, int(rows["unverified"].sum())
    answers = total(drawn, {"trained on": drawn - lost, "unverified": lost})
    answers += "" if made else f" (not done: {len(rows)} of {grpo.steps} steps)"
    return [
        "  Means over the steps of a line. Entropy in nats, of the policy while it learns, at the",
        f"  sampling temperature ({grpo.temperature:g}); elsewhere it is at temperature 1.",
        *table("l" + "r" * 9, steps(rows)),
        *entry("answers", answers),
        *correction(rows),
        *shaping(rows, grpo),
    ]


def so_far(run: Run) -> pl.DataFrame:
    """Read the steps of a training that is not done."""
    return pl.DataFrame(journal(run), schema=tables.empty("dynamics").schema)


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


def correction(rows: pl.DataFrame) -> list[Block]:
    """Say how far vLLM's probabilities were from the trainer's, where vLLM drew the answers."""
    told = rows.select("vllm_ratio", "vllm_ratio_max", "vllm_effective").drop_nulls()
    if told.is_empty():
        return []
    ratio, _, worth = told.mean().row(0)
    largest = told.max().row(0)[1]
    text = f"each token counts by the trainer's probability over vLLM's: {ratio:.3f} on average, "
    text += f"at most {largest:.2f}; together worth {percent(worth)} of as many that the trainer "
    return entry("vLLM", text + "would have drawn")


def shaping(rows: pl.DataFrame, grpo: Grpo) -> list[Block]:
    """Say what each plug-in touched or does, in the recipe's order, and what came of it."""
    touched = (
        rows.select("touched")
        .explode("touched")
        .drop_nulls()
        .unnest("touched")
        .group_by("plugin")
        .agg(pl.col("share").mean(), steps=pl.len())
    )
    shares = {name: (share, count) for name, share, count in touched.iter_rows()}
    lines = []
    for name in grpo.plugins:
        if name not in shares:
            lines += entry("plug-in", f"{name} {beside(name)}")
            continue
        share, count = shares[name]
        during = "" if count == len(rows) else f", in {count:,} of {len(rows):,} steps"
        # Some methods mean one token in thousands.
        many = percent(share) if share >= 0.001 or not share else f"{100 * share:.3f}%"
        lines += entry("plug-in", f"{name} touched {many} of the tokens{during}")
    flips, revived = int(rows["sign_flips"].sum()), int(rows["revived"].sum())
    largest: Any = rows["largest_ratio"].max()
    if largest is not None:
        text = f"{flips:,} tokens turned their sign, {revived:,} got one that had none; at most "
        lines += entry("advantages", f"{text}{largest:.2f} times their plain size")
    return lines


def beside(plugin: str) -> str:
    """Say what a plug-in does that touches no advantage, or has not yet."""
    kind = PLUGINS[plugin]
    if issubclass(kind, Preset):
        return "is an option of TRL's"
    if kind.owns_advantage:
        return "is the plain advantage itself"
    return "acts between steps" if kind.on_step else "was not active"
