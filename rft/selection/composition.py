"""What was selected against what could have been: length, difficulty and statistics of the two.

The numbers go into the manifest of `select`, so that report and card need not compute them again.
"""

import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from rft.recipe import Select
from rft.recipe.selection import ORDERS
from rft.selection.narrow import FEW_WORDS, lengths
from rft.selection.ranking import roles_of

# The selected are warned of as short where their median length is below this share of the pool's.
SHORT = 0.75
# The upper ends of bands of pass rates, and what they are called; each begins above the one before.
BANDS = (
    (0.0, "never"),
    (0.25, "up to 25%"),
    (0.5, "up to 50%"),
    (0.75, "up to 75%"),
    (math.nextafter(1, 0), "below 100%"),
    (1.0, "always"),
)
MEASURES = ("length", "pass_rate", "mean_entropy", "mean_branching")


def composition(
    kept: pl.DataFrame,
    selected: pl.Series,
    pass_rates: Mapping[str, float],
    select: Select,
) -> dict[str, Any]:
    """Measure, for each role, the selected against the pool: all kept rows of its verdicts.

    Of the kept it has what `narrow` takes; `selected` says of each whether it is.
    `rank_correlation` is Spearman's, of length and the statistic that ranks positives, in the pool.
    """
    length, unit = lengths(kept)
    rates = pl.DataFrame(
        {"problem_id": list(pass_rates), "pass_rate": list(pass_rates.values())},
        {"problem_id": pl.Categorical, "pass_rate": pl.Float64},
    )
    by = ORDERS[select.by].column
    # Only what is measured, and of one role at a time: there may be millions of rows.
    problems = kept.select("problem_id").join(
        rates, on="problem_id", how="left", maintain_order="left"
    )
    beside = {"length": length, "pass_rate": problems["pass_rate"], "selected": selected}
    names = dict.fromkeys([*MEASURES, *([by] if by else []), "few_words"])
    rows = kept.select(name for name in names if name not in beside).with_columns(**beside)
    del problems, rates
    roles = roles_of(select.verdicts)
    told, correlation = {}, None
    for role in ("positive", "noise"):
        own = [verdict for verdict, its in roles.items() if its == role]
        pool = rows.filter(kept["verdict"].is_in(own))
        told[role] = {"pool": measured(pool), "selected": measured(pool.filter("selected"))}
        if role == "positive":
            correlation = rank_correlation(pool, by)
    return {
        "unit": unit,
        "verdicts": select.verdicts,
        "ranked_by": select.by,
        "rank_correlation": correlation,
        "few_words": FEW_WORDS,
        "roles": told,
    }


def measured(rows: pl.DataFrame) -> dict[str, Any]:
    """Count rows, and give mean and median of what is known of each measure; null of nothing."""
    return {
        "rows": len(rows),
        "few_words": int(rows["few_words"].sum()),
        "by_pass_rate": by_pass_rate(rows["pass_rate"]),
        **{name: middle_of(rows[name]) for name in MEASURES},
    }


def middle_of(values: pl.Series) -> list[float | None]:
    """Give mean and median of what is known."""
    known = values.cast(pl.Float64).drop_nulls()
    return [rounded(known.mean()), rounded(known.median())]


def by_pass_rate(rates: pl.Series) -> dict[str, int]:
    """Count samples by how often their problem was solved; the counts add up to those known."""
    known = rates.drop_nulls()
    counts, below = {}, -1.0
    for upto, name in BANDS:
        counts[name] = len(known.filter((known > below) & (known <= upto)))
        below = upto
    assert sum(counts.values()) == len(known), f"rates outside of 0 to 1: {known.to_list()}"
    return counts


def rank_correlation(pool: pl.DataFrame, column: str | None) -> float | None:
    """Correlate the ranks of a statistic with those of length; None where either is constant."""
    if column is None:
        return None
    both = pool.filter(pl.col(column).is_finite() & pl.col("length").is_not_null())
    return rounded(both.select(pl.corr(column, "length", method="spearman")).item())


def rounded(value: Any) -> float | None:
    """Round a number to what a manifest needs; what is no number is null."""
    return None if value is None or value != value else round(float(value), 4)


def too_short(made: Mapping[str, Any]) -> str:
    """Say that the selected positives are much shorter than their pool, if they are."""
    parts = made["roles"]["positive"]
    (_, pool), (_, selected) = parts["pool"]["length"], parts["selected"]["length"]
    if pool is None or selected is None or selected >= SHORT * pool:
        return ""
    return (
        f"the selected are short: their median is {selected:g} {made['unit']}, below {SHORT:g} of "
        f"the pool's {pool:g}; `select.strata: length` or `select.within: problem` ranks like with "
        "like"
    )
