"""The recipe's `select` section, and the table of orders: the ways to rank samples, a row each."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, field_validator, model_validator

from rft.recipe.section import Count, Name, Section, Share, a_row


def as_it_is(value: Any) -> Any:
    """Give a value as it is stored."""
    return value


@dataclass(frozen=True)
class Order:
    """A way to rank samples: by chance, or by a value of each, the highest first."""

    about: str
    """What it puts first, in a line."""
    column: str | None = None
    """The column that it reads; None where chance draws."""
    needs: Literal["entropy", "branching", "either"] | None = None
    """What sampling must have recorded for it, or else `score` computes; None is nothing."""
    shown: Callable[[Any], Any] = as_it_is
    """Makes of a value of the column the one that people are shown."""
    expression: Any = None
    """Or what its values are, as a polars expression over columns of the kept rows: they are
    computed when it ranks, and stand in the column of its name."""


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
    return [
        order.column
        for order in ORDERS.values()
        if order.column and order.needs and order.expression is None
    ]


def made_columns() -> dict[str, Any]:
    """Give the columns that orders make themselves, with their expressions."""
    return {
        order.column: order.expression
        for order in ORDERS.values()
        if order.column and order.expression is not None
    }


def an_order(name: object) -> object:
    """Refuse what is no row of the table of orders."""
    return a_row("order", name, ORDERS)


# Keys that runs of before them have not: at their default they are in no key of an output.
LATER = frozenset({"verdicts", "diverse", "where"})

NameOfOrder = Annotated[str, BeforeValidator(an_order)]


class Select(Section):
    """Which of the kept samples are trained on."""

    by: NameOfOrder
    """How correct samples are ranked, highest first."""
    budget: Count
    """Samples per round, noise included."""
    noise: Share = 0.0
    """Share of the budget that goes to wrong samples which pass the rules; where there are too few
    of them, or of correct ones, it comes out lower, never higher.
    """
    noise_by: NameOfOrder = "random"
    """How wrong samples are ranked."""
    verdicts: Literal["correct", "any"] = "correct"
    """What may be a positive: correct samples, or any that has a text, which learns from raw
    samples without a verifier (SSD, arXiv 2604.01193); noise has to be 0 then.
    """
    strata: Literal["length"] | None = None
    """Rank within tenths of the pool by length, so that each gives as many; null ranks all as one.

    Means over a response's tokens are highest where it is short: alone they put guesses first.
    """
    within: Literal["problem"] | None = None
    """Rank within each problem: the best of every problem come first, then the second best."""
    diverse: bool = False
    """Take of each problem the best first, and then what is least like those taken before it, by
    the words of its steps; `within` has to be problem.
    """
    per_problem: Count | None = None
    """At most this many samples of one problem, in each role."""
    difficulty: Literal["proportional"] | None = None
    """proportional gives harder problems more of the budget."""
    where: Name | None = None
    """Only samples of which this holds, as in "0.1 <= pass_rate <= 0.9 and redundancy < 0.2": a
    condition on the columns of `kept`, the names of the orders, and the problem's `pass_rate`.
    """

    @field_validator("difficulty", mode="before")
    @classmethod
    def _windows_are_conditions(cls, difficulty: object) -> object:
        if isinstance(difficulty, list | tuple) and len(difficulty) == 2:
            low, high = difficulty
            raise ValueError(
                f"a window of pass rates is a condition: select.where: {low} <= pass_rate <= {high}"
            )
        return difficulty

    @model_validator(mode="after")
    def _ranks_within_one_thing(self) -> "Select":
        if self.strata and self.within:
            raise ValueError(
                f"strata is {self.strata} and within is {self.within}, and a sample is ranked "
                "among one kind of group only; set one of them to null"
            )
        return self

    @model_validator(mode="after")
    def _wrong_samples_have_one_role(self) -> "Select":
        if self.verdicts == "any" and self.noise:
            raise ValueError(
                f"verdicts is any, so that wrong samples may be positives, and noise is "
                f"{self.noise:g}, the share of wrong samples beside them; set noise: 0"
            )
        return self

    @model_validator(mode="after")
    def _diversity_is_within_problems(self) -> "Select":
        if self.diverse and self.within is None:
            also = ", and strata: null" if self.strata else ""
            raise ValueError(
                "diverse is true, which orders the samples of each problem, and within is null; "
                f"set within: problem{also}"
            )
        return self
