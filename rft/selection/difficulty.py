"""How hard problems are, as a measure: harder ones are given more of the budget."""

from collections.abc import Mapping, Sequence

import polars as pl


def shares(problems: Sequence[str], pass_rates: Mapping[str, float], budget: int) -> dict[str, int]:
    """Share a budget among problems in proportion to their fail rates, 1 - pass rate.

    Rounded by largest remainder (DART's Prop2Diff, arXiv 2407.13690).
    """
    problems = sorted(problems)
    weights = [1.0 - pass_rates[name] for name in problems]
    total = sum(weights)
    exact = [budget * weight / total if total else budget / len(problems) for weight in weights]
    share = dict(zip(problems, (int(part) for part in exact), strict=True))
    rest = sorted(
        zip(problems, exact, strict=True), key=lambda pair: (int(pair[1]) - pair[1], pair[0])
    )
    for name, _ in rest[: budget - sum(share.values())]:
        share[name] += 1
    return share


def in_proportion(
    ranked: pl.DataFrame,
    pass_rates: Mapping[str, float],
    budget: int,
    per_problem: int | None = None,
) -> pl.DataFrame:
    """Put first what fills each problem's share of the budget, and add that share as a column.

    What a problem cannot fill goes to those that come next, the best-ranked of the others; no
    problem fills more than `per_problem` of its share.
    """
    if ranked.is_empty():
        return ranked
    share = shares(ranked["problem_id"].unique().to_list(), pass_rates, budget)
    ranked = ranked.with_columns(
        share=pl.col("problem_id").replace_strict(share, return_dtype=pl.Int32)
    )
    position = pl.int_range(pl.len()).over("problem_id")
    fills = position < pl.min_horizontal("share", pl.lit(per_problem, pl.Int32))
    return pl.concat([ranked.filter(fills), ranked.filter(~fills)])
