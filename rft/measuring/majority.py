"""Majority votes: how often the answer that most samples give is right, and how many they give."""

import numpy as np
import polars as pl

from rft.measuring.pass_at_k import Numbers


def majority(evaluations: pl.DataFrame) -> Numbers:
    """Give each problem's maj@n over all of its n answers, in the order of `solved`.

    Answers vote by their class; what is no answer does not vote. Of t answers that tie for the most
    votes each would be drawn in one of t cases.
    """
    votes = (
        evaluations.filter(pl.col("answer_class").is_not_null())
        .group_by("benchmark", "problem_id", "answer_class")
        .len()
    )
    most = pl.col("len") == pl.col("len").max().over("benchmark", "problem_id")
    right = (
        votes.filter(most)
        .group_by("benchmark", "problem_id")
        .agg(share=(pl.col("answer_class") == 0).mean())
    )
    return _by_problem(evaluations, right, "share")


def distinct_answers(evaluations: pl.DataFrame) -> Numbers:
    """Count each problem's distinct answers, in the order of `solved`; all right ones are one."""
    counts = (
        evaluations.filter(pl.col("answer_class").is_not_null())
        .group_by("benchmark", "problem_id")
        .agg(count=pl.col("answer_class").n_unique())
    )
    return _by_problem(evaluations, counts, "count")


def _by_problem(evaluations: pl.DataFrame, known: pl.DataFrame, column: str) -> Numbers:
    """Give a column for every problem, 0 where nothing is known of it."""
    keys = ["benchmark", "problem_id"]
    problems = evaluations.select(keys).unique().sort(keys)
    joined = problems.join(known, on=keys, how="left", validate="1:1", maintain_order="left")
    return np.asarray(joined[column].fill_null(0).to_numpy(), np.float64)
