"""Reject a response that another sample of the same problem and round has given already."""

import polars as pl


def duplicate() -> pl.Expr:
    """Find repeats of a response; the lowest sample_index of each survives, an unknown one none."""
    # Only hashes enter the groups, so that the wide rows do not; two independent 64-bit hashes of
    # one text stand for it: a chance collision of both is below 10^-20 in 10^9 responses.
    response = pl.col("response")
    group = ["problem_id", "round", response.hash(seed=1), response.hash(seed=2)]
    order = ["sample_index", "rollout_id"]
    known = pl.all_horizontal(pl.col("problem_id", "round", "response", *order).is_not_null())
    return pl.when(known).then(pl.struct(order).rank("ordinal").over(group) > 1)
