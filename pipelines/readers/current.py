"""Whether a stage is done, and what is next, told from the run folder alone.

`rft.runs.stages.is_current` also looks at what lies outside, sources and models, before it works;
readers must answer at any time, at once, and when those are gone.
"""

from typing import Any

from pipelines.perform import STAGES
from pipelines.run import refused_twice, walk
from rft.runs.folder import Run
from rft.runs.stages import Stage, changed_settings

WRITERS = {
    "problems": "prepare",
    "rollouts": "sample",
    "graded": "grade",
    "kept": "filter",
    "rejected": "filter",
    "scored": "score",
    "selected": "select",
    "passed_over": "select",
    "evaluations": "evaluate",
}


def sound(run: Run, stage: str, round: int) -> dict[str, Any] | None:
    """Read a stage's manifest; None when it is not there or an input was replaced since."""
    manifest = run.manifest(stage, round)
    if manifest is None:
        return None
    for name, digest in manifest["inputs"].items():
        table, _, number = name.partition(" ")
        if name == "model" and stage == "evaluate" and round:
            source = run.manifest(run.recipe.maker, round)
        elif table in WRITERS and (not number or number.isdigit()):
            origin = int(number) if number else 0 if table == "problems" else round
            source = run.manifest(WRITERS[table], origin)
        else:
            continue
        if source is not None and source["outputs"][table]["digest"] != digest:
            return None
    return manifest


def finished(run: Run, stage: str, round: int) -> bool:
    """Say whether a stage is done, with the settings of the recipe in force."""
    manifest = sound(run, stage, round)
    if manifest is None:
        return False
    return not changed_settings(manifest["settings"], STAGES[stage].settings(run, round))


def next_step(run: Run) -> tuple[int, str] | None:
    """Find the first (round, stage) that is not done; None when the run is."""
    for round, stage in walk(run.recipe, run.recipe.rounds):
        if round and refused_twice(run, round):
            return None
        if not finished(run, stage.name, round):
            return round, stage.name
    return None


def rounds_done(run: Run, following: tuple[int, str] | None) -> int:
    """Count the rounds that are complete."""
    if following is not None:
        return max(following[0] - 1, 0)
    refused = (r for r in range(1, run.recipe.rounds + 1) if refused_twice(run, r))
    return next(refused, run.recipe.rounds + 1) - 1


def all_steps(run: Run) -> list[tuple[int, Stage]]:
    """List every (round, stage) of the recipe's plan."""
    return list(walk(run.recipe, run.recipe.rounds))
