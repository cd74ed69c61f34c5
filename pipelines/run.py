"""The whole story: prepare, measure the base, then round after round until the rounds are done.

    prepare     read the problems, set aside by name what cannot be used
    evaluate    measure the base: Pass@1 and Pass@k on dev and test
    then, each round:
    sample      draw many answers to each problem from the last adopted model
    grade       check every answer against the known one
    filter      apply the rules, in order
    score       compute exact statistics where sampling recorded none, if `select` ranks by them
    select      pick what to train on: what explores most, and a pinch of noise
    sft         fine-tune: model r         (online training has `grpo` in place of sample to sft)
    evaluate    measure model r
    gate        adopt it, unless it is surely worse on dev than an adopted one

Before the first token is spent, whichever stage samples first makes the preflight with the engine
that it has loaded anyway: rft/sampling/preflight.py.
"""

from collections.abc import Callable, Iterator

from pipelines import evaluate, filter, gate, grade, grpo, prepare, sample, score, selection, sft
from pipelines.perform import do
from rft.processes.stopping import Stop
from rft.recipe import Recipe
from rft.runs import stages
from rft.runs.folder import Run
from rft.runs.models import adopted, last_round
from rft.runs.retention import prune
from rft.runs.stages import Stage, Step
from rft.selection.ranking import may_lack

# What is called with a round and a stage of it that was done just now.
After = Callable[[int, Stage], None]


def walk(recipe: Recipe, rounds: int) -> Iterator[tuple[int, Stage]]:
    """List every stage of a run in order, with its round."""
    yield 0, prepare.STAGE
    yield 0, evaluate.STAGE
    for round in range(1, rounds + 1):
        if recipe.grpo is not None:
            yield round, grpo.STAGE
        else:
            yield round, sample.STAGE
            yield round, grade.STAGE
            yield round, filter.STAGE
            if may_lack(recipe):
                yield round, score.STAGE
            yield round, selection.STAGE
            yield round, sft.STAGE
        yield round, evaluate.STAGE
        if recipe.gate is not None:
            yield round, gate.STAGE


def run_all(
    run: Run, rounds: int, stop: Stop, say: Callable[[str], None], after: After | None = None
) -> bool:
    """Do what is not done yet, up to the given round; say whether anything was done."""
    anything = False
    for round, stage in walk(run.recipe, rounds):
        if round and refused_twice(run, round):
            say(f"the gate refused rounds {round - 2} and {round - 1}: the run ends here")
            break
        done = do(stage, run, round, stop, say)
        anything |= done
        if done and stage is evaluate.STAGE and round == 0:
            for line in gate.seen_by_gate(run):
                say(f"gate: {line}")
        if done and after is not None:
            after(round, stage)
    if (final := evaluate.ended_with(run)) is not None:
        anything |= do(evaluate.STAGE, run, final, stop, say)
    if anything and rounds:
        prune(run, last_round(run))
    run.forget_agreement()
    return anything


def refused_twice(run: Run, round: int) -> bool:
    """Say whether the two rounds before this one were refused by the gate."""
    return run.recipe.gate is not None and round > 2 and adopted(run, round - 1) < round - 2


def plan(run: Run, rounds: int) -> list[Step]:
    """Say what `run_all` would do, if no gate ends the run before."""
    return stages.plan(run, walk(run.recipe, rounds))


def next_round(run: Run, say: Callable[[str], None]) -> int:
    """Give the round that `--next` finishes or makes: the first one that is not complete."""
    round = 1
    while not any(step.state != "reuse" for step in plan(run, round)):
        if refused_twice(run, round + 1):
            say("nothing to do: the gate refused the last two rounds")
            return round
        round += 1
    return round
