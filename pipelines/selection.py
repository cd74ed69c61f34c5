"""Pick the samples to train on: correct ones that explore most, and a pinch of wrong ones.

Reads kept, scored where the walk has it, graded and rejected (for pass rates) and rollouts (for
lengths); writes selected and passed_over, and in the manifest what sets the selected apart.
"""

import re
from typing import Any

import polars as pl

from rft.measuring.pass_rates import pass_rates, pass_rates_in_waves
from rft.recipe import Select
from rft.recipe.parts import contents
from rft.recipe.section import dumped
from rft.recipe.selection import LATER, statistics
from rft.runs.folder import Run
from rft.runs.stages import Job, Stage
from rft.seeds import derive
from rft.selection.choice import decide, in_order, split
from rft.selection.composition import composition, too_short
from rft.selection.narrow import narrow
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
    run, recipe, settings = job.run, job.run.recipe, job.run.recipe.select
    rates, scored = rates_of(run, job.round), scores_of(run, job.round)
    pool = pl.concat(
        narrow(with_scores(batch, scored), settings, rates)
        for batch in run.batches("kept", job.round)
    )
    sizes = run.read("rollouts", job.round, ["rollout_id", "num_prompt_tokens"])
    long = too_long(pool, sizes, recipe.sft.max_length)
    seed = derive(recipe.seed, "select", job.round)
    made = decide(pool, settings, seed, pass_rates=rates, too_long=long)
    taken, place = [], 0
    with job.writer("passed_over") as passed_over:
        for batch in run.batches("kept", job.round):
            whole = with_scores(batch, scored)
            chosen, left = split(whole, made.each[place : place + len(whole)], settings)
            taken.append(chosen)
            passed_over.add(left)
            place += len(whole)
    selected = in_order(pl.concat(taken))
    job.write("selected", selected)
    assert place == len(pool) == len(selected) + passed_over.rows, "kept != selected + passed over"
    job.counts |= {
        "in": len(pool),
        "selected": made.selected,
        "wanted": made.wanted,
        "dropped": made.dropped,
        "unranked": made.unranked,
        "shortfall": made.shortfall,
    }
    told = composition(pool, selected, rates, settings)
    job.notes |= {"seeds": {"select": seed}, "composition": told}
    took = " + ".join(f"{count} {role}" for role, count in made.selected.items())
    job.say(f"  {len(pool)} kept -> {took} selected by {settings.by}")
    for note in filter(None, (made.shortfall, too_short(told))):
        job.say(f"  {note}")


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
        return pass_rates(run.read("graded", round, ["problem_id", "verdict"]))
    names = ["rollout_id", "problem_id", "sample_index", "verdict", "response"]
    graded = run.read("graded", round, names)
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
    sized = kept.select("rollout_id", "num_response_tokens")
    sized = sized.join(lengths, on="rollout_id", how="left", validate="1:1")
    return frozenset(sized.filter(length > limit)["rollout_id"])


STAGE = Stage("select", settings, inputs, work)
