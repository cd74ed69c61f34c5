"""A run whose answers have made-up statistics, high at both ends; a token of it is a character."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import polars as pl

from rft.runs import tables
from rft.runs.folder import Run
from rft.token_kinds.answer import Texts
from tests.small_run import (
    RIGHT,
    WRONG,
    cut,
    do,
    evaluate,
    grade,
    new_run,
    prepare,
    reseal,
    sample,
    sft,
    solved,
)

PROBLEMS = [f"p{number}" for number in range(12)]
WORDS = ["First, we add.", "However x = 3.", "Wait, check it.", "It is", "so because", "the sum of"]
CHARACTERS = Texts(lambda ids: "".join(map(chr, ids)), ord("a"), frozenset())
EVALUATED = {("test", "test", f"t{number}"): solved(number % 5, 4) for number in range(8)}


def samples():
    """Make six answers to each problem, of all lengths, right as often as the problem is easy."""
    source = np.random.default_rng(0)
    rows = []
    for number, problem in enumerate(PROBLEMS):
        for index in range(6):
            words = " ".join(source.choice(WORDS, size=source.integers(1, 12)))
            end = RIGHT if index < number % 7 else WRONG
            rows.append((problem, f"{words} {index} {end} and on", "stop", 0.0))
    return rows


def entropies_of(completion: str, source: np.random.Generator) -> list[float]:
    """Make a U of entropies over the response, and something else in what is cut off."""
    size = len(cut(completion))
    place = np.abs(2 * (np.arange(size) + 0.5) / size - 1)
    curve = 0.25 + place**2 + 0.25 * (WRONG in completion) + 0.05 * source.random(size)
    return [*curve.tolist(), *[9.0] * (len(completion) - size)]


def make_run(path: Path, *, bare: int = 0, other: int = 0, whole: bool = False) -> Run:
    """Make a run; the first `bare` answers have no statistics, the next `other` are estimates."""
    run = new_run(path, "select.budget=12", "select.by=random", "select.noise=0", "rounds=1")
    prepare(run, train=PROBLEMS, answers=EVALUATED)
    rows, source = samples(), np.random.default_rng(1)
    lists = [entropies_of(text, source) for _, text, _, _ in rows]
    rows = [
        (*row[:3], float(np.mean(each[: len(cut(row[1]))])))
        for row, each in zip(rows, lists, strict=True)
    ]
    if whole:
        evaluate(run, 0, EVALUATED)
    sample(run, 1, rows)
    grade(run, 1, rows)
    number = pl.int_range(pl.len())
    known = number >= bare
    origin = pl.when(known).then(
        pl.when(number < bare + other).then(pl.lit("topk")).otherwise("stats_origin")
    )
    ids = [[*map(ord, text)] for _, text, _, _ in rows]
    rewrite(
        run,
        "rollouts",
        pl.Series("entropies", [*[None] * bare, *lists[bare:]], pl.List(pl.Float32)),
        pl.Series("token_ids", [*[None] * bare, *ids[bare:]], pl.List(pl.Int32)),
        origin.alias("stats_origin"),
    )
    columns = [pl.when(known).then(name).alias(name) for name in ("mean_entropy", "mean_nll")]
    rewrite(run, "graded", *columns, origin.alias("stats_origin"))
    do(run, "filter", 1)
    do(run, "select", 1)
    if whole:
        sft(run, 1)
        evaluate(run, 1, EVALUATED)
    return run


def rewrite(run: Run, table: str, *columns: pl.Expr | pl.Series) -> None:
    """Change columns of a table as if its stage had written them so."""
    rows = run.read(table, 1).with_columns(columns)
    shutil.rmtree(run.folder(table, 1))
    tables.write(run.folder(table, 1), table, rows)
    reseal(run, table, 1)
    if table == "rollouts" and (made := run.manifest("grade", 1)):  # graded was made of it
        made["inputs"]["rollouts"] = tables.folder_digest(run.folder(table, 1))
        run.write_manifest("grade", 1, made)


def without_model(run: Run) -> Run:
    """Give the run, whose base model is not there any more."""
    gone = run.recipe.model.model_copy(update={"path": "/nowhere/model"})
    return dataclasses.replace(run, recipe=run.recipe.model_copy(update={"model": gone}))
