"""Ranking a pool of samples by an order, and what has to be recorded for that.

Here they are sorted; the numbers `rank` and `place` are given by choice.py, which takes the budget.
"""

import polars as pl

from rft.errors import RFTError
from rft.recipe import Recipe, Select
from rft.recipe.selection import ORDERS
from rft.seeds import derive


def rank(
    pool: pl.DataFrame, by: str, seed: int, *, setting: str = "select.by"
) -> tuple[pl.DataFrame, int]:
    """Order a pool, best first, and count the rows without a finite value to be ranked by."""
    column = ORDERS[by].column
    if column is None:
        draws = [derive(seed, "rank", name) for name in pool["rollout_id"]]
        return pool[pl.Series(draws, dtype=pl.Int64).arg_sort()], 0
    if pool.is_empty():
        return pool, 0
    # Not null alone: NaN sorts above every number, and so would be the most explorative.
    known = pl.col(column).is_finite()
    ranked = pool.filter(known) if column in pool.columns else pool.head(0)
    if ranked.is_empty():
        cure = "`rft score` computes it, or set" if ORDERS[by].needs else "set"
        others = [name for name in ORDERS if name != by and can_rank(pool, name)]
        raise RFTError(
            f"{setting}: {by}, but no row has a {column}; {cure} {setting}: {' or '.join(others)}"
        )
    if ORDERS[by].needs:
        refuse_mixed(ranked, by, setting)
    value = pl.when(known).then(column)
    order = pool.sort(value, "rollout_id", descending=[True, False], nulls_last=True)
    return order, len(pool) - len(ranked)


def can_rank(pool: pl.DataFrame, by: str) -> bool:
    """Say whether any row has what an order reads."""
    column = ORDERS[by].column
    return column is None or (column in pool.columns and bool(pool[column].is_finite().any()))


def refuse_mixed(ranked: pl.DataFrame, by: str, setting: str) -> None:
    """Refuse to rank statistics of different origins together: some are estimates."""
    if "stats_origin" not in ranked.columns:
        return
    named = ranked["stats_origin"].fill_null("unknown").value_counts()
    origins = dict(sorted(named.iter_rows()))
    if len(origins) > 1:
        raise RFTError(
            f"{setting}: {by}: the statistics are of different origins ({origins}), which do "
            f"not rank together; keep rows of one origin, or set {setting}: random"
        )


def orders_in_use(select: Select) -> dict[str, str]:
    """Give the order that ranks the rows of each verdict that has a role in the selection."""
    by = {"correct": select.by} if select.noise < 1 else {}
    return by | ({"wrong": select.noise_by} if select.noise > 0 else {})


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
