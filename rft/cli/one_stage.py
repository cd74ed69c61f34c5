"""How a command does one stage of a run, under the run's lock."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rft.cli.opening import refuse_others
from rft.cli.terminal import say
from rft.errors import Interrupted, RFTError, in_one_line

if TYPE_CHECKING:
    from rft.runs.folder import Run


def stage_command(name: str, folder: Path, round: int | None, grace: float) -> None:
    """Do one stage of a run under the run's lock."""
    from pipelines.perform import (
        STAGES,
        check_recipe,
        job_of,
        next_of,
        refuse_absent,
        refuse_removed,
    )
    from pipelines.run import looks_for_problems
    from rft.processes.stopping import Stop, die_with_parent
    from rft.runs import stages
    from rft.runs.folder import open_run

    die_with_parent()
    refuse_others(folder)
    stop = Stop(grace).listen()
    run, stage = open_run(folder), STAGES[name]
    check_recipe(run.recipe)
    refuse_absent(stage, run)
    with run.lock():
        number = next_of(stage, run) if round is None else round
        if number == 0 and name not in ("prepare", "evaluate"):
            raise RFTError(f"--round {number}: `{name}` has no such round; rounds begin at 1")
        if number and name == "prepare" and not looks_for_problems(run, number):
            raise RFTError(
                f"--round {number}: that round looks for no new problems, which rounds from 2 on "
                "do under prepare.refresh: round, before they are sampled"
            )
        if stages.is_current(stage, run, number):
            say(f"{folder}: nothing to do, `{name}` of round {number} is current")
            return
        refuse_removed(stage, run, number)
        with errors_noted(run, name, number), job_of(run, stage, number, stop, say) as job:
            stages.perform(job)


@contextlib.contextmanager
def errors_noted(run: "Run", stage: str, round: int) -> Iterator[None]:
    """Note in the run's event log why a stage fails: its driver hears no more than an exit code."""
    from rft.foreign_text import short
    from rft.parts.faults import fault_in

    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        text = short(fault_in(error) or in_one_line(error)[1])
        run.last_event("error", stage=stage, round=round, text=text)
        raise
