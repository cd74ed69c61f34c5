"""How answers end: with text after the first closed box, or cut at the limit; and their length."""

from collections import Counter

import polars as pl


def endings(rollouts: pl.DataFrame, graded: pl.DataFrame) -> Counter[str]:
    """Count how rollouts end, whose graded rows are there; such counts add up."""
    texts = graded.select("rollout_id", "response", "answer", "finish_reason", "num_tokens").join(
        rollouts.select("rollout_id", "completion"), on="rollout_id", validate="1:1"
    )
    assert len(texts) == len(graded), "graded rollouts are not in rollouts"
    boxed = pl.col("answer").is_not_null()
    rest = pl.col("completion").str.slice(pl.col("response").str.len_chars())
    return counted(texts.with_columns(boxed=boxed, after=boxed & (rest.str.strip_chars() != "")))


def counted(answers: pl.DataFrame) -> Counter[str]:
    """Count answers, those that are boxed, go on after the box, or are cut, and their tokens."""
    tokens = pl.col("num_tokens").cast(pl.Int64)
    row = answers.select(
        answers=pl.len(),
        boxed=pl.col("boxed").sum(),
        after=pl.col("after").sum(),
        cut=(pl.col("finish_reason") == "length").sum(),
        tokens=tokens.sum(),
        known=tokens.count(),
    )
    return Counter(row.row(0, named=True))
