"""Ten nights by a schedule, in four of which something goes wrong: nothing of it is in the tables.

The schedule is the real one but for its clock, and so is every `rft run --next`. The calls that
something happens to have processes of their own, as do their stages; the others share this one,
since loading torch four times takes ten times as long as such a round.
"""

import resource
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rft.cli.schedule import Foreground
from rft.processes.stopping import Stop
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run, open_run
from rft.scheduling.cron import parse
from rft.scheduling.nights import Nights, keep
from rft.scheduling.times import Times
from tests.cli.test_kills import started, tables
from tests.command import command, kill_when, rft_here

pytestmark = pytest.mark.slow

NIGHTS = 10
# A round in a few seconds, in units so small that some are done while others are not.
SETTINGS = [
    *("engine.args={batch: 4}", "prepare.train.limit=8", "prepare.test.limit=2"),
    *("sample.problems=8", "sample.n=2", "sample.max_tokens=64"),
    *(
        "select.budget=6",
        "select.by=random",
        "sft.batch=2",
        "sft.learning_rate=3.0e-5",
        "sft.save_every=1",
    ),
    *("evaluate.n=2", "evaluate.k=[1]", "evaluate.max_tokens=32"),
]
CHANGES = [word for setting in SETTINGS for word in ("--set", setting)]
STAGES = ("sample", "grade", "filter", "select", "sft", "evaluate")
# Smaller than a model, larger than everything before it.
LITTLE_ROOM = 1_000_000


class Night(Foreground):
    """The foreground with a clock of its own, ten rounds long, and troubles for some calls."""

    def __init__(self, run: Path, troubles: dict[int, Callable[[list[str]], int]]):
        words = ["run", "smoke", "--out", str(run), *CHANGES, "--next"]
        super().__init__(words, Run(run, load_recipe("smoke", SETTINGS)), UTC, Stop())
        self.time, self.troubles = datetime(2026, 11, 28, 2, tzinfo=UTC), troubles
        self.told: list[str] = []

    def now(self) -> datetime:
        return self.time

    def wait(self, until: datetime) -> bool:
        self.time = max(self.time, until)
        return self.rounds() < NIGHTS

    def rounds(self) -> int:
        where = self.look()
        return where["rounds_done"] if where else 0

    def call(self) -> int:
        self.time += timedelta(seconds=20)
        self.called = True
        trouble = self.troubles.pop(self.rounds() + 1, None)
        if trouble is not None:
            return trouble(self.words)
        rft_here(*self.words)
        return 0

    def tell(self, what: str) -> None:
        self.told.append(what)


def no_room(words: list[str]) -> int:
    """Call with a disk that takes no model."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LITTLE_ROOM, LITTLE_ROOM))  # noqa: E731
    return subprocess.run(command(*words), preexec_fn=limit, check=False).returncode


def schedule(world: Night) -> int:
    """Go by a schedule whose nights are a minute apart."""
    return keep(Nights(Times(parse("* * * * *"), UTC).after), world, "rft")


@pytest.fixture
def undisturbed(tmp_path) -> dict[str, str]:
    """Make ten rounds stage by stage, without a process for each."""
    out = tmp_path / "undisturbed"
    rft_here("prepare", "smoke", "--out", out, *CHANGES)
    rft_here("evaluate", out, "--round", 0)
    for round in range(1, NIGHTS + 1):
        for stage in STAGES:
            rft_here(stage, out, "--round", round)
    return tables(out)


@pytest.mark.usefixtures("stages_here")
def test_ten_nights_with_kills_and_a_full_disk_leave_the_tables_of_ten_undisturbed_ones(
    tmp_path, undisturbed
):
    out = tmp_path / "run"
    work = out / "work"
    shards = "round-0002-sample/worker-0/*.json"
    checkpoints = "round-0004-sft/checkpoints/*/rft-complete"
    world = Night(
        out,
        {
            2: lambda words: kill_when(words, lambda: bool(list(work.glob(shards)))),
            4: lambda words: kill_when(
                words, lambda: bool(list(work.glob(checkpoints))), child=True
            ),
            6: lambda words: kill_when(words, lambda: started(out, "evaluate", 6)),
            8: no_room,
        },
    )
    assert schedule(world) == 2
    assert world.rounds() == 7
    ends = [line for line in world.told if line.startswith("round ") and "begins" not in line]
    broken = f"was killed by signal {signal.SIGKILL:d} (out of memory?)"
    assert ends == [
        *("round ended with 0", f"round {broken}", "round ended with 0", "round ended with 0"),
        *("round ended with 75", "round ended with 0", "round ended with 0", f"round {broken}"),
        *("round ended with 0", "round ended with 0", "round ended with 2"),
    ]
    # Somebody has made room, and starts the schedule again.
    assert schedule(world) == 0
    assert "next: now (a round is broken, and goes on first)" in world.told
    assert world.rounds() == NIGHTS
    assert tables(out) == undisturbed
    assert open_run(out).recipe.rounds == NIGHTS
