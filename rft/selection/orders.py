"""The ways to rank samples, in one table: with a row more, recipes can ask for one more."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


def as_it_is(value: Any) -> Any:
    """Give a value as it is stored."""
    return value


@dataclass(frozen=True)
class Order:
    """A way to rank samples: by chance, or by a column, whose highest value comes first."""

    about: str
    """What it puts first, in a line."""
    column: str | None = None
    """The column of the kept rows that it reads; None where chance draws."""
    needs: Literal["entropy", "branching", "either"] | None = None
    """What sampling must have recorded for it, or else `score` computes; None is nothing."""
    shown: Callable[[Any], Any] = as_it_is
    """Makes of a value of the column the one that people are shown."""


ORDERS: dict[str, Order] = {
    "random": Order("any of them, drawn by the run's seed and the sample's id"),
    "entropy": Order(
        "the most undecided: mean entropy of the next token, in nats", "mean_entropy", "entropy"
    ),
    "branching": Order(
        "the most alternatives: mean number of tokens in the top `mass` of probability",
        "mean_branching",
        "branching",
    ),
    # exp is monotone, so that mean_nll ranks as the perplexity does.
    "perplexity": Order(
        "the most surprising to the model itself: exp of its mean negative log-likelihood",
        "mean_nll",
        "either",
        math.exp,
    ),
}


def columns() -> list[str]:
    """List the columns that orders read."""
    return [order.column for order in ORDERS.values() if order.column is not None]


def statistics() -> list[str]:
    """List the columns that orders read of recorded statistics, which `score` computes as well."""
    return [order.column for order in ORDERS.values() if order.column and order.needs]
