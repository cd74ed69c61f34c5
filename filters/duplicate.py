"""Reject a response that another sample of the same problem and round has given already."""

import polars as pl

from filters.grouped import Grouped


def duplicate() -> Grouped:
    """Find repeats of a response; the lowest sample_index of each survives, an unknown one none."""
    # Two independent 64-bit hashes of problem, round and text stand for them: a chance collision
    # of both is below 10^-20 in 10^9.
    names = ["problem_id", "round", "response"]
    # Samples that share an index, as of two tables in one, are told apart by a hash of their name.
    name = pl.col("rollout_id").hash(seed=21) // 2**32
    place = pl.col("sample_index").cast(pl.Int64) * 2**32 + name.cast(pl.Int64)
    known = pl.all_horizontal(pl.col(*names, "sample_index", "rollout_id").is_not_null())
    return Grouped(
        narrow={
            "one": _hash(names, seed=1),
            "other": _hash(names, seed=11),
            "place": pl.when(known).then(place),
        },
        defect=pl.struct("one", "other", "place").map_batches(_repeats, return_dtype=pl.Boolean),
    )


def _repeats(rows: pl.Series) -> pl.Series:
    """Find what is not the first of its text; only texts that are there twice are grouped at all.

    Grouping takes 240 bytes a row, sorting a number 16.
    """
    frame = rows.struct.unnest()
    ones = frame["one"].sort()
    twice = ones.filter(ones == ones.shift()).unique()
    looked_at = frame.select(
        looked_at=pl.col("one").is_in(twice.implode()) | pl.col("place").is_null()
    )["looked_at"]
    first = pl.col("place").min().over("one", "other")
    found = frame.filter(looked_at).select(defect=pl.col("place") > first)["defect"]
    none = pl.Series("defect", [False]).new_from_index(0, len(frame))
    return none.scatter(looked_at.arg_true(), found)


def _hash(names: list[str], *, seed: int) -> pl.Expr:
    # A seed of its own for each column: equal values in two of them must not cancel out.
    first, second, third = (pl.col(name).hash(seed=seed + i) for i, name in enumerate(names))
    return first ^ second ^ third
