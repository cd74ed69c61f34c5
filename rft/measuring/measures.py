"""From the evaluations table to the numbers that people read."""

import numpy as np
import polars as pl

from rft.errors import RFTError
from rft.measuring.pass_at_k import Interval, mean_interval, paired_interval, pass_at_k


def solved(evaluations: pl.DataFrame) -> pl.DataFrame:
    """Count samples and correct ones of each problem, sorted by benchmark and problem."""
    return (
        evaluations.group_by("benchmark", "problem_id")
        .agg(n=pl.len(), c=(pl.col("verdict") == "correct").sum())
        .sort("benchmark", "problem_id")
    )


def passes(evaluations: pl.DataFrame, k: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Give each problem's Pass@k, in the order of `solved`."""
    counts = solved(evaluations)
    return pass_at_k(counts["n"].to_numpy(), counts["c"].to_numpy(), k)


def pass_interval(evaluations: pl.DataFrame, *, k: int, seed: int) -> Interval:
    """Give Pass@k over problems with its interval."""
    return mean_interval(passes(evaluations, k), seed=seed)


def paired_difference_of(
    before: pl.DataFrame, after: pl.DataFrame, *, k: int, seed: int
) -> Interval:
    """Give the change in Pass@k between two models on the same problems."""
    names = [solved(frame).select("benchmark", "problem_id") for frame in (before, after)]
    if not names[0].equals(names[1]):
        raise RFTError(
            f"two models were measured on different problems ({len(names[0])} and {len(names[1])});"
            " evaluate them again on the same ones"
        )
    return paired_interval(passes(before, k), passes(after, k), seed=seed)
