"""The whole story: prepare, measure the base, then round after round until the rounds are done."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines import evaluate, filter, gate, grade, grpo, prepare, sample, score, selection, sft
from rft.errors import Interrupted, RFTError
from rft.estimates.forecast import Forecast
from rft.processes.stopping import PARENT, Stop
from rft.recipe import Recipe
from rft.runs import stages
from rft.runs.folder import Run, save_recipe
from rft.runs.models import adopted, is_there, last_round
from rft.runs.retention import prune
from rft.runs.stages import Stage, Step
from rft.sampling.preflight import recorded
from rft.selection.ranking import may_lack

ROUND = (
    sample.STAGE,
    grade.STAGE,
    filter.STAGE,
    score.STAGE,
    selection.STAGE,
    sft.STAGE,
    evaluate.STAGE,
    gate.STAGE,
)
ONLINE = (grpo.STAGE, evaluate.STAGE, gate.STAGE)
STAGES = {stage.name: stage for stage in (prepare.STAGE, *ROUND, grpo.STAGE)}

# Stages that need neither a tokenizer nor a model run in the driver itself.
LIGHT = {"filter", "select", "gate"}

# Threads that wait by spinning make each other ten times slower when cores are shared; the
# progress bars of other people's libraries say nothing that ours does not.
QUIET = {
    "OMP_WAIT_POLICY": "passive",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # It warns of tied weights in each checkpoint, and of the end token that we set on purpose.
    "TRANSFORMERS_VERBOSITY": "error",
}


class ChildFailed(Exception):
    """A stage's process ended badly, having said why."""

    def __init__(self, code: int):
        self.code = code


def walk(recipe: Recipe, rounds: int) -> Iterator[tuple[int, Stage]]:
    """List every stage of a run in order, with its round."""
    yield 0, prepare.STAGE
    yield 0, evaluate.STAGE
    for round in range(1, rounds + 1):
        for stage in ROUND if recipe.grpo is None else ONLINE:
            if stage is gate.STAGE and recipe.gate is None:
                continue
            if stage is score.STAGE and not may_lack(recipe):
                continue
            yield round, stage


def run_all(run: Run, rounds: int, stop: Stop, say: Callable[[str], None]) -> bool:
    """Do what is not done yet, up to the given round; say whether anything was done."""
    anything = False
    for round, stage in walk(run.recipe, rounds):
        if round and refused_twice(run, round):
            say(f"the gate refused rounds {round - 2} and {round - 1}: the run ends here")
            break
        anything |= do(stage, run, round, stop, say)
    if (final := evaluate.ended_with(run)) is not None:
        anything |= do(evaluate.STAGE, run, final, stop, say)
    if anything and rounds:
        prune(run, last_round(run))
    run.forget_agreement()
    return anything


def do(stage: Stage, run: Run, round: int, stop: Stop, say: Callable[[str], None]) -> bool:
    """Do one stage if it is not done, in a process of its own if it is heavy."""
    stop.check()
    if stages.is_current(stage, run, round):
        return False
    say(f"round {round}: {stage.name}" if round else f"base: {stage.name}")
    for number in models_for(stage, run, round):
        remake(run, number, stop, say)
    if stage.name in LIGHT:
        stages.perform(stage, run, round, stop, say)
    else:
        in_child(stage, run, round, stop)
    if stage.name == "gate" or (stage.name == "evaluate" and run.recipe.gate is None):
        prune(run, round)
    return True


def models_for(stage: Stage, run: Run, round: int) -> list[int]:
    """List the models of the run that a stage loads."""
    if stage is evaluate.STAGE:
        return [round]
    if stage in (sample.STAGE, score.STAGE) or (
        stage is sft.STAGE and run.recipe.sft.start == "previous"
    ):
        return [adopted(run, round - 1)]
    return []


def remake(run: Run, number: int, stop: Stop, say: Callable[[str], None]) -> None:
    """Train a model again that `keep.models` removed and that is needed after all."""
    if is_there(run, number):
        return
    maker = STAGES[run.recipe.maker]
    for parent in models_for(maker, run, number):
        remake(run, parent, stop, say)
    say(f"model {number} was removed (keep.models: {run.recipe.keep.models}): trained again")
    before = run.output_digest(maker.name, number, "model")
    run.put_away([run.manifest_path(maker.name, number)])
    in_child(maker, run, number, stop)
    if run.output_digest(maker.name, number, "model") != before:
        raise RFTError(
            f"{run.path}: model {number}, trained again, is not the same to the bit (accelerators "
            "are not), so what follows from it is out of date; `rft run --update` redoes that"
        )


def plan(run: Run, rounds: int) -> list[Step]:
    """Say what `run_all` would do."""
    return stages.plan(run, walk(run.recipe, rounds))


def refused_twice(run: Run, round: int) -> bool:
    """Say whether the two rounds before this one were refused by the gate."""
    return run.recipe.gate is not None and round > 2 and adopted(run, round - 1) < round - 2


def next_round(run: Run, say: Callable[[str], None]) -> int:
    """Give the round that `--next` finishes or makes: the first one that is not complete."""
    round = 1
    while not any(step.state != "reuse" for step in plan(run, round)):
        if refused_twice(run, round + 1):
            say("nothing to do: the gate refused the last two rounds")
            return round
        round += 1
    return round


def probe(recipe: Recipe, stop: Stop) -> Forecast:
    """Forecast a run that is not begun, by a few probes in a run folder that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="rft-plan-") as folder:
        trial = Run(Path(folder), recipe)
        save_recipe(trial)
        with trial.lock():
            in_child(prepare.STAGE, trial, 0, stop)
            _child(trial, "preflight", 0, stop, ["preflight", folder])
        return recorded(trial)


def in_child(stage: Stage, run: Run, round: int, stop: Stop) -> None:
    """Do a stage in a process of its own, which gives its memory back and cannot take us down."""
    command = [stage.name, str(run.path)]
    command += [] if stage.name == "prepare" else ["--round", str(round)]
    _child(run, stage.name, round, stop, command)


def _child(run: Run, name: str, round: int, stop: Stop, command: list[str]) -> None:
    # Own session: Ctrl-C reaches us alone, and we pass it on once.
    child = subprocess.Popen(
        [sys.executable, "-m", "rft", *command, "--grace", f"{stop.grace}s"],
        env=QUIET | os.environ | {PARENT: str(os.getpid())},
        start_new_session=True,
    )
    asked = False
    while True:
        try:
            code = child.wait(timeout=0.2)
            break
        except subprocess.TimeoutExpired:
            if stop.asked() and not asked:
                child.send_signal(signal.SIGTERM)
                asked = True
    if stop.asked():
        stop.check()
    if code < 0:
        run.event("lost", stage=name, round=round, signal=-code)
        raise Interrupted(
            f"{run.path}: the process of `{name}`, round {round}, was killed by signal "
            f"{-code}{' (out of memory?)' if code == -signal.SIGKILL else ''}; what is finished "
            "is kept"
        )
    if code:
        run.event("failed", stage=name, round=round, code=code)
        raise ChildFailed(code)
