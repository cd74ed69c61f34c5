"""Checks of rules: one row at a time, no row without an answer, and counts that add up."""

from collections.abc import Iterator
from typing import Any

import polars as pl

from filters import RULES
from filters.grouped import Grouped, columns_of
from pipelines.checking.samples import graded, same, without_optional
from pipelines.filter import apply_rules, defects
from rft.runs.schemas import TABLES


def rule(name: str, parameters: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Try a rule: each check by what it shows, with what is wrong or None."""
    made = RULES[name](**parameters)
    if not isinstance(made, pl.Expr | Grouped):
        yield "gives an expression", f"it gives {type(made).__name__}"
        return
    yield "gives an expression", None
    unknown = [each for each in columns_of(made) if each not in TABLES["graded"].names]
    advice = f"graded has no column {unknown[0]!r}" if unknown else None
    yield "reads columns of graded", advice
    if unknown:
        return
    rows = graded()
    found = defects(made, rows)
    kind = None if found.dtype == pl.Boolean else f"it gives {found.dtype}, no true or false"
    yield "says true or false", kind
    if kind:
        return
    short = None if len(found) == len(rows) else f"{len(found)} values for {len(rows)} rows"
    yield "a value for each row", short
    if short:
        return
    yield "hostile and empty texts", None  # it was computed over them
    nothing = defects(made, without_optional(rows, "graded"))
    yield "missing values", None if len(nothing) == len(rows) else "not a value for each row"
    none = defects(made, rows.head(0))
    yield "no rows at all", None if len(none) == 0 else f"{len(none)} values for no rows"
    yield "the same twice", None if same(found, defects(made, rows)) else "two calls differ"
    yield from alone(made, rows, found)
    kept, rejected = apply_rules(rows, {name: parameters})
    counted = len(kept) + len(rejected)
    wrong = f"{len(rows)} in, {len(kept)} kept, {len(rejected)} rejected"
    yield "counts add up", None if counted == len(rows) else wrong


def alone(made: Any, rows: pl.DataFrame, found: pl.Series) -> Iterator[tuple[str, str | None]]:
    """Compare what is found in all rows with what is found in other orders, and in one by one."""
    backwards = defects(made, rows.reverse()).reverse()
    if isinstance(made, Grouped):
        yield "any order of rows", None if same(found, backwards) else "it depends on their order"
        return
    each = pl.concat([defects(made, rows.slice(place, 1)) for place in range(len(rows))])
    differs = next((i for i in range(len(rows)) if each[i] is not found[i]), None)
    wrong = None
    if differs is not None or not same(found, backwards):
        wrong = (
            f"a row alone is {each[differs or 0]}, among others {found[differs or 0]}: it looks at "
            "other rows; give a Grouped for that (filters/grouped.py)"
        )
    yield "one row at a time", wrong
