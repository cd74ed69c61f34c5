"""Adopt the new model unless it is surely worse on dev than an adopted one, on any metric.

Reads evaluations of the new and of every adopted model; writes a decision into the manifest.
"""

from typing import Any

import polars as pl

from rft.ending import on_dev
from rft.errors import RFTError
from rft.measuring.adoption import compare, refuse_other_problems, told, values_of
from rft.measuring.pass_at_k import solved
from rft.measuring.power import power, told_power
from rft.runs.folder import Run
from rft.runs.models import all_adopted
from rft.runs.stages import Job, Stage
from rft.seeds import derive


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what the decision depends on."""
    gate = run.recipe.gate
    if gate is None:
        raise RFTError(f"{run.path}: the recipe has gate: null, every model is adopted")
    return {"gate": gate.model_dump(mode="json"), "seed": run.recipe.seed}


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the new and of every adopted model's evaluations."""
    return {
        f"evaluations {number}": run.output_digest("evaluate", number, "evaluations")
        for number in (*all_adopted(run, round - 1), round)
    }


def work(job: Job) -> None:
    """Compare and decide."""
    run, gate, new = job.run, job.run.recipe.gate, job.round
    assert gate is not None
    before = all_adopted(run, new - 1)
    answers = {number: on_dev(run, number) for number in (*before, new)}
    if answers[new].is_empty():
        raise RFTError(f"gate.on: {gate.on}, but model {new} was not measured on that split")
    refuse_other_problems(answers)
    values = {number: values_of(each, gate, f"model {number}") for number, each in answers.items()}
    seed = derive(run.recipe.seed, "gate", new)
    comparisons = compare(
        {number: values[number] for number in before}, values[new], gate, seed=seed
    )
    worse = [each for each in comparisons if each.refuses]
    job.counts |= {"in": answers[new]["problem_id"].n_unique(), "adopted": not worse}
    job.notes |= {
        "seeds": {"signs": seed},
        "comparisons": [each.noted() for each in comparisons],
    }
    job.say(
        f"gate: model {new} refused, surely worse on {gate.on}: model {before[-1]} stays"
        if worse
        else f"gate: model {new} adopted, not surely worse on {gate.on} than any adopted one"
    )
    for each in comparisons:
        if each.refuses or each.roles:
            job.say(f"  {told(each, gate.entropy_floor)}" + " -> refused" * each.refuses)
    for line in seen_by_gate(run):
        job.say(f"  {line}")


def seen_by_gate(run: Run) -> list[str]:
    """Say what losses the gate can see, once the base is measured; nothing where there is none."""
    gate = run.recipe.gate
    if gate is None or run.manifest("evaluate", 0) is None:
        return []
    counts, n = solved(on_dev(run, 0)), run.recipe.evaluate.dev_n
    if counts.is_empty() or set(counts["n"]) != {n}:  # measured by an older recipe
        return []
    seed = derive(run.recipe.seed, "gate", "power")
    shares = power(counts["c"].cast(pl.Float64).to_numpy(), n, gate, seed=seed)
    return told_power(shares, len(counts), n)


STAGE = Stage("gate", settings, inputs, work)
