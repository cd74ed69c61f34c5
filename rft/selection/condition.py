"""`select.where`: which kept samples may be chosen at all, by a condition on them."""

from collections.abc import Mapping

import polars as pl

from rft.recipe.selection import ORDERS
from rft.runs import tables
from rft.runs.where import Condition

SETTING = "select.where"


def names() -> dict[str, pl.Expr]:
    """Give what a condition may name besides the columns: statistics, as the orders are named."""
    named = {name: pl.col(order.column) for name, order in ORDERS.items() if order.column}
    return named | {"perplexity": pl.col("mean_nll").exp()}


def check_condition(condition: str | None) -> None:
    """Refuse a condition that the kept samples of a run could not be held against."""
    if condition is not None:
        holds(tables.empty("kept"), condition, {})


def holds(rows: pl.DataFrame, condition: str, pass_rates: Mapping[str, float]) -> pl.Series:
    """Say of each row whether a condition on its columns, and its problem's pass rate, holds.

    A column of anyone's rows comes before what we call by the same name.
    """
    rate = pl.col("problem_id").replace_strict(pass_rates, default=None, return_dtype=pl.Float64)
    more = {
        name: each
        for name, each in (names() | {"pass_rate": rate}).items()
        if name not in rows.columns and set(each.meta.root_names()) <= set(rows.columns)
    }
    named = rows.with_columns(**more)
    test = Condition(condition, named.schema, SETTING).expression()
    return named.select(holds=test.fill_null(False))["holds"]
