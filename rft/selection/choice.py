"""The choice itself: each kept row is selected, or passed over with the reason for that.

Correct ones that explore most, and a pinch of wrong ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from rft.errors import RFTError
from rft.recipe import Select
from rft.recipe.selection import made_columns
from rft.runs import tables
from rft.runs.schemas import TABLES
from rft.selection.budget import shortfall, shrink, split_budget
from rft.selection.difficulty import in_proportion
from rft.selection.narrow import TOO_LONG, lengths, looked_at, texts
from rft.selection.ranking import (
    can_rank,
    columns_to_rank,
    rank,
    refuse_unknown,
    roles_of,
    take_turns,
)

SETTING = {"positive": "select.by", "noise": "select.noise_by"}
ROLES = pl.Enum(["noise", "positive"])
# Why a row is passed over, if not for its verdict.
REASONS = (
    *("max_length", "where", "empty", "positive not wanted", "noise not wanted"),
    *("per_problem", "budget"),
)
# What is decided of a row, and which it is.
DECIDED = ("row", "role", "reason", "stratum", "turn", "distance", "share", "rank", "place")


@dataclass(frozen=True)
class Decision:
    """What becomes of each kept row, in their order, and the numbers about it."""

    each: pl.DataFrame
    wanted: dict[str, int]
    unranked: int
    shortfall: str

    @property
    def dropped(self) -> dict[str, int]:
        """Count the rows that are passed over for each reason."""
        return dict(sorted(self.each["reason"].drop_nulls().value_counts().iter_rows()))

    @property
    def selected(self) -> dict[str, int]:
        """Count the rows that are selected in each role."""
        taken = self.each.filter(pl.col("reason").is_null())
        return dict(sorted(taken["role"].value_counts().iter_rows()))


@dataclass(frozen=True)
class Selection(Decision):
    """The rows that were selected, by role and rank, and those passed over, the nearest first."""

    rows: pl.DataFrame
    passed_over: pl.DataFrame


def select(
    kept: pl.DataFrame,
    *,
    settings: Select,
    seed: int,
    pass_rates: Mapping[str, float] | None = None,
    too_long: frozenset[str] = frozenset(),
) -> Selection:
    """Choose among rows that are all in memory."""
    rows = looked_at(kept, settings, seed, pass_rates, too_long)
    made = decide(rows, settings, pass_rates)
    taken, left = split(kept, made.each, settings)
    near = ["role", "place", "rollout_id"]
    left = left.sort(near, descending=[True, False, False], nulls_last=True)
    return Selection(**vars(made), rows=in_order(taken), passed_over=left)


def decide(
    kept: pl.DataFrame, settings: Select, pass_rates: Mapping[str, float] | None = None
) -> Decision:
    """Choose `budget` rows: round(noise * budget) wrong ones, the best correct ones for the rest.

    Where correct ones run short, so do wrong ones, in ratio; not the other way round. `strata`,
    `within` and `per_problem` are about each role apart. The result does not depend on the order of
    the rows, of which there is what `looked_at` takes.
    """
    rows = judge(kept, settings)
    decided = [told(rows.filter(pl.col("reason").is_not_null()))]
    both, ranked, unranked = kept.hstack(rows), {}, 0
    for role, by in orders_of(settings).items():
        # Only what ranks is sorted: there may be millions of rows.
        free = pl.col("reason").is_null() & (pl.col("role") == role)
        needed = dict.fromkeys([*columns_to_rank(by), *rows.columns])
        pool = both.select(name for name in needed if name in both.columns).filter(free)
        if len(pool) and not can_rank(pool, by):
            refuse_unknown(both.filter(free), by, SETTING[role])
        pool, nulls = rank(pool, by, setting=SETTING[role])
        pool = take_turns(pool, nulls, settings, texts(kept) if settings.diverse else None)
        # All else of a row has had its say.
        pool = pool.select(each for each in ("problem_id", *DECIDED) if each in pool.columns)
        ranked[role] = cap(pool, settings.per_problem)
        unranked += nulls
    del rows, both, pool
    available = {role: pool["reason"].null_count() for role, pool in ranked.items()}
    refuse_nothing(kept, available["positive"], settings)
    wanted = split_budget(settings.budget, settings.noise)
    take = shrink(wanted, available, settings)
    if settings.difficulty == "proportional":
        assert pass_rates is not None, "a proportional choice needs pass rates"
        ranked["positive"] = in_proportion(
            ranked["positive"], pass_rates, take["positive"], settings.per_problem
        )
    decided += [told(spend(ranked.pop(role), take[role])) for role in list(ranked)]
    by_row = pl.concat(decided, how="diagonal").sort("row")
    in_order = pl.int_range(len(kept), dtype=pl.UInt32, eager=True)
    assert by_row["row"].equals(in_order), "not one decision for each"
    made = [name for name in made_columns() if name in kept.columns]
    by_row = by_row.hstack(kept.select(made))
    return Decision(by_row, wanted, unranked, shortfall(wanted, take, available, settings.noise))


def told(rows: pl.DataFrame) -> pl.DataFrame:
    """Keep of rows what is decided of them, and which they are: there may be millions."""
    return rows.select(name for name in DECIDED if name in rows.columns)


def orders_of(settings: Select) -> dict[str, str]:
    """Name the order of each role."""
    return {"positive": settings.by, "noise": settings.noise_by}


def judge(kept: pl.DataFrame, settings: Select) -> pl.DataFrame:
    """Give each row its role, and the reason why it cannot be ranked, if there is one; and `row`,
    where the whole row is.
    """
    roles = roles_of(settings.verdicts)
    role, verdict = pl.col("role"), pl.col("verdict")
    reasons = pl.Enum(reasons_for(kept["verdict"], roles))
    others = {
        other: f"verdict {other}"
        for other in kept["verdict"].drop_nulls().unique()
        if other not in roles
    }
    # A null verdict has no role either; unnamed, it would leave uncounted.
    reason: Any = pl.when(verdict.is_null()).then(pl.lit("verdict None", reasons))
    if others:
        named = verdict.replace_strict(others, default=None, return_dtype=reasons)
        reason = reason.when(role.is_null()).then(named)
    reason = reason.when(TOO_LONG).then(pl.lit("max_length", reasons))
    reason = reason.when("outside").then(pl.lit("where", reasons))
    if settings.verdicts == "any":
        reason = reason.when("blank").then(pl.lit("empty", reasons))
    for name, share in (("positive", 1), ("noise", 0)):
        if settings.noise == share:
            reason = reason.when(role == name).then(pl.lit(f"{name} not wanted", reasons))
    return (
        kept.with_columns(
            length=lengths(kept)[0],
            row=pl.int_range(pl.len(), dtype=pl.UInt32),
            role=verdict.replace_strict(roles, default=None, return_dtype=ROLES),
        )
        .with_columns(reason=reason)
        .select("length", "row", "role", "reason")
    )


def reasons_for(verdicts: pl.Series, roles: Mapping[str, str]) -> list[str]:
    """List the reasons that there can be: those that a verdict is, and ours."""
    there = verdicts.drop_nulls().unique().cast(pl.String).sort()
    other = [f"verdict {name}" for name in [None, *there] if name not in roles]
    return list(dict.fromkeys([*other, *REASONS]))


def cap(ranked: pl.DataFrame, per_problem: int | None) -> pl.DataFrame:
    """Name the rows that are held back since enough of their problem rank higher."""
    if per_problem is None:
        return ranked
    held = pl.int_range(pl.len()).over("problem_id") >= per_problem
    reason = pl.lit("per_problem", ranked.schema["reason"])
    return ranked.with_columns(reason=pl.when(held).then(reason))


def refuse_nothing(kept: pl.DataFrame, positives: int, settings: Select) -> None:
    """Refuse a selection without a single positive."""
    if positives or settings.noise == 1:
        return
    verdicts = dict(sorted(kept["verdict"].fill_null("null").value_counts().iter_rows()))
    wanted = "correct sample" if settings.verdicts == "correct" else "sample with a text"
    raise RFTError(
        f"select: no {wanted} to train on that sft.max_length and select.where let pass "
        f"(kept by verdict: {verdicts or 'none at all'}); sample more per problem, choose easier "
        "problems, or widen the two"
    )


def spend(ranked: pl.DataFrame, budget: int) -> pl.DataFrame:
    """Go down the ranked rows and take what is not held back, until the budget is spent."""
    free = pl.col("reason").is_null()
    number = free.cum_sum().cast(pl.Int32)
    taken = free & (number <= budget)
    spent = pl.lit("budget", ranked.schema["reason"])
    return ranked.with_columns(
        place=pl.int_range(pl.len(), dtype=pl.Int32),
        rank=pl.when(taken).then(number - 1),
        reason=pl.when(~taken).then(pl.coalesce("reason", spent)),
    )


def split(
    kept: pl.DataFrame, decided: pl.DataFrame, settings: Select
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split whole rows, some or all, into the selected and the passed over, in their order.

    Ours come first among the columns; what has the name of one that we add becomes `their_NAME`.
    """
    assert len(kept) == len(decided), "rows and decisions do not belong together"
    taken = decided["reason"].is_null()
    decided = decided.with_columns(pl.col("role", "reason").cast(pl.String))
    decided = decided.with_columns(
        ranked_by=pl.col("role").replace_strict(orders_of(settings), default=None)
    )
    frames = []
    for table, those in (("selected", taken), ("passed_over", ~taken)):
        ours = [name for name in TABLES[table].names if name not in TABLES["kept"].names]
        named = tables.pad(decided, table).select(ours)
        theirs = {name: f"their_{name}" for name in ours if name in kept.columns}
        rows = named.filter(those)
        whole = kept.filter(those).rename(theirs).with_columns(rows[name] for name in ours)
        known = [name for name in TABLES[table].names if name in whole.columns]
        frames.append(whole.select(*known, pl.exclude(known)))
    return frames[0], frames[1]


def in_order(selected: pl.DataFrame) -> pl.DataFrame:
    """Sort selected rows: positives first, each role by rank."""
    return selected.sort("role", "rank", descending=[True, False])
