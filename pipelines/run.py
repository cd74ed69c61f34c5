"""The whole story: prepare, measure the base, then round after round until the rounds are done.

    prepare     read the problems, set aside by name what cannot be used (`prepare.refresh: round`
                looks for new ones at the beginning of each later round)
    evaluate    measure the base: Pass@1 and Pass@k on dev and test
    then, each round:
    sample      draw many answers to each problem from the last adopted model
    grade       check every answer against the known one
    filter      apply the rules, in order
    score       compute exact statistics where sampling recorded none, if `select` ranks by them
    select      pick what to train on: what explores most, and a pinch of noise
    train       fine-tune, and            (these two only where `sft.blend` searches
    blend       find the best blend on dev, of which sft then makes model r)
    sft         fine-tune: model r         (online training has `grpo` in place of sample to sft)
    evaluate    measure model r
    gate        adopt it, unless it is surely worse on dev than an adopted one

Before the first token is spent, whichever stage samples first makes the preflight with the engine
that it has loaded anyway: rft/sampling/preflight.py.
"""

from collections.abc import Callable, Iterator

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
from pipelines.children import LimitReached
from pipelines.perform import do
from rft.ending import Ending, ending, out_of_budget
from rft.processes.stopping import Stop
from rft.runs import stages
from rft.runs.folder import Run
from rft.runs.retention import decided, prune
from rft.runs.stages import Stage, Step
from rft.selection.ranking import may_lack

# What is called with a round and a stage of it that was done just now.
After = Callable[[int, Stage], None]


def walk(run: Run, rounds: int) -> Iterator[tuple[int, Stage]]:
    """List every stage of a run in order, with its round."""
    recipe = run.recipe
    yield 0, prepare.STAGE
    yield 0, evaluate.STAGE
    for round in range(1, rounds + 1):
        if recipe.grpo is not None:
            yield round, grpo.STAGE
        else:
            if looks_for_problems(run, round):
                yield round, prepare.STAGE
            yield round, sample.STAGE
            yield round, grade.STAGE
            yield round, filter.STAGE
            if may_lack(recipe):
                yield round, score.STAGE
            yield round, selection.STAGE
            if recipe.searches:
                yield round, sft.TRAIN
                yield round, blend.STAGE
            yield round, sft.STAGE
        yield round, evaluate.STAGE
        if recipe.gate is not None:
            yield round, gate.STAGE


def looks_for_problems(run: Run, round: int) -> bool:
    """Say whether a round looks for new problems: not one that was sampled without doing so."""
    wanted = round > 1 and run.recipe.prepare.refresh == "round"
    return wanted and (run.manifest("sample", round) is None or round in run.refreshed(round))


def run_all(
    run: Run, rounds: int, stop: Stop, say: Callable[[str], None], after: After | None = None
) -> bool:
    """Do what is not done yet, up to the given round; say whether anything was done."""
    anything, ended = False, None
    for round, stage in walk(run, rounds):
        if stages.is_current(stage, run, round):
            stages.remove_work(stage, run, round)
            continue
        did, ended = go_on(stage, run, round, ending(run, round), stop, say)
        anything |= did
        if ended is not None:
            break
        if after is not None:
            after(round, stage)
    final = evaluate.ended_with(run)
    if final is not None and not stages.is_current(evaluate.STAGE, run, final):
        did, over = go_on(evaluate.STAGE, run, final, out_of_budget(run), stop, say)
        anything, ended = anything or did, ended or over
    if ended is not None:
        announce(run, ended, say)
    # Also where nothing was done: a kill may have come between the last stage and this.
    prune(run, decided(run))
    run.forget_agreement()
    return anything


def go_on(
    stage: Stage,
    run: Run,
    round: int,
    ended: Ending | None,
    stop: Stop,
    say: Callable[[str], None],
) -> tuple[bool, Ending | None]:
    """Do a stage if the run has not ended; say whether it was begun, and why the run ends now."""
    if ended is not None:
        return False, ended
    try:
        do(stage, run, round, stop, say)
    except LimitReached as reached:
        return True, reached.ending
    if stage is evaluate.STAGE and round == 0:
        for line in gate.seen_by_gate(run):
            say(f"gate: {line}")
    return True, None


def announce(run: Run, ended: Ending, say: Callable[[str], None]) -> None:
    """Say why the run ends, and note it once."""
    say(f"the run ends here: {ended.text}")
    about = {"event": "ended", "rule": ended.rule, "text": ended.text}
    for event in reversed(run.events()):
        if event["event"] == "start":
            break
        if {name: event.get(name) for name in about} == about:
            return
    run.event("ended", rule=ended.rule, text=ended.text)


def plan(run: Run, rounds: int) -> list[Step]:
    """Say what `run_all` would do, if no gate ends the run before."""
    return stages.plan(run, walk(run, rounds))


def next_round(run: Run, say: Callable[[str], None]) -> int:
    """Give the round that `--next` finishes or makes: the first one that is not complete."""
    round = 1
    while not any(step.state != "reuse" for step in plan(run, round)):
        if why := ending(run, round + 1):
            say(f"nothing to do: {why.text}")
            return round
        round += 1
    return round
