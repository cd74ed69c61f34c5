"""Rounds that go on by themselves: `rft schedule`, in the foreground or for other schedulers."""

import math
import os
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rft.cli.opening import begin, is_outdated, refuse_plan
from rft.cli.options import HERE, grace_option, set_option, trust_option
from rft.cli.terminal import give, give_file, say
from rft.errors import RFTError

if TYPE_CHECKING:
    from rft.processes.stopping import Stop
    from rft.recipe import Recipe
    from rft.runs.folder import Run
    from rft.scheduling.cron import Cron
    from rft.scheduling.targets import Errand

# How many times --list shows.
SHOWN = 5
# Seconds between looks at the clock, and at whether a signal came.
LOOK_UP = 1.0
# The round may take all of its grace to wind down; only then do we leave without it.
MARGIN = 5.0
# Keys whose values are files that a recipe reads, or keeps.
PATHS = ("path", "source", "verdicts")


@click.command()
@click.argument("recipe", metavar="RECIPE|RUN")
@click.option(
    "--cron",
    "expression",
    required=True,
    metavar="EXPRESSION",
    help='When: minute, hour, day of month, month, day of week, or @daily. "0 2 * * *": at two.',
)
@click.option("--out", type=HERE, help="The run folder; runs/NAME of the recipe by default.")
@set_option
@trust_option
@grace_option
@click.option("--time-zone", metavar="ZONE", help="The zone of --cron, e.g. Europe/Berlin.")
@click.option("--list", "list_times", is_flag=True, help="Only say when the next times are.")
@click.option(
    "--emit",
    type=click.Choice(["cron", "systemd", "slurm", "kubernetes", "hf-jobs"]),
    help="Only write what makes another scheduler do it.",
)
@click.option("--image", help="With --emit kubernetes or hf-jobs: an image that has rft.")
@click.option(
    "--prologue",
    type=click.File(),
    help="With --emit slurm: a file with what comes first, e.g. `module load`.",
)
def schedule(
    recipe: str,
    expression: str,
    out: Path | None,
    overrides: tuple[str, ...],
    grace: float,
    time_zone: str | None,
    list_times: bool,
    emit: str | None,
    image: str | None,
    prologue: Any,
) -> None:
    """Make a round at set times, here or by another scheduler.

    At each time of --cron it calls `rft run RECIPE --next`, as long as this runs.

    A broken round goes on first, at the start as well. An interrupted one is tried again after a
    pause that grows up to an hour. Times that pass meanwhile come to one. Ends with 0 when the run
    is over by its own rule, with 2 when a person must change something, with 75 when a signal
    interrupts a round; a signal between rounds ends it with 0.

    --emit writes the same for cron, systemd, Slurm, Kubernetes or the Hub's jobs, with what to do
    with it in its comments.

    \b
    Example:
      rft schedule mine.yaml --cron "0 2 * * *"
      rft schedule runs/mine --cron "0 22 * * mon-fri" --time-zone Europe/Berlin --list
      rft schedule mine.yaml --cron "0 2 * * *" --emit systemd
      rft schedule mine.yaml --cron "0 2 * * *" --emit slurm --prologue modules.sh > mine.sbatch
      rft schedule mine.yaml --cron "0 2 * * *" --emit kubernetes --image my.registry/rft:1
      rft schedule mine.yaml --cron "0 2 * * *" --emit hf-jobs --image my-org/rft:1
    """
    from rft.processes.stopping import Stop
    from rft.scheduling.cron import parse
    from rft.scheduling.nights import Nights, is_over, keep
    from rft.scheduling.times import Times, in_words, zone_named

    if list_times and emit:
        raise click.UsageError("give --list or --emit, not both")
    if (image or prologue) and not emit:
        raise click.UsageError("--image and --prologue go with --emit")
    cron, zone = parse(expression), zone_named(time_zone) if time_zone else None
    run, stored = begin(recipe, out, overrides)
    if run.recipe.grpo is not None:
        raise RFTError(
            f"{recipe}: it trains online (grpo), which is one round; `rft grpo {recipe}` does it"
        )
    if emit:
        from rft.scheduling.targets import text_for

        errand = errand_of(cron, recipe, run, overrides, grace)
        first = prologue.read() if prologue else ""
        errand = replace(errand, zone=time_zone, image=image, prologue=first)
        give_file(text_for(emit, errand))
        return
    times = Times(cron, zone)
    if list_times:
        now = datetime.now(UTC)
        for moment in islice(times.following(now), SHOWN):
            give(in_words(moment, now, times.zone))
        where = standing_of(as_it_goes_on(run, stored))
        if where and where["over"]:
            say(f"{is_over(where['over'])}; no round would be made")
        return
    refuse_what_a_round_would(run, stored)
    words = ["run", recipe, *(["--out", str(out)] if out else [])]
    words += [word for setting in overrides for word in ("--set", setting)]
    words += ["--next", "--grace", f"{grace:g}s"]
    begun = as_it_goes_on(run, stored)
    world = Foreground(words, begun, times.zone, Stop(grace + MARGIN).listen())
    raise SystemExit(keep(Nights(times.after), world, shlex.join(["rft", *words])))


def errand_of(
    cron: "Cron", recipe: str, run: "Run", overrides: tuple[str, ...], grace: float
) -> "Errand":
    """Put what is to be called in terms that hold wherever it is called from."""
    from rft.recipe.loading import SUFFIXES, dump
    from rft.runs.folder import is_run
    from rft.scheduling.targets import Errand

    place = Path(recipe)
    named = "/" not in recipe and place.suffix not in SUFFIXES and not is_run(place)
    return Errand(
        cron=cron,
        program=program(),
        recipe=recipe if named else str(place.absolute()),
        settings=overrides,
        folder=str(Path.cwd()),
        run=str(run.path.absolute()),
        is_run=is_run(place),
        resolved=dump(run.recipe),
        outside=tuple(sorted(set(outside(run.recipe.model_dump(mode="json"))))),
        grace=math.ceil(grace),
        parts=tuple(name for name, part in run.recipe.parts.items() if part.version is None),
    )


def program() -> tuple[str, ...]:
    """Give the words that call `rft` from anywhere: the script beside this Python."""
    script = Path(sys.executable).with_name("rft")
    return (str(script),) if script.is_file() else (sys.executable, "-m", "rft")


def outside(settings: Any) -> Iterator[str]:
    """List the absolute paths that a recipe names."""
    if isinstance(settings, dict):
        for key, value in settings.items():
            if key in PATHS and isinstance(value, str) and value.startswith("/"):
                yield value
            yield from outside(value)


def refuse_what_a_round_would(run: "Run", stored: "Recipe | None") -> None:
    """Refuse now what would otherwise be refused in the night."""
    from pipelines import run as loop
    from pipelines.perform import STAGES
    from rft.engines import refuse_missing

    refuse_missing(run.recipe.engine.kind)
    if stored is None:
        STAGES["prepare"].inputs(run, 0)
        return
    steps = loop.plan(run, run.recipe.rounds)
    if is_outdated(steps) and not run.agreed_to_redo():
        advice = "`rft run` with the same settings and --update does that; or name another folder"
        refuse_plan(run, stored, steps, f"{advice} with --out.")


def as_it_goes_on(run: "Run", stored: "Recipe | None") -> "Run":
    """Give a run by the recipe of now, with the rounds that were made beyond the recipe's."""
    if stored is None or stored.rounds <= run.recipe.rounds:
        return run
    return replace(run, recipe=run.recipe.model_copy(update={"rounds": stored.rounds}))


def standing_of(run: "Run") -> dict[str, Any] | None:
    """Read a run's status; None before it is begun."""
    from pipelines.readers.status import status
    from rft.runs.folder import is_run

    return status(run) if is_run(run.path) else None


class Foreground:
    """The world as it is: this machine's clock, and rounds in processes of their own."""

    def __init__(self, words: list[str], run: "Run", zone: tzinfo, stop: "Stop"):
        self.words, self.run, self.zone, self.stop = words, run, zone, stop
        self.called = False

    def now(self) -> datetime:
        """Tell the time, in UTC."""
        return datetime.now(UTC)

    def wait(self, until: datetime) -> bool:
        """Wait by the clock on the wall, which goes on while the machine sleeps."""
        while not self.stop.asked() and (left := (until - self.now()).total_seconds()) > 0:
            time.sleep(min(left, LOOK_UP))
        return not self.stop.asked()

    def stopped(self) -> bool:
        """Say whether a signal came."""
        return self.stop.asked()

    def call(self) -> int:
        """Make a round in a child, which winds down when we are asked to stop."""
        from rft.processes.child import Child

        self.called = True
        child = Child([sys.executable, "-m", "rft", *self.words], env=os.environ)
        return child.outlast(self.stop)

    def look(self) -> dict[str, Any] | None:
        """Read the run's status; None before it is begun."""
        from rft.runs.folder import is_run, open_run

        path = self.run.path
        # A call puts its recipe into force; before the first one only we know it.
        return standing_of(open_run(path) if self.called and is_run(path) else self.run)

    def tell(self, what: str) -> None:
        """Say what is done, and when."""
        from rft.scheduling.times import stamp

        say(f"{stamp(self.now(), self.zone)} {what}")

    def described(self, moment: datetime) -> str:
        """Write a moment to come."""
        from rft.scheduling.times import in_words

        return in_words(moment, self.now(), self.zone)
