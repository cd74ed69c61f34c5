"""Whether a stage is done, and what is next, told from the run folder alone.

`rft.runs.stages.is_current` also looks at what lies outside, sources and models, before it works;
readers must answer at any time, at once, and when those are gone.
"""

from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from pipelines.perform import STAGES
from pipelines.run import walk
from rft.ending import Ending, ending
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
    "trained": "train",
    "eval_rollouts": "evaluate",
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
        elif table == "problems":
            if digest != problems_then(run, stage, round):
                return None
            continue
        elif table in WRITERS and (not number or number.isdigit()):
            origin = int(number) if number else round
            source = run.manifest(WRITERS[table], origin)
        else:
            continue
        if source is not None and source["outputs"][table]["digest"] != digest:
            return None
    return manifest


def measured_models(run: Run) -> list[int]:
    """List the models whose answers are there, as they stand; 0 is the base."""
    return [number for number in range(run.recipe.rounds + 1) if sound(run, "evaluate", number)]


def problems_then(run: Run, stage: str, round: int) -> str:
    """Stand for the problems that a stage has to have read: what is measured stays as it was."""
    return run.problems_digest({"evaluate": 0, "prepare": round - 1}.get(stage, round))


def finished(run: Run, stage: str, round: int) -> bool:
    """Say whether a stage is done, with the settings of the recipe in force."""
    manifest = sound(run, stage, round)
    if manifest is None:
        return False
    return not changed_settings(manifest["settings"], STAGES[stage].settings(run, round))


@dataclass(frozen=True)
class Standing:
    """How far a run is."""

    rounds: int
    """How many rounds are complete."""
    following: tuple[int, str] | None
    """The (round, stage) that is next; None when the run is done."""
    ended: Ending | None = None
    """Why it is done before its rounds are."""
    over: Ending | None = None
    """Why not even `--next` would make a round more."""


def standing(run: Run) -> Standing:
    """Find the first stage that is not done, and whether the run goes on with it."""
    for round, stage in walk(run, run.recipe.rounds):
        if not finished(run, stage.name, round):
            rounds, ended = max(round - 1, 0), ending(run, round)
            return Standing(rounds, None if ended else (round, stage.name), ended, ended)
    rounds = run.recipe.rounds
    return Standing(rounds, None, over=None if run.recipe.grpo else ending(run, rounds + 1))


def whole(run: Run) -> bool:
    """Say whether the files of all that is done are there; removed models are wanted no more."""
    steps = takewhile(lambda step: finished(run, step[1].name, step[0]), all_steps(run))
    made = (run.manifest(stage.name, round) for round, stage in steps)
    return all(manifest is not None and run.outputs_intact(manifest) for manifest in made)


def all_steps(run: Run) -> list[tuple[int, Stage]]:
    """List every (round, stage) of the recipe's plan."""
    return list(walk(run, run.recipe.rounds))
