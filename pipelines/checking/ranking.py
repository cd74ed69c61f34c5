"""Checks of statistics and orders: of the response alone, null where nothing is known."""

from collections.abc import Iterator

import polars as pl

from pipelines.checking.samples import graded, rollouts, same, without_optional
from rft.grading.response_statistics import RECORDED, STATISTICS
from rft.recipe.selection import ORDERS
from rft.runs.schemas import TABLES
from rft.selection.narrow import looked_at
from rft.selection.ranking import rank

Checks = Iterator[tuple[str, str | None]]


def statistic(name: str) -> Checks:
    """Try a statistic."""
    made = STATISTICS[name]()
    if not isinstance(made, pl.Expr):
        yield "gives an expression", f"it gives {type(made).__name__}"
        return
    yield "gives an expression", None
    rows = rollouts()
    read = set(made.meta.root_names())
    unknown = sorted(read - set(rows.columns))
    lacking = f"a rollout has no column {unknown[0]!r} when it is graded" if unknown else None
    yield "reads columns of a graded rollout", lacking
    if unknown:
        return
    found = values(made, rows)
    number = None if found.dtype.is_numeric() else f"it gives {found.dtype}, no number"
    yield "gives a number", number
    if number:
        return
    short = None if len(found) == len(rows) else f"{len(found)} values for {len(rows)} rows"
    yield "a value for each row", short
    if short:
        return
    each = pl.concat([values(made, rows.slice(place, 1)) for place in range(len(rows))])
    wrong = None if same(found, each) else "it looks at other rows; a statistic is of one answer"
    yield "one row at a time", wrong
    # Each list goes on behind the response with other numbers.
    other = rows.with_columns(
        pl.concat_list(
            pl.col(name).list.head("num_response_tokens"),
            pl.lit([9, 9], pl.List(pl.Int32)).cast(rows.schema[name]),
        ).alias(name)
        for name in RECORDED
    )
    behind = None if same(found, values(made, other)) else "tokens behind the answer change it"
    yield "the response alone", behind
    empty = values(made, without_optional(rows, "rollouts"))
    if read & {*RECORDED, "token_ids", "num_response_tokens"}:
        zero = None if empty.is_null().all() else f"it is {empty.drop_nulls()[0]}, not null"
        yield "null where nothing was recorded", zero
    tells = f"it is {found.drop_nulls()[0]} for every row" if found.n_unique() == 1 else None
    yield "tells rows apart", tells


def order(name: str) -> Checks:
    """Try an order."""
    made = ORDERS[name]
    assert made.column is not None, "an order of a part reads something"
    kept = graded()
    read = [made.column] if made.expression is None else made.expression.meta.root_names()
    unknown = [each for each in read if each not in TABLES["kept"].names]
    yield "reads columns of kept", f"kept has no column {unknown[0]!r}" if unknown else None
    if unknown:
        return
    pool = narrowed(kept)
    number = (pool if made.expression is not None else kept)[made.column].dtype
    yield "a number to rank by", None if number.is_numeric() else f"it reads {number}, no number"
    if not number.is_numeric():
        return
    ranked, unranked = rank(pool, name)
    worst = ranked[made.column].head(len(ranked) - unranked)
    falls = worst.is_sorted(descending=True)
    yield "the highest first", None if falls else "the values do not fall"
    again, _ = rank(narrowed(kept.reverse()), name)
    alike = same(ranked["id number"], again["id number"])
    yield "any order of rows", None if alike else "it depends on the order of the rows"
    flat = worst.n_unique() == 1
    yield "tells rows apart", f"all rows have {worst[0]}" if flat else None
    counted = len(ranked) == len(kept)
    yield "counts add up", None if counted else f"{len(kept)} in, {len(ranked)} out"


def narrowed(kept: pl.DataFrame) -> pl.DataFrame:
    """Take of rows what a selection looks at."""
    from rft.recipe import Select

    return looked_at(kept, Select(by="random", budget=1), seed=0)


def values(made: pl.Expr, rows: pl.DataFrame) -> pl.Series:
    """Compute a statistic over rows, as grading does."""
    return rows.select(value=made)["value"]
