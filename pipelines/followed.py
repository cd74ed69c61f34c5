"""The whole run, followed: what happens is told to `notify`, and each round goes to the tracker.

Neither can stop the run: what goes wrong here is a line on standard error.
"""

import contextlib
from collections.abc import Callable, Iterator

from pipelines.children import ChildFailed
from pipelines.notices import Notices
from pipelines.readers.figures import closing_stage
from pipelines.run import run_all
from pipelines.tracking import is_behind, track_rounds
from rft.errors import Interrupted, in_one_line
from rft.foreign_text import short
from rft.processes.stopping import Stop
from rft.runs.folder import Run
from rft.runs.stages import Stage


def run_followed(
    run: Run,
    rounds: int,
    stop: Stop,
    say: Callable[[str], None],
    *,
    one_more: bool = False,
) -> bool:
    """Do what is not done yet, as `run_all` does, and tell of it."""
    notices = Notices(run, stop, say)

    def after(round: int, stage: Stage) -> None:
        if stage.name == closing_stage(run, round):
            with spared(say, "notify"):
                notices.round(round)
            with spared(say, "track"):
                track_rounds(run, stop, say)

    with spared(say, "notify"):
        if (untold := notices.untold()) is not None:
            notices.round(untold)
    with spared(say, "track"):
        if is_behind(run):
            track_rounds(run, stop, say)
    try:
        anything = run_all(run, rounds, stop, say, after)
    except Interrupted as stopped:
        run.last_event("stopped", reason=str(stopped))
        with spared(say, "notify"):
            notices.interrupted(str(stopped))
        raise
    except ChildFailed as failed:
        with spared(say, "notify"):
            notices.failed(failed.code, said_by_child(run))
        raise
    except Exception as error:
        code, why = in_one_line(error)
        with spared(say, "notify"):
            round, stage = notices.at()
            run.last_event("failed", stage=stage, round=round, code=code)
            notices.failed(code, why)
        raise
    if anything:
        with spared(say, "track"):  # what is measured last of all, test at the run's end
            track_rounds(run, stop, say)
        with spared(say, "notify"):
            notices.ended(one_more=one_more)
    return anything


def said_by_child(run: Run) -> str | None:
    """Give what the process of a stage that failed has noted of why; a killed one has not."""
    for event in reversed(run.events()):
        if event.get("event") == "error":
            return str(event["text"])
        if event.get("event") in ("start", "done"):
            break
    return None


@contextlib.contextmanager
def spared(say: Callable[[str], None], what: str) -> Iterator[None]:
    """Let nothing that goes wrong within end the run."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  telling of the work must not cost the work
        say(f"{what}: {type(error).__name__}: {short(str(error))}; the run goes on")
