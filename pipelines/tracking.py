"""The curves of a run: after each round a point in the tracker of the recipe's `track`.

The tracker works in a process of its own, with an end to its time: what it does there can neither
stop the run nor delay it for long. Which rounds are logged is on record in the run folder, so that
each is there once, however often the run is killed; a round that came out otherwise when it was
redone is logged again, as a new value at its step.
"""

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.children import QUIET
from pipelines.readers.figures import figures, is_complete
from rft.foreign_text import harmless
from rft.processes.hook import attempt
from rft.processes.stopping import Stop
from rft.runs.atomic import atomic_text
from rft.runs.folder import Run
from rft.runs.lock import without_token
from rft.runs.plain_files import open_to_append, read_small
from rft.seeds import digest
from rft.trackers import folder_of, log_points, place_of

# A tracker that speaks with a server may take a while, but not more of a round than this.
SECONDS = 60.0

# Round -> a digest of what is logged of it.
Record = dict[int, str]


# In the driver ------------------------------------------------------------------------------------


def track_rounds(run: Run, stop: Stop, say: Callable[[str], None]) -> None:
    """Have the rounds that are done put into the tracker; what goes wrong is one line."""
    track = run.recipe.track
    # What the grace is for comes first; the next call logs what is missing.
    if track == "none" or stop.asked():
        return
    before = recorded(run)
    failure = attempt(
        [sys.executable, "-m", "rft", "track", str(run.path)],
        "",
        seconds=SECONDS,
        stop=stop,
        env=quiet(),
    )
    if failure is not None:
        say(f"track: {track} failed, and the run goes on without it: {failure}")
        run.event("track_failed", why=failure.why)
        return
    after = recorded(run)
    if not before and after:
        place = place_of(run.path, track)
        where = f"under {place.folder}" if track == "tensorboard" else f"project {place.project}"
        say(f"track: rounds are logged to {track}, {where}, as {place.name}")
    again = [f"{round}" for round in after if round in before and after[round] != before[round]]
    if again:
        say(f"track: logged once more, since it came out otherwise: round {', '.join(again)}")


def is_behind(run: Run) -> bool:
    """Say whether a round is done that the tracker has not got."""
    if run.recipe.track == "none":
        return False
    logged = recorded(run)
    return any(is_complete(run, each) for each in rounds_of(run) if each not in logged)


def rounds_of(run: Run) -> range:
    """List the rounds of the recipe, the base first."""
    return range(run.recipe.rounds + 1)


def quiet() -> dict[str, str]:
    """Give the environment of the tracker's process: no bars, and no network where none is asked
    for.
    """
    local = not (os.environ.get("TRACKIO_SPACE_ID") or os.environ.get("TRACKIO_SERVER_URL"))
    # Trackio asks the Hub for the name of whoever has a token there.
    offline = {"HF_HUB_OFFLINE": "1"} if local else {}
    return QUIET | without_token(os.environ) | offline


# In the tracker's process -------------------------------------------------------------------------


def log_rounds(run: Run) -> None:
    """Put into the tracker what is done and not there yet, and note that it is there now."""
    track, folder = run.recipe.track, folder_of(run.path)
    config = harmless(run.recipe.model_dump(mode="json", exclude={"notify"}))
    with held(folder / "lock"):
        logged = recorded(run)
        points = {
            round: dict(curves(figures(run, round)))
            for round in rounds_of(run)
            if is_complete(run, round)
        }
        marks = {round: digest(json.dumps(values)) for round, values in points.items()}
        due = {each: points[each] for each in points if marks[each] != logged.get(each)}
        if due:
            log_points(track, place_of(run.path, track, config), due)
            text = json.dumps(_everything(folder) | {track: logged | marks}, indent=1)
            atomic_text(folder / "rounds.json", text + "\n")


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Wait for whoever logs this run: a killed driver leaves its tracker's process behind."""
    path.parent.mkdir(exist_ok=True)
    with open_to_append(path) as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def recorded(run: Run) -> Record:
    """Read which rounds are in the tracker."""
    logged = _everything(folder_of(run.path)).get(run.recipe.track, {})
    return {int(round): mark for round, mark in logged.items()}


def _everything(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / "rounds.json"
    return dict(json.loads(read_small(path))) if path.is_file() else {}


def curves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """Name each number of a round's figures by its place among them: `dev/pass@1/low`.

    What is not known has no point; of an interval, its value has the name of the whole.
    """
    for name, each in tree.items():
        place = above if name in ("scores", "value") else f"{above}/{name}".lstrip("/")
        if isinstance(each, Mapping):
            yield from curves(each, place)
        elif isinstance(each, bool | int | float):
            yield place, float(each)
