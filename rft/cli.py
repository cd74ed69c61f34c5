"""The command line: thin commands over the stages; the only module of rft that looks into them."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rft.errors import Interrupted, RFTError, explained

if TYPE_CHECKING:
    import polars as pl

    from rft.recipe import Recipe
    from rft.stages import Accept, Job
    from rft.stopping import Stop
    from rft.store import Run

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
HERE = click.Path(path_type=Path)


# As they are met: the loop, its stages, what reads a run, the rest.
ORDER = ["run", "prepare", "sample", "grade", "filter", "score", "select"]
ORDER += ["sft", "evaluate", "gate", "grpo"]
ORDER += ["report", "status", "show", "export", "recipes", "doctor", "unlock"]
ORDER += ["worker", "preflight"]


class Commands(click.Group):
    """Turn what a person can mend into one line and exit code 2, and lost work into 75."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """List the commands in the order in which they are met."""
        return sorted(self.commands, key=ORDER.index)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and translate the ways in which it ends."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # whoever reads us has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ctx.exit(0)
        except RFTError as error:
            message, code = f"Error: {error}", 2
        except Interrupted as stopped:
            message, code = f"Stopped: {stopped}. Run the same command again to go on.", 75
        except Exception as error:
            reason = explained(error)
            if reason is None:
                raise
            message, code = f"Error: {reason}", 2
        click.echo(message, err=True)
        return ctx.exit(code)


class Duration(click.ParamType[float]):
    """A time such as 20s, 90m or 3h."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read seconds."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value))
        if match is None:
            self.fail(f"{value!r} is not a time; write 20s, 90m or 3h", param, ctx)
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def set_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --set."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change one setting of the recipe, e.g. --set select.by=entropy.",
    )(command)


def grace_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --grace."""
    return click.option(
        "--grace",
        type=Duration(),
        default="20s",
        show_default=True,
        help="How long winding down after a signal may take.",
    )(command)


def say(text: str) -> None:
    """Tell a person how things go; standard output is kept for results."""
    click.echo(text, err=True)


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(package_name="rft-rounds", prog_name="rft")
def cli() -> None:
    """Teach a reasoning model from its own samples: rejection-sampling fine-tuning, round by round.

    \b
    Start here:
      rft run quickstart             the whole loop on a bundled model, in minutes
      rft recipes                    the shipped recipes; `rft recipes NAME > mine.yaml` copies one
      rft run mine.yaml              the whole loop on yours
    """


# The loop -----------------------------------------------------------------------------------------


@cli.command()
@click.argument("recipe")
@click.option("--out", type=HERE, help="The run folder; runs/NAME of the recipe by default.")
@click.option("--rounds", type=click.IntRange(0), help="Rounds in all, in place of the recipe's.")
@click.option(
    "--next", "one_more", is_flag=True, help="Finish the broken round, else make one more."
)
@set_option
@click.option("--update", is_flag=True, help="Redo what changed settings make out of date.")
@click.option(
    "--plan",
    "plan_only",
    is_flag=True,
    help="Only say what would be done, and what it would take, by a few probes.",
)
@click.option("--stop-after", type=Duration(), help="Wind down after this time, e.g. 3h.")
@grace_option
def run(
    recipe: str,
    out: Path | None,
    rounds: int | None,
    one_more: bool,
    overrides: tuple[str, ...],
    update: bool,
    plan_only: bool,
    stop_after: float | None,
    grace: float,
) -> None:
    """Run the whole loop of RECIPE, or go on with a run folder.

    RECIPE is a shipped name, a YAML file, or the folder of an earlier run.

    Goes on where an earlier call ended, and does nothing when all is done. Exit code 0: done;
    2: a person must change something; 75: interrupted, run it again.

    \b
    Example:
      rft run quickstart
      rft run mine.yaml --plan
      rft run mine.yaml --out runs/mine --set sample.n=16
      rft run runs/mine --rounds 3
    """
    if rounds is not None:
        overrides = (*overrides, f"rounds={rounds}")
    found, stored = begin(recipe, out, overrides)
    if found.recipe.grpo is not None:
        raise RFTError(f"{recipe}: it trains online (grpo); `rft grpo {recipe}` runs it")
    drive(found, stored, one_more, update, plan_only, stop_after, grace)


@cli.command()
@click.argument("recipe", required=False)
@click.option("--model", help="Where training starts: a folder, a Hub id, RUN or RUN@2.")
@click.option("--out", type=HERE, help="The run folder; runs/NAME of the recipe by default.")
@click.option("--list", "list_plugins", is_flag=True, help="List the exploration plug-ins.")
@set_option
@click.option("--update", is_flag=True, help="Redo what changed settings make out of date.")
@click.option("--plan", "plan_only", is_flag=True, help="Only say what would be done.")
@click.option("--stop-after", type=Duration(), help="Wind down after this time, e.g. 3h.")
@click.option("--round", type=click.IntRange(1, 1), hidden=True, help="Only the training itself.")
@grace_option
def grpo(
    recipe: str | None,
    model: str | None,
    out: Path | None,
    list_plugins: bool,
    overrides: tuple[str, ...],
    update: bool,
    plan_only: bool,
    stop_after: float | None,
    round: int | None,
    grace: float,
) -> None:
    """Train a model online, with GRPO shaped by plug-ins.

    Measures the base, trains, and measures again: model 1 of the run folder, RUN@1. Goes on where
    an earlier call ended. RECIPE has a section `grpo`; --list shows what its `plugins` may be.

    \b
    Example:
      rft grpo grpo-quickstart
      rft grpo grpo-quickstart --model runs/quickstart --out runs/online
      rft grpo --list
    """
    if list_plugins:
        from rft.exploration import PLUGINS

        for name, plugin in PLUGINS.items():
            click.echo(f"{name:22} {(plugin.__doc__ or '').splitlines()[0]}")
        return
    if recipe is None:
        raise click.UsageError("give RECIPE, or --list")
    if round is not None:
        stage_command("grpo", Path(recipe), round, grace)
        return
    if model is not None:
        overrides = (f"model.path={model}", *overrides)
    found, stored = begin(recipe, out, overrides)
    if found.recipe.grpo is None:
        raise RFTError(
            f"{recipe}: it has no section `grpo`; `rft recipes grpo-quickstart` shows one "
            f"(`rft run {recipe}` runs its rounds)"
        )
    drive(found, stored, False, update, plan_only, stop_after, grace)


def drive(
    found: "Run",
    stored: "Recipe | None",
    one_more: bool,
    update: bool,
    plan_only: bool,
    stop_after: float | None,
    grace: float,
) -> None:
    """Do what is not done yet of a run, or say what that would be."""
    import threading

    from pipelines import run as loop
    from pipelines.report import text_report
    from rft.engines import refuse_missing
    from rft.stopping import Stop

    if not plan_only:
        refuse_missing(found.recipe.engine.kind)
        if found.recipe.grpo and found.recipe.grpo.vllm == "colocate":
            refuse_missing("vllm", "grpo.vllm: colocate", "grpo.vllm: null")
    stop = Stop(grace).listen()
    if stop_after is not None:
        timer = threading.Timer(stop_after, stop.ask, ["--stop-after"])
        timer.daemon = True
        timer.start()
    if plan_only:
        if stored is None:
            loop.STAGES["prepare"].inputs(found, 0)
        click.echo(planned(found, stored, loop.plan(found, found.recipe.rounds)))
        try:
            click.echo(foreseen(found, stop))
        except loop.ChildFailed as failed:
            raise SystemExit(failed.code) from None
        return
    make_folder(found.path)
    with found.lock():
        found = agree(found, stored, update=update, rounds=loop.plan)
        upto = loop.next_round(found, say) if one_more else found.recipe.rounds
        found = with_rounds(found, max(upto, found.recipe.rounds))
        try:
            anything = loop.run_all(found, upto, stop, say)
        except loop.ChildFailed as failed:
            raise SystemExit(failed.code) from None
    click.echo(text_report(found))
    if not anything:
        done = "the training is done" if found.recipe.grpo else f"{upto} rounds are done"
        say(f"{found.path}: nothing to do, {done}")


def foreseen(found: "Run", stop: "Stop") -> str:
    """Write what the whole run will take: as its preflight found, else by probes made for this."""
    from pipelines.run import probe
    from rft.engines import refuse_missing
    from rft.forecast import at_most, described
    from rft.preflight import is_current, recorded

    if (grpo := found.recipe.grpo) is not None:
        drawn = grpo.steps * grpo.problems * grpo.n
        most = f"at most {drawn:,} answers and {drawn * grpo.max_tokens:,} tokens to learn from"
        return f"  {most}; what that takes is not forecast"
    if not found.recipe.rounds or found.recipe.engine.kind == "replay":
        return "  nothing is sampled to learn from, so there is nothing to forecast"
    if is_current(found):
        ahead, how = recorded(found), "from its preflight"
    else:
        try:
            refuse_missing(found.recipe.engine.kind)
        except RFTError as error:
            return at_most(found.recipe, str(error))
        say("sampling a few probes, for a forecast")
        ahead, how = probe(found.recipe, stop), "from probes made just now"
    head = (
        f"  forecast for the whole run, what is done included, {how} ({ahead.probes} rollouts, "
        "95% intervals):"
    )
    return "\n".join([head, *(f"    {what:11}{text}" for what, text in described(ahead))])


def begin(recipe: str, out: Path | None, overrides: tuple[str, ...]) -> "tuple[Run, Recipe | None]":
    """Find the run that a RECIPE argument means, and the recipe that it was begun with."""
    from rft.recipe_files import load_recipe
    from rft.recipe_paths import rooted
    from rft.store import Run, is_run, open_run

    if is_run(Path(recipe)):
        if out is not None and out.resolve() != Path(recipe).resolve():
            raise RFTError(f"--out {out}: {recipe} is a run folder already; leave --out away")
        path = Path(recipe)
        wanted = load_recipe(str(path / "recipe.yaml"), overrides)
    else:
        wanted = load_recipe(recipe, overrides)
        path = out or folder_for(recipe)
    check_recipe(wanted)
    wanted = rooted(wanted)
    if path.exists() and not is_run(path) and not (path.is_dir() and only_begun(path)):
        raise RFTError(f"{path}: not a run folder, and not empty; choose another --out")
    return Run(path, wanted), open_run(path).recipe if is_run(path) else None


def folder_for(recipe: str) -> Path:
    """Give the run folder that a recipe's name or file means: qwen2.5-32b keeps its dot."""
    from rft.recipe_files import SUFFIXES

    path = Path(recipe)
    return Path("runs") / (path.stem if path.suffix in SUFFIXES else path.name)


def make_folder(path: Path) -> None:
    """Make a run's folder, or say in one line why it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if explained(error):
            raise
        raise RFTError(f"--out {path}: cannot be made ({error.strerror}); name another") from None


def only_begun(path: Path) -> bool:
    """Say whether a folder is empty but for what another process begins a run with."""
    return all(child.name.startswith((".lock", "lock")) for child in path.iterdir())


def check_recipe(recipe: "Recipe", *, engine: bool = True) -> None:
    """Refuse what only the stages know to be wrong, and what is not built yet."""
    from pipelines.filter import check_rules
    from rft.exploration.compose import plugins_of
    from rft.recipe_files import not_yet

    check_rules(recipe.filter)
    if recipe.grpo is not None:
        plugins_of(recipe.grpo)
    if engine and (missing := not_yet(recipe)):
        raise RFTError(missing[0])


def agree(
    found: "Run", stored: "Recipe | None", *, update: bool, rounds: Callable[..., Any]
) -> "Run":
    """Put the recipe into force, unless finished work contradicts it and --update is not given."""
    from rft.store import save_recipe

    if stored is not None:
        steps = rounds(found, found.recipe.rounds)
        outdated = any(step.state in ("redo", "extend") for step in steps)
        if update and outdated:
            found.agree_to_redo()
        if outdated and not found.agreed_to_redo():
            raise RFTError(
                planned(found, stored, steps) + "\nAdd --update to do that, or name "
                "another folder with --out."
            )
    else:
        begin_with_sources(found)
    if stored != found.recipe:
        save_recipe(found)
        found.event("recipe", new=stored is None)
    return found


def begin_with_sources(found: "Run") -> None:
    """Look for model and problems at once, and leave no folder behind where they are not."""
    import shutil

    from pipelines import prepare as stage

    try:
        stage.inputs(found, 0)
    except RFTError:
        # `begin` has made sure that nothing was there before us.
        shutil.rmtree(found.path, ignore_errors=True)
        raise


def with_rounds(found: "Run", rounds: int) -> "Run":
    """Raise a run's number of rounds."""
    from rft.store import Run, save_recipe

    if rounds == found.recipe.rounds:
        return found
    raised = Run(found.path, found.recipe.model_copy(update={"rounds": rounds}))
    save_recipe(raised)
    return raised


STATES = {
    "reuse": "reuse",
    "run": "run",
    "redo": "redo",
    "extend": "extend: finished rollouts are used again",
    "mend": "redo (files are missing)",
    "follow": "redo, unless its input comes out the same",
}


def planned(found: "Run", stored: "Recipe | None", steps: list[Any]) -> str:
    """Write a plan in words: the settings that differ, then what happens to each stage."""
    from rft.recipe_files import settings_differences

    lines = [f"{found.path}:"]
    if stored is not None:
        lines += [
            f"  {key}: {old!r} -> {new!r}"
            for key, old, new in settings_differences(stored, found.recipe)
        ]
    for round in dict.fromkeys(step.round for step in steps):
        lines.append(f"  round {round}:" if round else "  base:")
        lines += [
            f"    {step.stage:9} {STATES[step.state]}" for step in steps if step.round == round
        ]
    return "\n".join(lines)


# One stage ----------------------------------------------------------------------------------------


def stage_command(stage: str, run_folder: Path, round: int | None, grace: float) -> None:
    """Do one stage of a run under the run's lock."""
    from pipelines.run import STAGES, models_for
    from rft import stages
    from rft.engines import refuse_missing
    from rft.models import is_there
    from rft.stopping import Stop, die_with_parent
    from rft.store import open_run

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
    from rft import stages
    from rft.engines import refuse_missing
    from rft.store import key_of, open_run

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
    from rft import stages
    from rft.store import NotReady

    if stage.name == "prepare":
        return 0
    for round in range(0 if stage.name == "evaluate" else 1, found.recipe.rounds + 1):
        try:
            if not stages.is_current(stage, found, round):
                return round
        except NotReady:
            return round
    return found.recipe.rounds


def round_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --round."""
    return click.option(
        "--round", type=click.IntRange(0), help="The round; by default the next one not done."
    )(command)


@cli.command()
@click.argument("recipe")
@click.option("--out", type=HERE, help="The run folder; runs/NAME of the recipe by default.")
@set_option
@grace_option
def prepare(recipe: str, out: Path | None, overrides: tuple[str, ...], grace: float) -> None:
    """Read the problems of RECIPE and start a run folder.

    What cannot be used is set aside by name.

    \b
    Example:
      rft prepare quickstart --out runs/mine
    """
    from pipelines.run import plan

    found, stored = begin(recipe, out, overrides)
    make_folder(found.path)
    with found.lock():
        if stored != found.recipe:
            agree(found, stored, update=False, rounds=plan)
        stage_command("prepare", found.path, 0, grace)


def plain_stage(name: str, does: str) -> None:
    """Add the command of a stage that works on a run's round and nothing else."""

    @cli.command(name, help=f"{does}\n\n\b\nExample:\n  rft {name} runs/quickstart --round 1")
    @click.argument("run_folder", metavar="RUN", type=HERE)
    @round_option
    @grace_option
    def command(run_folder: Path, round: int | None, grace: float) -> None:
        stage_command(name, run_folder, round, grace)


@cli.command()
@click.argument("run_folder", metavar="RUN", type=HERE)
@round_option
@click.option(
    "--worker",
    "share",
    metavar="I/N",
    help="Sample only the I-th of N shares of the problems (0-based), without the run's lock.",
)
@grace_option
def sample(run_folder: Path, round: int | None, share: str | None, grace: float) -> None:
    """Sample answers to a round's problems.

    With --worker, for array jobs, the share lies in the run folder until `rft run` or `rft sample`
    puts all of them together, and samples what is missing.

    \b
    Example:
      rft sample runs/quickstart --round 1
      rft sample runs/quickstart --worker 3/8
    """
    if share is None:
        stage_command("sample", run_folder, round, grace)
        return
    from rft.collecting import collect_share
    from rft.stages import is_current
    from rft.stopping import Stop

    index, of = share_of(share)
    stop = Stop(grace).listen()
    if round == 0:
        raise RFTError("--round 0: `sample` has no such round; rounds begin at 1")
    job = begin_job(run_folder, "sample", round, stop)
    assert job.stage.plan is not None
    if is_current(job.stage, job.run, job.round):
        say(f"{run_folder}: nothing to do, `sample` of round {job.round} is current")
        return
    with acceptance(job.run, job.stage) as job.accept:
        count = collect_share(job, job.stage.plan(job.run, job.round), index, of)
    say(
        f"{run_folder}: share {share} of round {job.round} is sampled ({count} problems); "
        f"`rft run {run_folder}` puts the shares together"
    )


def share_of(text: str) -> tuple[int, int]:
    """Read `I/N`."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise RFTError(f"--worker {text}: write I/N with 0 <= I < N, e.g. 0/8 to 7/8")
    return int(match[1]), int(match[2])


@cli.command(hidden=True)
@click.argument("run_folder", type=HERE)
@grace_option
def preflight(run_folder: Path, grace: float) -> None:
    """Do a run's preflight and nothing else; `rft run --plan` starts this by itself."""
    from rft.preflight import preflight as do_preflight
    from rft.stopping import Stop, die_with_parent
    from rft.worker import Worker

    die_with_parent()
    job = begin_job(run_folder, "sample", 1, Stop(grace).listen())
    assert job.stage.plan is not None
    with acceptance(job.run, job.stage) as job.accept:
        plan = job.stage.plan(job.run, 1)
        do_preflight(job, plan, Worker(job, plan, job.work / "worker-0").engine)


@cli.command(hidden=True)
@click.argument("run_folder", type=HERE)
@click.argument("stage", type=click.Choice(["sample", "evaluate"]))
@click.option("--round", type=int, required=True)
@click.option("--slot", type=int, required=True)
@click.option("--of", "workers", type=int, required=True)
@grace_option
def worker(run_folder: Path, stage: str, round: int, slot: int, workers: int, grace: float) -> None:
    """Be one of several engines of a sampling stage, which starts this by itself."""
    from rft.stopping import Stop, die_with_parent
    from rft.workers import serve

    die_with_parent()
    stop = Stop(grace).listen()
    # Whatever an engine prints must not be taken for what we have to tell.
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = begin_job(run_folder, stage, round, stop)
    assert job.stage.plan is not None
    with acceptance(job.run, job.stage) as job.accept:
        plan = job.stage.plan(job.run, round)
        serve(job, plan, slot, workers, sys.stdin, said)


plain_stage("sft", "Fine-tune on a round's selected samples.")
plain_stage("gate", "Decide whether a round's model is adopted.")


@cli.command()
@click.argument("run_folder", metavar="[RUN]", type=HERE, required=False)
@round_option
@click.option("--model", help="Measure this model instead: a folder, a Hub id, RUN or RUN@2.")
@click.option("--recipe", help="With --model: whose problems and settings (default: quickstart).")
@click.option("--problems", type=HERE, help="With --model: a file with question and gold.")
@click.option("--samples", type=click.IntRange(1), help="With --model: samples per problem.")
@click.option("--output", type=HERE, help="With --model: the folder to write to.")
@set_option
@grace_option
def evaluate(
    run_folder: Path | None,
    round: int | None,
    model: str | None,
    recipe: str | None,
    problems: Path | None,
    samples: int | None,
    output: Path | None,
    overrides: tuple[str, ...],
    grace: float,
) -> None:
    """Measure a run's model, or any model: Pass@1 and Pass@k.

    With --model, OUTPUT becomes a run folder of no rounds: all commands read it.

    \b
    Example:
      rft evaluate runs/quickstart --round 2
      rft evaluate --model runs/quickstart@2 --recipe quickstart --samples 32 --output out
    """
    if run_folder is not None:
        if model or recipe or problems or samples or output or overrides:
            raise click.UsageError("give RUN, or --model with --output, not both")
        stage_command("evaluate", run_folder, round, grace)
        return
    if model is None or output is None:
        raise click.UsageError("give RUN, or both --model and --output")
    from pipelines import run as loop
    from pipelines.report import text_report
    from rft.engines import refuse_missing
    from rft.recipe_files import load_recipe
    from rft.stopping import Stop

    wanted = load_recipe(recipe or "quickstart").evaluate
    changes = [f"model.path={model}", "rounds=0", "gate=null"]
    if problems is not None:
        changes += [f"prepare.test={{source: {problems}}}", "prepare.dev=null"]
    if samples is not None:
        k = [each for each in wanted.k if each <= samples]
        changes += [f"evaluate.n={samples}", f"evaluate.k={k}"]
    found, stored = begin(recipe or "quickstart", output, (*changes, *overrides))
    refuse_missing(found.recipe.engine.kind)
    stop = Stop(grace).listen()
    make_folder(found.path)
    with found.lock():
        found = agree(found, stored, update=False, rounds=loop.plan)
        try:
            loop.run_all(found, 0, stop, say)
        except loop.ChildFailed as failed:
            raise SystemExit(failed.code) from None
    click.echo(text_report(found))


# Stages that work on a run, or on anyone's rows ---------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """A file of anyone's rows, where to write what a stage makes of them, and the settings."""

    source: Path
    output: Path
    columns: tuple[str, ...]
    recipe: "Recipe"
    model: str | None

    def read(self) -> "pl.DataFrame":
        """Read the rows, renamed as asked."""
        from rft.adopt import read_foreign

        return read_foreign(self.source, self.columns)


def rows_stage(stage: str, *more: Callable[..., Any]) -> Callable[..., Any]:
    """Make the command of a stage that works on a run's round or on anyone's rows."""

    def add(over_rows: Callable[[Rows], None]) -> click.Command:
        options: list[Callable[..., Any]] = [
            click.argument("run_folder", metavar="[RUN]", type=HERE, required=False),
            round_option,
            click.option("--input", "source", type=HERE, help="Anyone's JSONL or Parquet file."),
            click.option("--output", type=HERE, help="The Parquet file to write."),
            click.option("--recipe", help="Whose settings, with --input (default: quickstart)."),
            click.option(
                "--column",
                "columns",
                multiple=True,
                metavar="OURS=THEIRS",
                help="Rename a column of the input, e.g. --column completion=response.",
            ),
            *more,
            set_option,
            grace_option,
        ]

        def command(run_folder: Path | None, round: int | None, grace: float, **given: Any) -> None:
            if run_folder is None:
                over_rows(rows_of(round, **given))
            elif any(given.values()):
                raise click.UsageError("give RUN, or --input with --output, not both")
            else:
                stage_command(stage, run_folder, round, grace)

        for option in reversed(options):
            command = option(command)
        return cli.command(stage, help=over_rows.__doc__)(command)

    return add


def rows_of(
    round: int | None,
    source: Path | None,
    output: Path | None,
    recipe: str | None,
    columns: tuple[str, ...],
    overrides: tuple[str, ...],
    model: str | None = None,
) -> Rows:
    """Check the options of a stage over anyone's rows."""
    if source is None or output is None:
        raise click.UsageError("give RUN, or both --input and --output")
    if round is not None:
        raise click.UsageError("--round is about a RUN; rows of --input have no rounds")
    from rft.recipe_files import load_recipe
    from rft.stopping import die_with_parent

    die_with_parent()
    if output.suffix != ".parquet":
        raise RFTError(f"--output {output}: write a Parquet file, a name that ends in .parquet")
    if output.exists() and source.exists() and output.samefile(source):
        raise RFTError(f"--output {output}: that is the input; name another file")
    found = load_recipe(recipe or "quickstart", overrides)
    check_recipe(found, engine=False)
    return Rows(source, output, columns, found, model)


@rows_stage("grade")
def grade(rows: Rows) -> None:
    """Check the answers of a round, or of anyone's rows.

    Rows need `completion` (a text, or a list of texts) and `gold`. Verdicts: correct, wrong,
    no_answer, unparseable, timeout, bad_gold.

    \b
    Example:
      rft grade --input answers.jsonl --output graded.parquet --column completion=response
    """
    from pipelines.grade import grade_file
    from rft.adopt import write_rows

    graded = grade_file(rows.read(), rows.source, rows.recipe.grade)
    write_rows(rows.output, graded)
    counts = ", ".join(f"{n} {v}" for v, n in sorted(graded["verdict"].value_counts().iter_rows()))
    click.echo(f"{len(graded)} graded: {counts} -> {rows.output}")


@rows_stage("filter")
def filter_(rows: Rows) -> None:
    """Apply the rules to a round, or to anyone's rows.

    The rejected rows go beside OUTPUT, into NAME.rejected.parquet, each with its rule's name.

    \b
    Example:
      rft filter --input graded.parquet --output kept.parquet --set filter.redundant.threshold=0.2
    """
    from pipelines.filter import by_rule, filter_file, funnel_line
    from rft.adopt import write_rows

    beside = rows.output.with_suffix(".rejected.parquet")
    if beside.exists() and beside.samefile(rows.source):
        raise RFTError(
            f"--output {rows.output}: the rejected rows would replace the input, {rows.source}"
        )
    kept, rejected = filter_file(rows.read(), rows.source, rows.recipe.filter, say)
    write_rows(beside, rejected)
    write_rows(rows.output, kept)
    counts = {"in": len(kept) + len(rejected), "kept": len(kept), "rejected": by_rule(rejected)}
    click.echo(f"{funnel_line(counts)} -> {rows.output}")


@rows_stage(
    "score",
    click.option("--model", help="With --input: the policy, a folder, a Hub id, RUN or RUN@2."),
)
def score(rows: Rows) -> None:
    """Compute entropy, branching and perplexity under a model, by a forward pass.

    In a run: of the rows that `select` ranks, where sampling recorded none or only estimates.

    Anyone's rows need `completion` or `response`, and `prompt` (as the model reads it) or
    `question` (put into the recipe's prompt). The text counts up to its first box, as in grading;
    token_ids are used where they spell it. Means over its tokens are added, in nats.

    \b
    Example:
      rft score --input kept.parquet --output scored.parquet --model runs/quickstart@1
    """
    if rows.model is None:
        raise RFTError(
            "rft score --input: no --model; say whose statistics, e.g. --model runs/quickstart@1"
        )
    from pipelines.score import score_file
    from rft.adopt import write_rows
    from rft.models import resolve

    policy = resolve(rows.recipe.model.model_copy(update={"path": rows.model}))
    scored = score_file(rows.read(), rows.source, rows.recipe, policy, say)
    write_rows(rows.output, scored)
    known = scored["stats_origin"].count()
    without = f", {len(scored) - known} without tokens to score" if known < len(scored) else ""
    click.echo(f"{known} scored{without} -> {rows.output}")


@rows_stage("select")
def select(rows: Rows) -> None:
    """Pick what to train on from a round, or from anyone's rows.

    \b
    Example:
      rft select --input kept.parquet --output selected.parquet --set select.by=random
    """
    from pipelines.selection import select_file
    from rft.adopt import write_rows

    recipe = rows.recipe
    chosen = select_file(rows.read(), rows.source, recipe.select, recipe.seed, say)
    write_rows(rows.output, chosen.rows)
    roles = ", ".join(f"{n} {r}" for r, n in sorted(chosen.rows["role"].value_counts().iter_rows()))
    dropped = ", ".join(f"{count} {reason}" for reason, count in chosen.dropped.items())
    click.echo(
        f"{len(chosen.rows)} selected ({roles}); not selected: {dropped or 'none'} -> {rows.output}"
    )
    if chosen.shortfall:
        say(chosen.shortfall)


# About runs ---------------------------------------------------------------------------------------


@cli.command()
@click.argument("run_folder", metavar="RUN", type=HERE)
def unlock(run_folder: Path) -> None:
    """Remove the lock of a run whose owner is gone.

    Needed only when the owner was on another machine.

    \b
    Example:
      rft unlock runs/quickstart
    """
    from rft.lock import unlock as remove
    from rft.store import open_run

    click.echo(remove(open_run(run_folder).path / "lock"))


@cli.command()
@click.argument("recipe", metavar="[RECIPE|RUN]", default="quickstart")
@set_option
@click.option("--json", "as_json", is_flag=True, help="One line of JSON, for programs.")
def doctor(recipe: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Say what is here, what of RECIPE would run where, and what is in the way.

    Nothing is downloaded, started or written. Exit code 0: no verdict is an error; 2: one is.

    \b
    Example:
      rft doctor
      rft doctor math-7b-24gb --set engine.args.max_num_seqs=32
    """
    import json

    from rft.doctor import examine, text_report
    from rft.recipe_files import load_recipe
    from rft.store import is_run

    path = Path(recipe)
    found = load_recipe(str(path / "recipe.yaml") if is_run(path) else recipe, overrides)
    check_recipe(found, engine=False)
    place = path if is_run(path) else folder_for(recipe)
    told = examine(found, place)
    click.echo(json.dumps(told) if as_json else f"recipe {recipe}\n{text_report(told)}")
    if not told["sound"]:
        raise SystemExit(2)


@cli.command()
@click.argument("name", required=False)
def recipes(name: str | None) -> None:
    """List the shipped recipes, or print one to start from.

    \b
    Example:
      rft recipes quickstart > mine.yaml
    """
    from rft.recipe_files import recipe_names, recipe_text

    if name is not None:
        click.echo(recipe_text(name), nl=False)
        return
    for each in recipe_names():
        first = recipe_text(each).splitlines()[0].removeprefix("#").strip()
        click.echo(f"{each:24} {first}")


@cli.command()
@click.argument("run_folder", metavar="RUN", type=HERE)
def report(run_folder: Path) -> None:
    """Say what a run did to Pass@1 and Pass@k, and why.

    \b
    Example:
      rft report runs/quickstart
    """
    from pipelines.report import text_report
    from rft.store import open_run

    click.echo(text_report(open_run(run_folder)))


@cli.command()
@click.argument("run_folder", metavar="RUN", type=HERE)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON, for programs.")
def status(run_folder: Path, as_json: bool) -> None:
    """Say where a run stands.

    Works while another process is at it.

    \b
    Example:
      rft status runs/quickstart
      rft status runs/quickstart --json
    """
    import json

    from pipelines.status import status as stand
    from pipelines.status import text_status
    from rft.store import open_run

    found = stand(open_run(run_folder))
    click.echo(json.dumps(found) if as_json else text_status(found))


@cli.command()
@click.argument("run_folder", metavar="RUN", type=HERE)
@click.argument("rollout", metavar="[ID]", required=False)
@click.option("--problem", metavar="P", help="The samples of one problem; a start of its id does.")
@click.option("--verdict", help="Only this verdict: correct, wrong, no_answer, ...")
@click.option("--round", type=click.IntRange(0), help="Only this round.")
@click.option("--role", type=click.Choice(["positive", "noise"]), help="Only selected ones.")
@click.option("--rule", help="Only those that this rule rejected, e.g. redundant.")
@click.option(
    "--sort",
    type=click.Choice(["entropy", "branching", "tokens", "perplexity"]),
    help="Highest first; by default selected ones come first.",
)
@click.option("-n", "limit", type=click.IntRange(1), default=20, show_default=True, help="Lines.")
@click.option("--json", "as_json", is_flag=True, help="JSON, a line for each rollout.")
def show(
    run_folder: Path,
    rollout: str | None,
    problem: str | None,
    verdict: str | None,
    round: int | None,
    role: str | None,
    rule: str | None,
    sort: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Read rollouts, and why each was kept or dropped.

    A line each, or the one of ID in full.

    ID may be the start of a rollout's id. What was cut off after the first box is marked with x.

    \b
    Example:
      rft show runs/quickstart --verdict wrong --round 1 --sort entropy -n 5
      rft show runs/quickstart 137df422
    """
    import json

    from pipelines import show as reader
    from rft.store import open_run

    found = open_run(run_folder)
    if rollout is not None:
        if any(given is not None for given in (problem, verdict, round, role, rule, sort)):
            raise click.UsageError("give an ID, or options that choose rollouts, not both")
        row = reader.whole(found, reader.find(found, rollout))
        click.echo(json.dumps(row) if as_json else reader.text_whole(found, row))
        return
    rows = reader.choose(
        found, problem=problem, verdict=verdict, round=round, role=role, rule=rule, sort=sort
    )
    if as_json:
        for row in rows.head(limit).iter_rows(named=True):
            click.echo(json.dumps(row))
    else:
        click.echo(reader.text_list(found, rows, limit, sort))


@cli.command()
@click.argument("run_folder", metavar="RUN", type=HERE)
@click.option(
    "--to", required=True, type=HERE, metavar="DIR", help="The folder; an earlier export gives way."
)
@click.option("--license", "license_id", metavar="ID", help="The data's licence, e.g. cc-by-4.0.")
@click.option("--model", is_flag=True, help="Copy the last adopted model too, into DIR-model.")
@click.option("--no-token-stats", is_flag=True, help="Leave out the rollouts' lists per token.")
def export(
    run_folder: Path, to: Path, license_id: str | None, model: bool, no_token_stats: bool
) -> None:
    """Write a run as a dataset folder with a card.

    `datasets.load_dataset` opens it as it is.

    Its configs: sft (the selected samples), rollouts, graded, problems, evaluations; of an online
    run dynamics, problems, evaluations. With --model,
    DIR-model is a folder of its own: on the Hub a model and a dataset are two repositories.

    \b
    Example:
      rft export runs/quickstart --to exports/quickstart --license apache-2.0 --model
    """
    from pipelines.export import export_run
    from rft.store import open_run

    for path in export_run(
        open_run(run_folder),
        to=to,
        license_id=license_id,
        token_stats=not no_token_stats,
        with_model=model,
        say=say,
    ):
        click.echo(path)


def main() -> None:
    """Run the command line."""
    cli()
