"""Adopt the new model unless it is surely worse on dev than the last adopted one.

Reads evaluations of both; writes a decision into the manifest.
"""

from typing import Any

import polars as pl

from rft.errors import RFTError
from rft.measuring.pass_at_k import gate_decision, paired_difference_of
from rft.runs.folder import Run
from rft.runs.models import adopted
from rft.runs.stages import Job, Stage
from rft.seeds import derive


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what the decision depends on."""
    gate = run.recipe.gate
    if gate is None:
        raise RFTError(f"{run.path}: the recipe has gate: null, every model is adopted")
    return {"gate": gate.model_dump(mode="json"), "seed": run.recipe.seed}


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the two models' evaluations."""
    before = adopted(run, round - 1)
    return {
        "evaluations": run.output_digest("evaluate", round, "evaluations"),
        "evaluations before": run.output_digest("evaluate", before, "evaluations"),
    }


def work(job: Job) -> None:
    """Compare and decide."""
    run, gate = job.run, job.run.recipe.gate
    assert gate is not None
    before = adopted(run, job.round - 1)
    k = int(gate.metric.removeprefix("pass@"))
    frames = [
        run.read("evaluations", number, ["split", "benchmark", "problem_id", "verdict"]).filter(
            pl.col("split") == gate.on
        )
        for number in (before, job.round)
    ]
    if frames[1].is_empty():
        raise RFTError(f"gate.on: {gate.on}, but model {job.round} was not measured on that split")
    seed = derive(run.recipe.seed, "gate", job.round)
    change = paired_difference_of(frames[0], frames[1], k=k, seed=seed)
    decision = gate_decision(change)
    job.counts |= {"in": frames[1]["problem_id"].n_unique(), "adopted": decision == "adopt"}
    job.notes |= {
        "seeds": {"bootstrap": seed},
        "compared_with": before,
        "difference": [change.value, change.low, change.high],
        "metric": gate.metric,
    }
    words = "adopted" if decision == "adopt" else f"refused: model {before} stays"
    job.say(
        f"gate: model {job.round} against model {before} on {gate.on} {gate.metric}: "
        f"{change.value:+.3f} [{change.low:+.3f}, {change.high:+.3f}] -> {words}"
    )


STAGE = Stage("gate", settings, inputs, work)
