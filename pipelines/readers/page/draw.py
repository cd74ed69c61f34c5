"""Which rollouts a page holds: some of every kind, then whole problems, drawn by the run's seed."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from pipelines.readers.current import measured_models
from pipelines.readers.measured_on import NAME
from pipelines.readers.show import listing, sampled_rounds
from rft.recipe.selection import statistics
from rft.runs.folder import Run
from rft.seeds import derive

# Rollouts that a page holds at most, and those of each kind that come before all others.
MOST = 4_000
OF_EACH = 10
# Of the most, for the rounds' rollouts; the rest is for what was measured.
SHARE = 0.6
KIND = ["kind", "round", "benchmark", "verdict", "fate", "finish"]
GROUP = ["kind", "round", "benchmark", "problem_id"]
COLUMNS = [
    "id", "kind", "round", "benchmark", "problem_id", "sample", "verdict", "path", "fate", "rank",
    "answer", "tokens", "size", "entropy", "branching", "perplexity", "redundancy", "finish",
]  # fmt: skip


def everything(run: Run) -> pl.DataFrame:
    """List all rollouts of a run's rounds, and all answers by which its models were measured."""
    frames = [*_rounds(run), *_measured(run)]
    return pl.concat(frames) if frames else pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))


def _rounds(run: Run) -> Iterator[pl.DataFrame]:
    if run.recipe.grpo is not None or not (rounds := sampled_rounds(run)):
        return
    rows = listing(run, rounds)
    fate = (
        pl.when(pl.col("role").is_not_null())
        .then(pl.format("selected: {}", pl.col("role")))
        .when(pl.col("rejected_by").is_not_null())
        .then(pl.format("rejected: {}", pl.col("rejected_by")))
        .when(pl.col("left_out").is_not_null())
        .then(pl.format("passed over: {}", pl.col("left_out")))
        .when(pl.col("verdict").is_not_null())
        .then(pl.lit("graded"))
        .otherwise(pl.lit("sampled"))
    )
    yield rows.select(
        id="rollout_id",
        kind=pl.lit("round"),
        round=pl.col("round").cast(pl.Int32),
        benchmark=pl.lit("train"),
        problem_id="problem_id",
        sample=pl.col("sample_index").cast(pl.Int32),
        verdict=pl.col("verdict").fill_null("not graded"),
        path="verdict_path",
        fate=fate,
        rank=pl.col("rank").cast(pl.Int32),
        answer="answer",
        tokens=pl.col("num_tokens").cast(pl.Int32),
        size=pl.col("num_response_tokens").cast(pl.Int32),
        **_means(),
        redundancy=pl.col("redundancy").cast(pl.Float64),
        finish="finish_reason",
    )


def _measured(run: Run) -> Iterator[pl.DataFrame]:
    names = ["split", "benchmark", "problem_id", "sample_index", "verdict", "verdict_path"]
    names += ["answer", "num_tokens", "num_response_tokens", "finish_reason", *statistics()]
    for model in measured_models(run):
        rows = run.read("evaluations", model, names)
        yield rows.select(
            id=pl.format("m{}.{}.{}.{}", pl.lit(model), NAME, "problem_id", "sample_index"),
            kind=pl.lit("model"),
            round=pl.lit(model, pl.Int32),
            benchmark=NAME,
            problem_id="problem_id",
            sample=pl.col("sample_index").cast(pl.Int32),
            verdict="verdict",
            path="verdict_path",
            fate=pl.lit("measured"),
            rank=pl.lit(None, pl.Int32),
            answer="answer",
            tokens=pl.col("num_tokens").cast(pl.Int32),
            size=pl.col("num_response_tokens").cast(pl.Int32),
            **_means(),
            redundancy=pl.lit(None, pl.Float64),
            finish="finish_reason",
        )


def _means() -> dict[str, pl.Expr]:
    return {
        "entropy": pl.col("mean_entropy").cast(pl.Float64),
        "branching": pl.col("mean_branching").cast(pl.Float64),
        "perplexity": pl.col("mean_nll").cast(pl.Float64).exp(),
    }


def drawn(rows: pl.DataFrame, seed: int, most: int = MOST) -> pl.DataFrame:
    """Draw what a page holds, in the order in which it is let in."""
    if len(rows) <= most:
        return rows
    turn = [derive(seed, "page", name) for name in rows["id"]]
    rows = rows.with_columns(pl.Series("turn", turn, pl.Int64))
    place = pl.col("turn").rank("ordinal").over(KIND)
    some = rows.with_columns(place=place).filter(pl.col("place") <= OF_EACH)
    some = some.sort("place", "turn").drop("place").head(most // 2)
    rest = rows.join(some, on="id", how="anti")
    sampled, measured = (rest.filter(kind=kind) for kind in ("round", "model"))
    room = most - len(some)
    whole = _whole_problems(sampled, seed, max(int(SHARE * room), room - len(measured)))
    others = _whole_problems(measured, seed, room - len(whole))
    return pl.concat([some, whole, others]).drop("turn")


def _whole_problems(rows: pl.DataFrame, seed: int, room: int) -> pl.DataFrame:
    """Take problem after problem, each with all its answers, while there is room."""
    groups = rows.group_by(GROUP, maintain_order=True).len()
    turn = [derive(seed, "page", *map(str, key)) for key in groups.select(GROUP).iter_rows()]
    groups = groups.with_columns(pl.Series("group_turn", turn, pl.Int64)).sort("group_turn")
    taken = groups.filter(pl.col("len").cum_sum() <= room)
    both = rows.join(taken.select(*GROUP, "group_turn"), on=GROUP, how="inner")
    return both.sort("group_turn", "sample").drop("group_turn")


def counted(rows: pl.DataFrame) -> list[list[Any]]:
    """Count all rollouts by what a page can choose by: the last number of each row."""
    counts = rows.group_by(KIND).len().sort(KIND)
    return [list(row) for row in counts.iter_rows()]
