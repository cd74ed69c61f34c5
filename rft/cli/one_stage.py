"""How one stage of a run is done: under the run's lock, or as a job that shares its work."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rft.cli.opening import check_recipe
from rft.cli.terminal import say
from rft.errors import RFTError

if TYPE_CHECKING:
    from rft.processes.stopping import Stop
    from rft.runs.folder import Run
    from rft.runs.stages import Accept, Job


def stage_command(stage: str, run_folder: Path, round: int | None, grace: float) -> None:
    """Do one stage of a run under the run's lock."""
    from pipelines.run import STAGES, models_for
    from rft.engines import refuse_missing
    from rft.processes.stopping import Stop, die_with_parent
    from rft.runs import stages
    from rft.runs.folder import open_run
    from rft.runs.models import is_there

    die_with_parent()
    stop = Stop(grace).listen()
    found = open_run(run_folder)
    check_recipe(found.recipe)
    work = STAGES[stage]
    refuse_absent(work, found)
    if work.plan is not None:
        refuse_missing(found.recipe.engine.kind)
    with found.lock():
        number = next_of(work, found) if round is None else round
        if (number == 0) != (stage == "prepare") and stage != "evaluate":
            raise RFTError(f"--round {number}: `{stage}` has no such round; rounds begin at 1")
        if not stages.is_current(work, found, number):
            for needed in models_for(work, found, number):
                if not is_there(found, needed) and found.manifest(found.recipe.maker, needed):
                    raise RFTError(
                        f"{run_folder}: model {needed} was removed (keep.models); "
                        f"`rft {found.command} {run_folder}` trains it again where it is needed"
                    )
        with acceptance(found, work) as accept:
            done = stages.perform(work, found, number, stop, say, accept)
        if not done:
            say(f"{run_folder}: nothing to do, `{stage}` of round {number} is current")


def refuse_absent(stage: Any, found: "Run") -> None:
    """Refuse a stage of rounds in a run of online training, and the other way round."""
    from pipelines.run import ONLINE, ROUND

    online = found.recipe.grpo is not None
    if stage in (ROUND if online else ONLINE) and stage not in (ONLINE if online else ROUND):
        kind = "online training" if online else "rounds"
        raise RFTError(
            f"{found.path}: a run of {kind} has no stage `{stage.name}`; "
            f"`rft {found.command} {found.path}` goes on with it"
        )


@contextmanager
def acceptance(found: "Run", stage: Any) -> "Iterator[Accept | None]":
    """Give a sampling stage the function that grades rollouts and applies the rules to them."""
    if stage.plan is None:
        yield None
        return
    import polars as pl

    from pipelines.filter import apply_rules
    from pipelines.grade import grading

    with ExitStack() as stack:

        def accept(rollouts: pl.DataFrame) -> list[str]:
            if not started:  # most sampling stages never ask
                started.append(stack.enter_context(grading(found))[0])
            kept, _ = apply_rules(started[0](rollouts), found.recipe.filter)
            return kept.filter(pl.col("verdict") == "correct")["rollout_id"].to_list()

        started: list[Callable[[pl.DataFrame], pl.DataFrame]] = []
        yield accept


def begin_job(run_folder: Path, stage: str, round: int | None, stop: "Stop") -> "Job":
    """Begin a sampling stage for a process that works on it without the run's lock."""
    from pipelines.run import STAGES
    from rft.engines import refuse_missing
    from rft.runs import stages
    from rft.runs.folder import key_of, open_run

    found = open_run(run_folder)
    check_recipe(found.recipe)
    refuse_missing(found.recipe.engine.kind)
    work = STAGES[stage]
    refuse_absent(work, found)
    number = next_of(work, found) if round is None else round
    key = key_of(stage, work.settings(found, number), work.inputs(found, number))
    return stages.Job(found, work, number, key, stop, say)


def next_of(stage: Any, found: "Run") -> int:
    """Give the first round whose output of a stage is not current, or the last round."""
    from rft.runs import stages
    from rft.runs.folder import NotReady

    if stage.name == "prepare":
        return 0
    for round in range(0 if stage.name == "evaluate" else 1, found.recipe.rounds + 1):
        try:
            if not stages.is_current(stage, found, round):
                return round
        except NotReady:
            return round
    return found.recipe.rounds
