"""Pick the samples to train on: correct ones that explore most, and a pinch of wrong ones.

Reads kept, scored where the walk has it, graded and rejected (for pass rates) and rollouts (for
lengths); writes selected.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from rft.errors import RFTError
from rft.measuring.pass_rates import pass_rates, pass_rates_in_waves
from rft.problems.foreign_rows import identify, need, refuse_taken, say_if_alone
from rft.recipe import Select
from rft.runs.folder import Run
from rft.runs.schemas import TABLES
from rft.runs.stages import Job, Stage
from rft.seeds import derive
from rft.token_stats.forward import STATISTIC, may_lack

ROLES = {"positive": "correct", "noise": "wrong"}
SETTING = {"positive": "select.by", "noise": "select.noise_by"}


@dataclass
class Selection:
    """The selected rows, and why each of the others was not."""

    rows: pl.DataFrame
    wanted: dict[str, int]
    dropped: dict[str, int]
    unranked: int
    shortfall: str


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what the choice depends on."""
    return {
        "seed": run.recipe.seed,
        # Not built; 0.1 wrote it all the same, and what it selected stays current.
        "select": run.recipe.select.model_dump(mode="json") | {"diverse": False},
        "max_length": run.recipe.sft.max_length,
    }


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the kept, the graded and, where they may be, the scored rollouts."""
    found = {
        "kept": run.output_digest("filter", round, "kept"),
        "graded": run.output_digest("grade", round, "graded"),
    }
    if run.recipe.sample.until is not None and run.recipe.select.difficulty is not None:
        found["rejected"] = run.output_digest("filter", round, "rejected")
    if may_lack(run.recipe):
        found["scored"] = run.output_digest("score", round, "scored")
    return found


def work(job: Job) -> None:
    """Select from a round's kept rollouts."""
    run, recipe = job.run, job.run.recipe
    kept = with_scores(run, job.round, run.read("kept", job.round))
    rates = None if recipe.select.difficulty is None else rates_of(run, job.round)
    lengths = run.read("rollouts", job.round, ["rollout_id", "num_prompt_tokens"])
    long = too_long(kept, lengths, recipe.sft.max_length)
    seed = derive(recipe.seed, "select", job.round)
    chosen = select(kept, settings=recipe.select, seed=seed, pass_rates=rates, too_long=long)
    job.write("selected", chosen.rows)
    selected = dict(sorted(chosen.rows["role"].value_counts().iter_rows()))
    job.counts |= {
        "in": len(kept),
        "selected": selected,
        "wanted": chosen.wanted,
        "dropped": chosen.dropped,
        "unranked": chosen.unranked,
        "shortfall": chosen.shortfall,
    }
    job.notes["seeds"] = {"select": seed}
    took = " + ".join(f"{count} {role}" for role, count in selected.items())
    job.say(f"  {len(kept)} kept -> {took} selected by {recipe.select.by}")
    if chosen.shortfall:
        job.say(f"  {chosen.shortfall}")


def with_scores(run: Run, round: int, rows: pl.DataFrame) -> pl.DataFrame:
    """Put what `score` computed in the place of what was recorded, wholly, for the rows it scored.

    The numbers of tokens are taken over where text alone was recorded.
    """
    if not may_lack(run.recipe):
        return rows
    names = [*STATISTIC.values(), "stats_origin"]
    size = "num_response_tokens"
    scored = run.read("scored", round, ["rollout_id", size, *names]).with_columns(there=True)
    both = rows.join(
        scored, on="rollout_id", how="left", suffix=" scored", validate="1:1", maintain_order="left"
    )
    found = pl.col("there").fill_null(False)
    return both.with_columns(
        *(
            pl.when(found).then(f"{name} scored").otherwise(name).alias(name)
            for name in names
            if name in rows.columns
        ),
        *(pl.coalesce(name, f"{name} scored") for name in [size] if name in rows.columns),
    ).select(rows.columns)


def rates_of(run: Run, round: int) -> dict[str, float]:
    """Estimate how often each problem of a round is solved, whatever ended its sampling."""
    names = ["rollout_id", "problem_id", "sample_index", "verdict", "response"]
    graded, until = run.read("graded", round, names), run.recipe.sample.until
    if until is None:
        return pass_rates(graded)
    # What passes the rules by itself; equal texts count once where a rule drops duplicates.
    twins = run.read("rejected", round, ["rollout_id", "rejected_by"])
    twins = twins.filter(pl.col("rejected_by") == "duplicate")
    passing = pl.concat([run.read("kept", round, ["rollout_id"]), twins.select("rollout_id")])
    name = "response" if "duplicate" in run.recipe.filter else "rollout_id"
    known = graded.join(passing, on="rollout_id", how="semi")
    named = dict(zip(known["rollout_id"], known[name], strict=True))
    return pass_rates_in_waves(graded, named, wave=until.wave, target=until.accepted)


def too_long(kept: pl.DataFrame, lengths: pl.DataFrame, limit: int) -> frozenset[str]:
    """Find the rollouts whose prompt, response and end do not fit SFT's limit."""
    length = pl.col("num_prompt_tokens") + pl.col("num_response_tokens") + 1
    sized = kept.join(lengths, on="rollout_id", how="left", validate="1:1")
    return frozenset(sized.filter(length > limit)["rollout_id"])


def select(
    kept: pl.DataFrame,
    *,
    settings: Select,
    seed: int,
    pass_rates: Mapping[str, float] | None = None,
    too_long: frozenset[str] = frozenset(),
) -> Selection:
    """Choose `budget` rows: round(noise * budget) wrong ones, the best correct ones for the rest.

    When either runs short both shrink, so that the ratio stays. `per_problem` caps each role apart.
    The result does not depend on the order of the rows.
    """
    left, dropped = _eligible(kept, settings, pass_rates, too_long)
    by = {"positive": settings.by, "noise": settings.noise_by}
    pools = {}
    unranked = 0
    for role, verdict in ROLES.items():
        pool = left.filter(pl.col("verdict") == verdict)
        if settings.noise == (0 if role == "noise" else 1):
            dropped[f"{role} not wanted"] = len(pool)
            pool = pool.head(0)
        ranked, nulls = rank(pool, by[role], seed, setting=SETTING[role])
        unranked += nulls
        pools[role] = _cap(ranked, settings.per_problem)
        dropped["per_problem"] = dropped.get("per_problem", 0) + len(ranked) - len(pools[role])
    refuse_nothing(kept, pools["positive"], settings)
    wanted = split_budget(settings.budget, settings.noise)
    sizes = {role: len(pool) for role, pool in pools.items()}
    take = shrink(wanted, sizes, settings)
    if settings.difficulty == "proportional":
        assert pass_rates is not None, "a proportional choice needs pass rates"
        pools["positive"] = in_proportion(pools["positive"], pass_rates, take["positive"])
    frames = []
    for role, pool in pools.items():
        dropped["budget"] = dropped.get("budget", 0) + len(pool) - take[role]
        frames.append(
            pool.head(take[role]).with_columns(
                rank=pl.int_range(pl.len(), dtype=pl.Int32),
                role=pl.lit(role),
                ranked_by=pl.lit(by[role]),
            )
        )
    rows = pl.concat(frames)
    dropped = {reason: count for reason, count in sorted(dropped.items()) if count}
    assert len(kept) == len(rows) + sum(dropped.values()), "kept != selected + dropped"
    known = [name for name in TABLES["selected"].names if name in rows.columns]
    passing = [name for name in rows.columns if name not in known]
    return Selection(
        rows.select(*known, *passing), wanted, dropped, unranked, _shortfall(wanted, take, sizes)
    )


def _eligible(
    kept: pl.DataFrame,
    settings: Select,
    pass_rates: Mapping[str, float] | None,
    too_long: frozenset[str],
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Drop by name what can have no role: other verdicts, too long, outside the window."""
    dropped: dict[str, int] = {}
    # A null verdict is neither in nor out of a list; without this it would leave uncounted.
    role = pl.col("verdict").is_in(list(ROLES.values())).fill_null(False)
    for verdict, count in kept.filter(~role)["verdict"].value_counts().iter_rows():
        dropped[f"verdict {verdict}"] = count
    left = kept.filter(role)
    fits = ~pl.col("rollout_id").is_in(list(too_long))
    dropped["max_length"] = len(left.filter(~fits))
    left = left.filter(fits)
    if isinstance(settings.difficulty, tuple):
        assert pass_rates is not None, "a pass-rate window needs pass rates"
        low, high = settings.difficulty
        inside = [name for name, rate in pass_rates.items() if low <= rate <= high]
        before = len(left)
        left = left.filter(pl.col("problem_id").is_in(inside))
        dropped["difficulty"] = before - len(left)
    return left, dropped


def rank(
    pool: pl.DataFrame, by: str, seed: int, *, setting: str = "select.by"
) -> tuple[pl.DataFrame, int]:
    """Order a pool, best first, and count the rows without a finite statistic to be ranked by."""
    if by == "random":
        draws = [derive(seed, "rank", name) for name in pool["rollout_id"]]
        return pool[pl.Series(draws, dtype=pl.Int64).arg_sort()], 0
    column = STATISTIC[by]
    if pool.is_empty():
        return pool, 0
    # Not null alone: NaN sorts above every number, and so would be the most explorative.
    known = pl.col(column).is_finite()
    ranked = pool.filter(known) if column in pool.columns else pool.head(0)
    if ranked.is_empty():
        raise RFTError(
            f"{setting}: {by}, but no row has a {column}; `rft score` computes it, or set "
            f"{setting}: random"
        )
    if "stats_origin" in pool.columns:
        named = ranked["stats_origin"].fill_null("unknown").value_counts()
        origins = dict(sorted(named.iter_rows()))
        if len(origins) > 1:
            raise RFTError(
                f"{setting}: {by}: the statistics are of different origins ({origins}), which do "
                f"not rank together; keep rows of one origin, or set {setting}: random"
            )
    value = pl.when(known).then(column)
    order = pool.sort(value, "rollout_id", descending=[True, False], nulls_last=True)
    return order, len(pool) - len(ranked)


def _cap(ranked: pl.DataFrame, per_problem: int | None) -> pl.DataFrame:
    """Keep the best of each problem."""
    if per_problem is None:
        return ranked
    return ranked.filter(pl.int_range(pl.len()).over("problem_id") < per_problem)


def split_budget(total: int, noise: float) -> dict[str, int]:
    """Split a number of rows: the noise is rounded (half up), the positives are the rest."""
    # In decimals: 0.29 of 50 is 14.5, but a little less as a binary fraction.
    wrong = int(Decimal(str(noise)) * total + Decimal("0.5"))
    return {"positive": total - wrong, "noise": wrong}


def shrink(wanted: dict[str, int], available: dict[str, int], settings: Select) -> dict[str, int]:
    """Find the most rows, up to the budget, that can be had at the wanted ratio."""

    def lacking(total: int) -> bool:
        split = split_budget(total, settings.noise)
        return any(split[role] > available[role] for role in split)

    # Neither part falls as the total rises, so what lacks once lacks from there on.
    most = bisect_left(range(1, sum(wanted.values()) + 1), True, key=lacking)
    split = split_budget(most, settings.noise)
    if most and (split["positive"] or not wanted["positive"]):
        return split
    raise RFTError(f"select.noise: {settings.noise:g} cannot be had of {available}; lower it")


def _shortfall(wanted: dict[str, int], take: dict[str, int], sizes: dict[str, int]) -> str:
    if take == wanted:
        return ""
    scarce = [
        f"{sizes[role]} {role} of {wanted[role]} wanted"
        for role in wanted
        if sizes[role] < wanted[role]
    ]
    return (
        f"short of samples: only {' and '.join(scarce)}; took {sum(take.values())} of "
        f"{sum(wanted.values())}, the share of noise unchanged"
    )


def refuse_nothing(kept: pl.DataFrame, positives: pl.DataFrame, settings: Select) -> None:
    """Refuse a selection without a single correct sample."""
    if len(positives) or settings.noise == 1:
        return
    verdicts = dict(sorted(kept["verdict"].fill_null("null").value_counts().iter_rows()))
    raise RFTError(
        f"select: no correct sample to train on that sft.max_length and select.difficulty let pass "
        f"(kept by verdict: {verdicts or 'none at all'}); sample more per problem, choose easier "
        "problems, or widen the two"
    )


def in_proportion(
    ranked: pl.DataFrame, pass_rates: Mapping[str, float], budget: int
) -> pl.DataFrame:
    """Put first each problem's share of the budget in proportion to its fail rate 1 - pass rate.

    Shares are rounded by largest remainder (DART's Prop2Diff, arXiv 2407.13690); what a problem
    cannot fill goes to the best-ranked of the others.
    """
    problems = sorted(set(ranked["problem_id"]))
    weights = [1.0 - pass_rates[name] for name in problems]
    total = sum(weights)
    exact = [budget * weight / total if total else budget / len(problems) for weight in weights]
    quota = dict(zip(problems, (int(share) for share in exact), strict=True))
    rest = sorted(
        zip(problems, exact, strict=True), key=lambda pair: (int(pair[1]) - pair[1], pair[0])
    )
    for name, _ in rest[: budget - sum(quota.values())]:
        quota[name] += 1
    position = pl.int_range(pl.len()).over("problem_id")
    within = position < pl.col("problem_id").replace_strict(quota, return_dtype=pl.Int64)
    return pl.concat([ranked.filter(within), ranked.filter(~within)])


def select_file(
    rows: pl.DataFrame, path: Path, choice: Select, seed: int, say: Callable[[str], None]
) -> Selection:
    """Select from anyone's graded rows; their other columns pass through."""
    need(rows, ["verdict"], path)
    refuse_taken(rows, ["role", "rank", "ranked_by"], "select", path)
    rows = identify(rows, path)
    for name, value in (("per_problem", choice.per_problem), ("difficulty", choice.difficulty)):
        if value is not None:
            say_if_alone(rows, f"select.{name}", say)
    seed = derive(seed, "select", 0)
    return select(rows, settings=choice, seed=seed, pass_rates=pass_rates(rows))


STAGE = Stage("select", settings, inputs, work)
