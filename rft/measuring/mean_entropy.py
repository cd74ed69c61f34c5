"""How undecided a model was on each problem: the mean entropy of its answers."""

import numpy as np
import polars as pl

from rft.measuring.pass_at_k import Numbers


def mean_entropy(evaluations: pl.DataFrame) -> Numbers:
    """Give each problem's mean over its answers, in nats, in the order of `solved`; nan without."""
    each = pl.col("mean_entropy").cast(pl.Float64).mean()
    means = evaluations.group_by("benchmark", "problem_id").agg(each)
    ordered = means.sort("benchmark", "problem_id")["mean_entropy"]
    return np.asarray(ordered.fill_null(float("nan")).to_numpy(), np.float64)
