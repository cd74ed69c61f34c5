"""Pick the samples to train on: correct ones that explore most, and a pinch of wrong ones.

Reads kept, scored where the walk has it, graded and rejected (for pass rates) and rollouts (for
lengths); writes selected and passed_over, and in the manifest what sets the selected apart.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from rft.measuring.pass_rates import pass_rates, pass_rates_in_waves
from rft.recipe import Select
from rft.recipe.parts import contents
from rft.recipe.section import dumped
from rft.recipe.selection import LATER, statistics
from rft.runs.dealing import dealt, parts_for, size_of
from rft.runs.folder import Run
from rft.runs.stages import Job, Stage
from rft.seeds import derive
from rft.selection.choice import decide, in_order, split
from rft.selection.composition import composition, too_short
from rft.selection.narrow import TOO_LONG, narrow, numbered
from rft.selection.ranking import may_lack, orders_in_use


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what the choice depends on."""
    return {
        "seed": run.recipe.seed,
        "select": dumped(run.recipe.select, LATER),
        "max_length": run.recipe.sft.max_length,
        **contents(run.recipe.parts, "orders", orders_named(run.recipe.select)),
    }


def orders_named(select: Select) -> set[str]:
    """Name the orders that a selection ranks by, or may name in its condition."""
    words = set(re.findall(r"\w+", select.where or ""))
    return words | set(orders_in_use(select).values())


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the kept, the graded and, where they may be, the scored rollouts."""
    digests = {
        "kept": run.output_digest("filter", round, "kept"),
        "graded": run.output_digest("grade", round, "graded"),
    }
    if run.recipe.sample.until is not None:
        digests["rejected"] = run.output_digest("filter", round, "rejected")
    if may_lack(run.recipe):
        digests["scored"] = run.output_digest("score", round, "scored")
    return digests


def work(job: Job) -> None:
    """Select from a round's kept rollouts: all are looked at narrowly, then gone through whole."""
    run, settings = job.run, job.run.recipe.select
    seed = derive(run.recipe.seed, "select", job.round)
    rates, scored = rates_of(run, job.round), scores_of(run, job.round)
    pool = pool_of(run, job.round, seed, rates, scored)
    made = decide(pool, settings, rates)
    took = made.selected

    def chosen() -> Iterator[pl.DataFrame]:
        """Give the selected rows with the part of the table that they belong to."""
        place = 0
        for batch in run.batches("kept", job.round):
            whole = with_scores(batch, scored)
            taken, left = split(whole, made.each[place : place + len(whole)], settings)
            passed_over.add(left)
            place += len(whole)
            yield taken.with_columns(part=part_of(taken, took, parts))
        assert place == len(pool), "rows looked at != rows gone through"

    share = sum(took.values()) / max(1, len(pool))
    parts = parts_for(share * sum(map(size_of, run.parts("kept", job.round))))
    with job.writer("passed_over") as passed_over, job.writer("selected") as selected:
        for part in dealt(chosen(), "selected", parts, job.work / "dealt"):
            selected.add(in_order(part))
    assert selected.rows == sum(took.values()), "selected != decided so"
    assert len(pool) == selected.rows + passed_over.rows, "kept != selected + passed over"
    job.counts |= {
        "in": len(pool),
        "selected": took,
        "wanted": made.wanted,
        "dropped": made.dropped,
        "unranked": made.unranked,
        "shortfall": made.shortfall,
    }
    told = composition(pool, made.each["reason"].is_null(), rates, settings)
    job.notes |= {"seeds": {"select": seed}, "composition": told}
    what = " + ".join(f"{count} {role}" for role, count in took.items())
    job.say(f"  {len(pool)} kept -> {what} selected by {settings.by}")
    for note in filter(None, (made.shortfall, too_short(told))):
        job.say(f"  {note}")


def pool_of(
    run: Run,
    round: int,
    seed: int,
    rates: Mapping[str, float],
    scored: pl.DataFrame | None,
) -> pl.DataFrame:
    """Take what a choice looks at of all kept rows of a round."""
    settings, limit = run.recipe.select, run.recipe.sft.max_length
    names = pl.concat(run.batches("kept", round, ["rollout_id", "verdict"]))
    numbers = numbered(names, settings, seed)
    del names
    prompts = prompt_lengths(run, round)
    rows = []
    for batch in run.batches("kept", round):
        whole = with_scores(batch, scored)
        long = too_long(whole, prompts, limit)
        rows.append(narrow(whole, settings, rates).hstack([long]))
    return pl.concat(rows).hstack(numbers)


def part_of(taken: pl.DataFrame, selected: Mapping[str, int], parts: int) -> pl.Series:
    """Say in which of so many parts of the table, each as long, selected rows are."""
    before = pl.when(role="noise").then(selected.get("positive", 0)).otherwise(0)
    place = (before + pl.col("rank").cast(pl.Int64)) * parts // max(1, sum(selected.values()))
    return taken.select(part=place)["part"]


def scores_of(run: Run, round: int) -> pl.DataFrame | None:
    """Read what `score` computed, where the walk has it."""
    if not may_lack(run.recipe):
        return None
    names = ["rollout_id", "num_response_tokens", *statistics(), "stats_origin"]
    return run.read("scored", round, names).with_columns(there=True)


def with_scores(rows: pl.DataFrame, scored: pl.DataFrame | None) -> pl.DataFrame:
    """Put what `score` computed in the place of what was recorded, wholly, for the rows it scored.

    The numbers of tokens are taken over where text alone was recorded.
    """
    if scored is None:
        return rows
    names = [*statistics(), "stats_origin"]
    size = "num_response_tokens"
    both = rows.join(
        scored, on="rollout_id", how="left", suffix=" scored", validate="1:1", maintain_order="left"
    )
    was_scored = pl.col("there").fill_null(False)
    return both.with_columns(
        *(
            pl.when(was_scored).then(f"{name} scored").otherwise(name).alias(name)
            for name in names
            if name in rows.columns
        ),
        *(pl.coalesce(name, f"{name} scored") for name in [size] if name in rows.columns),
    ).select(rows.columns)


def rates_of(run: Run, round: int) -> dict[str, float]:
    """Estimate how often each problem of a round is solved, whatever ended its sampling."""
    until = run.recipe.sample.until
    if until is None:
        return pass_rates(run.batches("graded", round, ["problem_id", "verdict"]))
    names = ["rollout_id", "problem_id", "sample_index", "verdict", "response"]
    graded = pl.concat(
        # Of a problem's answers; that two texts have one hash by chance is below 10^-15.
        batch.with_columns(pl.col("response").hash(seed=1))
        for batch in run.batches("graded", round, names)
    )
    # What passes the rules by itself; equal texts count once where a rule drops duplicates.
    twins = run.read("rejected", round, ["rollout_id", "rejected_by"])
    twins = twins.filter(pl.col("rejected_by") == "duplicate")
    passing = pl.concat([run.read("kept", round, ["rollout_id"]), twins.select("rollout_id")])
    name = "response" if "duplicate" in run.recipe.filter else "rollout_id"
    known = graded.join(passing, on="rollout_id", how="semi")
    named = dict(zip(known["rollout_id"], known[name], strict=True))
    return pass_rates_in_waves(graded, named, wave=until.wave, target=until.accepted)


def prompt_lengths(run: Run, round: int) -> pl.DataFrame:
    """Give the number of tokens of each problem's prompt, which its rollouts share."""
    longest = pl.col("num_prompt_tokens").max()
    some = [
        batch.group_by("problem_id").agg(longest)
        for batch in run.batches("rollouts", round, ["problem_id", "num_prompt_tokens"])
    ]
    return pl.concat(some).group_by("problem_id").agg(longest)


def too_long(kept: pl.DataFrame, prompts: pl.DataFrame, limit: int) -> pl.Series:
    """Say of each rollout whether its prompt, response and end do not fit SFT's limit."""
    sized = kept.select("problem_id", "num_response_tokens")
    sized = sized.join(prompts, on="problem_id", how="left", validate="m:1", maintain_order="left")
    length = pl.col("num_prompt_tokens") + pl.col("num_response_tokens") + 1
    return sized.select((length > limit).fill_null(False).alias(TOO_LONG))[TOO_LONG]


STAGE = Stage("select", settings, inputs, work)
