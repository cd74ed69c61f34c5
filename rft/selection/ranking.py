"""Ranking a pool of samples by an order, alone or in turns, and what has to be recorded for that.

A pool has what `looked_at` takes of rows. Here they are sorted; the numbers `rank` and `place` are
given by choice.py, which takes the budget.
"""

import polars as pl

from rft.errors import RFTError
from rft.recipe import Recipe, Select
from rft.recipe.selection import ORDERS
from rft.runs.schemas import TABLES, VERDICTS
from rft.selection.diversity import by_diversity

# What stands for a row's id, and what chance drew of it: columns beside those that parts bring,
# which have no spaces in their names.
NUMBER, DRAW = "id number", "draw of id"
# How many strata `select.strata` makes of a pool.
STRATA = 10


def rank(pool: pl.DataFrame, by: str, *, setting: str = "select.by") -> tuple[pl.DataFrame, int]:
    """Order a pool, best first, and count the rows without a finite value to be ranked by."""
    if pool.is_empty():
        return pool, 0
    column = ORDERS[by].column
    if column is None:
        return pool.sort(DRAW), 0
    # Not null alone: NaN sorts above every number, and so would be the most explorative.
    if not can_rank(pool, by):
        refuse_unknown(pool, by, setting)
    known = pool[column].is_finite().fill_null(False)
    if ORDERS[by].needs and "stats_origin" in pool.columns:
        refuse_mixed(pool["stats_origin"].filter(known), by, setting)
    value = pl.when(pl.col(column).is_finite()).then(column)
    order = pool.sort(value, NUMBER, descending=[True, False], nulls_last=True)
    return order, len(pool) - int(known.sum())


def refuse_unknown(pool: pl.DataFrame, by: str, setting: str) -> None:
    """Refuse an order that no row has a value for, and name those that there are values for."""
    cure = "`rft score` computes it, or set" if ORDERS[by].needs else "set"
    others = [name for name in ORDERS if name != by and can_rank(pool, name)]
    raise RFTError(
        f"{setting}: {by}, but no row has a {ORDERS[by].column}; {cure} {setting}: "
        f"{' or '.join(others)}"
    )


def columns_to_rank(by: str) -> list[str]:
    """Name what ranking a pool looks at, besides what is decided of its rows."""
    column = ORDERS[by].column
    return [DRAW if column is None else column, NUMBER, "problem_id", "length", "stats_origin"]


def take_turns(
    ranked: pl.DataFrame, unranked: int, select: Select, texts: pl.Series | None = None
) -> pl.DataFrame:
    """Put the k-th best of every stratum or problem before the (k+1)-th best of any of them.

    Within a turn the order stays; rows without a value, which are the last, stay last. Adds what
    is asked of `stratum`, 0 the shortest tenth, and `turn`, which is 0 for the best.
    Under `diverse` the k-th best of a problem is the k-th by diversity, which looks at the texts.
    """
    if not (select.strata or select.within):
        return ranked
    if select.strata:
        ranked = ranked.with_columns(stratum=strata_of(ranked))
    group = "stratum" if select.strata else "problem_id"
    turn = pl.int_range(pl.len(), dtype=pl.Int32).over(group)
    ranked = ranked.with_columns(at=pl.int_range(pl.len()))
    if select.diverse and len(ranked):
        ranked = by_diversity(ranked, unranked, texts_of(ranked, texts))
    last = pl.col("at") >= len(ranked) - unranked
    return ranked.with_columns(turn=turn).sort(last, "turn", "at").drop("at")


def texts_of(ranked: pl.DataFrame, texts: pl.Series | None) -> pl.Series:
    """Give the responses that diversity looks at, or say that there are none."""
    unknown = len(ranked) if texts is None else texts[ranked["row"]].null_count()
    if texts is None or unknown:
        raise RFTError(
            f"select.diverse: true, but {unknown} of {len(ranked)} rows to rank have no text (a "
            "column response or completion); set select.diverse: false"
        )
    return texts


def strata_of(pool: pl.DataFrame) -> pl.Series:
    """Number the tenth by length of each row: as many in each, equal lengths split by id."""
    if unknown := pool["length"].null_count():
        raise RFTError(
            f"select.strata: length, but {unknown} of {len(pool)} rows to rank have neither "
            "num_response_tokens nor a text; set select.strata: null, or select.within: problem"
        )
    order = pool.select("length", NUMBER, row=pl.int_range(pl.len()))
    order = order.sort("length", NUMBER).with_columns(
        stratum=(pl.int_range(pl.len()) * STRATA // pl.len()).cast(pl.Int32)
    )
    return order.sort("row")["stratum"]


def can_rank(pool: pl.DataFrame, by: str) -> bool:
    """Say whether any row has what an order reads."""
    column = ORDERS[by].column
    return column is None or (column in pool.columns and bool(pool[column].is_finite().any()))


def refuse_mixed(ranked: pl.Series, by: str, setting: str) -> None:
    """Refuse to rank statistics of different origins together: some are estimates."""
    named = ranked.fill_null("unknown").value_counts()
    origins = dict(sorted(named.iter_rows()))
    if len(origins) > 1:
        raise RFTError(
            f"{setting}: {by}: the statistics are of different origins ({origins}), which do "
            f"not rank together; keep rows of one origin, or set {setting}: random"
        )


def check_orders(select: Select) -> None:
    """Refuse orders that read what the kept samples of a run do not have."""
    for setting, name in (("by", select.by), ("noise_by", select.noise_by)):
        order = ORDERS[name]
        made = order.expression is not None
        read = order.expression.meta.root_names() if made else [order.column]
        lacking = [each for each in read if each and each not in TABLES["kept"].names]
        if lacking:
            raise RFTError(
                f"select.{setting}: {name} reads the column {lacking[0]}, which kept samples do "
                "not have; name a column of theirs, or one of STATISTICS"
            )


def roles_of(verdicts: str) -> dict[str, str]:
    """Give the role that each verdict has under `select.verdicts`; those left out have none."""
    if verdicts == "any":
        return dict.fromkeys(VERDICTS, "positive")
    return {"correct": "positive", "wrong": "noise"}


def orders_in_use(select: Select) -> dict[str, str]:
    """Give the order that ranks the rows of each verdict that has a role in the selection."""
    by = {"positive": select.by} if select.noise < 1 else {}
    by |= {"noise": select.noise_by} if select.noise > 0 else {}
    roles = roles_of(select.verdicts)
    return {verdict: by[role] for verdict, role in roles.items() if role in by}


def ranked_by(select: Select) -> dict[str, str]:
    """Give the statistic that ranks the rows of each verdict; those ranked without are left out."""
    orders = {verdict: ORDERS[name] for verdict, name in orders_in_use(select).items()}
    return {
        verdict: order.column for verdict, order in orders.items() if order.column and order.needs
    }


def may_lack(recipe: Recipe) -> bool:
    """Say whether a run of the recipe ranks by a statistic that its rollouts may not have."""
    needed = {ORDERS[name].needs for name in orders_in_use(recipe.select).values()} - {None}
    if recipe.engine.traits.statistics != "exact":
        return bool(needed)
    kept = recipe.sample.statistics
    recorded = {"entropy"} if kept.entropy else set()
    recorded |= {"branching"} if kept.branching else set()
    return any(not recorded if need == "either" else need not in recorded for need in needed)
