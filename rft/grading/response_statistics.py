"""Statistics of a response, computed when it is graded from what was recorded for its tokens."""

from collections.abc import Callable

import polars as pl

from rft.errors import RFTError
from rft.parts.faults import told_in_one_line

# The lists with a value for every token of a completion, of which the response is the beginning.
RECORDED = ("entropies", "branching", "logprobs")


def mean_entropy() -> pl.Expr:
    """The mean entropy of the next token, in nats."""
    return mean("entropies")


def mean_branching() -> pl.Expr:
    """The mean number of tokens in the top `mass` of probability."""
    return mean("branching")


def mean_nll() -> pl.Expr:
    """The mean negative logprob of the sampled token."""
    return mean("logprobs", -1.0)


STATISTICS: dict[str, Callable[[], pl.Expr]] = {
    "mean_entropy": mean_entropy,
    "mean_branching": mean_branching,
    "mean_nll": mean_nll,
}


def mean(column: str, sign: float = 1.0, upto: pl.Expr | None = None) -> pl.Expr:
    """Average a list over the first `upto` tokens, by default the response's.

    Null where there are none, or where a value is missing or not finite.
    """
    count = pl.col("num_response_tokens") if upto is None else upto
    values = pl.col(column).cast(pl.List(pl.Float64)).list.head(count).list
    average = sign * values.sum() / count
    # Sums skip nulls, so a list with a hole has no mean; ranking must not see nan or inf.
    whole = (values.drop_nulls().list.len() == count) & average.is_finite()
    return pl.when(whole & (count > 0)).then(average).cast(pl.Float32)


def statistics(rows: pl.DataFrame) -> dict[str, pl.Expr]:
    """Give the statistics of such rows, ours and those of parts: no finite number is null."""
    made: dict[str, pl.Expr] = {}
    for name, statistic in STATISTICS.items():
        with told_in_one_line(f"statistic {name}"):
            values = statistic()
            if not isinstance(values, pl.Expr):
                raise RFTError(f"statistic {name}: it gives {type(values).__name__}, no expression")
            kind = rows.head(0).select(value=values)["value"].dtype
        if not (kind.is_numeric() or kind == pl.Null):
            raise RFTError(
                f"statistic {name}: it gives {kind}, no number; `rft check` tries it out"
            )
        number = values.cast(pl.Float32)
        made[name] = pl.when(number.is_finite()).then(number)
    return made
