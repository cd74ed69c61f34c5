"""Pick the samples to train on: correct ones that explore most, and a pinch of wrong ones.

Reads kept, scored where the walk has it, graded and rejected (for pass rates) and rollouts (for
lengths); writes selected and passed_over, and in the manifest what sets the selected apart.
"""

from typing import Any

import polars as pl

from rft.measuring.pass_rates import pass_rates, pass_rates_in_waves
from rft.recipe.section import dumped
from rft.recipe.selection import LATER, statistics
from rft.runs.folder import Run
from rft.runs.stages import Job, Stage
from rft.seeds import derive
from rft.selection.choice import select
from rft.selection.composition import composition, too_short
from rft.selection.ranking import may_lack


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what the choice depends on."""
    return {
        "seed": run.recipe.seed,
        "select": dumped(run.recipe.select, LATER),
        "max_length": run.recipe.sft.max_length,
    }


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
    """Select from a round's kept rollouts."""
    run, recipe = job.run, job.run.recipe
    kept = with_scores(run, job.round, run.read("kept", job.round))
    rates = rates_of(run, job.round)
    lengths = run.read("rollouts", job.round, ["rollout_id", "num_prompt_tokens"])
    long = too_long(kept, lengths, recipe.sft.max_length)
    seed = derive(recipe.seed, "select", job.round)
    chosen = select(kept, settings=recipe.select, seed=seed, pass_rates=rates, too_long=long)
    job.write("selected", chosen.rows)
    job.write("passed_over", chosen.passed_over)
    selected = dict(sorted(chosen.rows["role"].value_counts().iter_rows()))
    job.counts |= {
        "in": len(kept),
        "selected": selected,
        "wanted": chosen.wanted,
        "dropped": chosen.dropped,
        "unranked": chosen.unranked,
        "shortfall": chosen.shortfall,
    }
    made = composition(kept, chosen.rows, rates, recipe.select)
    job.notes |= {"seeds": {"select": seed}, "composition": made}
    took = " + ".join(f"{count} {role}" for role, count in selected.items())
    job.say(f"  {len(kept)} kept -> {took} selected by {recipe.select.by}")
    for note in filter(None, (chosen.shortfall, too_short(made))):
        job.say(f"  {note}")


def with_scores(run: Run, round: int, rows: pl.DataFrame) -> pl.DataFrame:
    """Put what `score` computed in the place of what was recorded, wholly, for the rows it scored.

    The numbers of tokens are taken over where text alone was recorded.
    """
    if not may_lack(run.recipe):
        return rows
    names = [*statistics(), "stats_origin"]
    size = "num_response_tokens"
    scored = run.read("scored", round, ["rollout_id", size, *names]).with_columns(there=True)
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
    sized = kept.join(lengths, on="rollout_id", how="left", validate="1:1")
    return frozenset(sized.filter(length > limit)["rollout_id"])


STAGE = Stage("select", settings, inputs, work)
