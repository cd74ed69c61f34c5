"""Doing one stage of a run: with which model, in which process, and what counts as accepted."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import polars as pl

from pipelines import (
    blend,
    evaluate,
    filter,
    gate,
    grade,
    grpo,
    prepare,
    sample,
    score,
    selection,
    sft,
)
from pipelines.children import in_child
from rft.engines import refuse_missing
from rft.errors import RFTError
from rft.estimates.forecast import Forecast
from rft.exploration.compose import plugins_of
from rft.grading.verifiers import method_of, needs_golds
from rft.parts import in_use as parts_in_use
from rft.processes.stopping import Stop
from rft.recipe import Recipe
from rft.runs import stages
from rft.runs.folder import Run, open_run, save_recipe
from rft.runs.models import adopted, is_model, is_there
from rft.runs.retention import prune
from rft.runs.stages import Accept, Job, Stage
from rft.sampling import preflight
from rft.sampling.plan import SamplingStage
from rft.selection.condition import check_condition
from rft.selection.ranking import check_orders
from rft.training.arguments import check_trainer_arguments, refuse_lone_packing
from rft.training.objectives.apply import objective_of

# A run is one of rounds or one of online training; what only one of the two kinds has.
SEARCHING = (sft.TRAIN, blend.STAGE)
OF_ROUNDS = (
    *(sample.STAGE, grade.STAGE, filter.STAGE, score.STAGE, selection.STAGE),
    *(*SEARCHING, sft.STAGE),
)
ONLINE = (grpo.STAGE,)
STAGES = {
    stage.name: stage for stage in (prepare.STAGE, *OF_ROUNDS, *ONLINE, evaluate.STAGE, gate.STAGE)
}

# Stages that need neither a tokenizer nor a model run in the driver itself.
LIGHT = ("filter", "select", "gate")


# In the driver ------------------------------------------------------------------------------------


def do(stage: Stage, run: Run, round: int, stop: Stop, say: Callable[[str], None]) -> None:
    """Do one stage, in a process of its own if it is heavy."""
    stop.check()
    say(f"round {round}: {stage.name}" if round else f"base: {stage.name}")
    for number in models_for(stage, run, round):
        remake(run, number, stop, say)
    if needs_trained(stage, run):
        retrain(run, round, stop, say)
    if stage.name in LIGHT:
        stages.perform(Job(run, stage, round, stop, say))
    else:
        in_child(stage.name, run, round, stop)
    # At once, not at the end: the disk has to hold no more models than `keep.models` wants.
    if stage.name == "gate" or (stage.name == "evaluate" and run.recipe.gate is None):
        prune(run, round)


def models_for(stage: Stage, run: Run, round: int) -> list[int]:
    """List the models of the run that a stage loads, as far as can be told before."""
    if stage is evaluate.STAGE:
        return [] if evaluate.only_grades(run, round) else [round]
    if stage in (sample.STAGE, score.STAGE) or (
        stage in (*SEARCHING, sft.STAGE) and run.recipe.sft.start == "previous"
    ):
        return [adopted(run, round - 1)]
    return []


def needs_trained(stage: Stage, run: Run) -> bool:
    """Say whether a stage reads what `train` has left, and has not removed."""
    return run.recipe.searches and stage in (blend.STAGE, sft.STAGE)


def retrain(run: Run, round: int, stop: Stop, say: Callable[[str], None]) -> None:
    """Train again what a round's model is a blend of, where that was removed."""
    made = run.manifest(sft.TRAIN.name, round)
    if made is None or is_model(run.folder("trained", round)):
        return
    say(f"what model {round} is a blend of was removed: trained again")
    again(sft.TRAIN, run, round, "trained", stop)


def again(stage: Stage, run: Run, round: int, output: str, stop: Stop) -> None:
    """Do a stage again for an output that was removed, which has to come out the same."""
    before = run.output_digest(stage.name, round, output)
    run.put_away([run.manifest_path(stage.name, round)])
    in_child(stage.name, run, round, stop)
    if run.output_digest(stage.name, round, output) != before:
        raise RFTError(
            f"{run.path}: model {round}, trained again, is not the same to the bit (accelerators "
            "are not), so what follows from it is out of date; `rft run --update` redoes that"
        )


def remake(run: Run, number: int, stop: Stop, say: Callable[[str], None]) -> None:
    """Train a model again that `keep.models` removed and that is needed after all."""
    if is_there(run, number):
        return
    maker = STAGES[run.recipe.maker]
    for parent in models_for(maker, run, number):
        remake(run, parent, stop, say)
    say(f"model {number} was removed (keep.models: {run.recipe.keep.models}): trained again")
    if needs_trained(maker, run):
        retrain(run, number, stop, say)
    again(maker, run, number, "model", stop)


def probe(recipe: Recipe, stop: Stop) -> Forecast:
    """Forecast a run that is not begun, by a few probes in a run folder that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="rft-plan-") as folder:
        trial = Run(Path(folder), recipe)
        save_recipe(trial)
        with trial.lock():
            in_child("prepare", trial, 0, stop)
            in_child("preflight", trial, 0, stop)
        return preflight.recorded(trial)


# In the process that does the work ----------------------------------------------------------------


@contextmanager
def job_of(
    run: Run, stage: Stage, round: int, stop: Stop, say: Callable[[str], None]
) -> Iterator[Job]:
    """Make ready for a stage; one that samples is refused what it lacks, and told what counts."""
    if not isinstance(stage, SamplingStage):
        yield Job(run, stage, round, stop, say)
        return
    refuse_missing(run.recipe.engine.kind)
    if not preflight.is_current(run):
        check_trainer_arguments(run.recipe)
    with acceptance(run) as accept:
        yield Job(run, stage, round, stop, say, accept)


@contextmanager
def sampling_job(
    folder: Path, name: str, round: int | None, stop: Stop, say: Callable[[str], None]
) -> Iterator[tuple[Job, SamplingStage]]:
    """Begin a sampling stage for a process that works on it without the run's lock."""
    run, stage = open_run(folder), STAGES[name]
    assert isinstance(stage, SamplingStage), f"{name} does not sample"
    check_recipe(run.recipe)
    refuse_absent(stage, run)
    number = next_of(stage, run) if round is None else round
    with job_of(run, stage, number, stop, say) as job:
        yield job, stage


@contextmanager
def acceptance(run: Run) -> Iterator[Accept]:
    """Give the function that grades rollouts, applies the rules, and names those that pass."""
    graders: list[Callable[[pl.DataFrame], pl.DataFrame]] = []
    with ExitStack() as stack:

        def accept(rollouts: pl.DataFrame) -> list[str]:
            if not graders:  # most sampling stages never ask
                graders.append(stack.enter_context(grade.grading(run))[0])
            kept, _ = filter.apply_rules(graders[0](rollouts), run.recipe.filter)
            return kept.filter(pl.col("verdict") == "correct")["rollout_id"].to_list()

        yield accept


def next_of(stage: Stage, run: Run) -> int:
    """Give the first round whose output of a stage is not current, or the last round."""
    if stage is prepare.STAGE:
        return 0
    first = 0 if stage is evaluate.STAGE else 1
    rounds = range(first, run.recipe.rounds + 1)
    due = (round for round in rounds if not stages.is_current(stage, run, round))
    return next(due, run.recipe.rounds)


# What is refused before anything is done ----------------------------------------------------------


def check_recipe(recipe: Recipe, *, of_rows: bool = False) -> None:
    """Refuse what only the stages know to be wrong, and what an older run may still have.

    What parts bring is run for it, if it may be: from here on the recipe is acted on.
    """
    parts_in_use.run(recipe.parts)
    method_of(recipe.grade)
    if recipe.grade.judge == "given" and not of_rows:
        raise RFTError(
            "grade.verifier: given, but a run samples its answers, which bring no verdict; set "
            "math, exact, choice, code, judge or majority (`rft grade --input` takes given)"
        )
    refuse_labels(recipe)
    filter.check_rules(recipe.filter)
    if not of_rows:  # anyone's rows have columns of their own
        filter.check_columns(recipe.filter)
        check_condition(recipe.select.where)
        check_orders(recipe.select)
    recipe.sft.refuse_other_packing()
    recipe.sft.refuse_other_losses()
    objective_of(recipe.sft)
    refuse_lone_packing(recipe)
    if recipe.grpo is not None:
        plugins_of(recipe.grpo)
        recipe.grpo.refuse_cut_distributions()


def refuse_labels(recipe: Recipe) -> None:
    """Refuse labels by majority where not all answers to a problem are seen at once."""
    if needs_golds(recipe.grade):
        return
    where = None
    if recipe.grpo is not None:
        where = "grpo", "online training judges answers as they come"
    elif recipe.sample.until is not None:
        where = "sample.until", "answers are judged before all of their problem are there"
    elif recipe.sample.n == 1:
        where = "sample.n 1", "every answer would be right"
    if where is not None:
        raise RFTError(
            f"grade.verifier: majority, and with {where[0]} {where[1]}; change that, or set "
            "grade.verifier: math"
        )


def refuse_absent(stage: Stage, run: Run) -> None:
    """Refuse a stage of rounds in a run of online training, and the other way round."""
    online = run.recipe.grpo is not None
    if stage in (OF_ROUNDS if online else ONLINE):
        kind = "online training" if online else "rounds"
        raise RFTError(
            f"{run.path}: a run of {kind} has no stage `{stage.name}`; "
            f"`rft {run.command} {run.path}` goes on with it"
        )
    if stage in SEARCHING and not run.recipe.searches:
        raise RFTError(
            f"{run.path}: the recipe has no sft.blend.search, and a run without it no stage "
            f"`{stage.name}`; `rft {run.command} {run.path}` goes on with it"
        )


def refuse_removed(stage: Stage, run: Run, round: int) -> None:
    """Refuse a stage whose model `keep.models` has removed: only the loop trains it again."""
    for number in models_for(stage, run, round):
        if not is_there(run, number) and run.manifest(run.recipe.maker, number):
            raise RFTError(
                f"{run.path}: model {number} was removed (keep.models); "
                f"`rft {run.command} {run.path}` trains it again where it is needed"
            )
    gone = needs_trained(stage, run) and not is_model(run.folder("trained", round))
    if gone and run.manifest(sft.TRAIN.name, round):
        raise RFTError(
            f"{run.path}: what model {round} is a blend of was removed; "
            f"`rft {run.command} {run.path}` trains it again where it is needed"
        )
