"""Each stage of a run by itself, as the loop calls it; and the processes that sampling starts."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rft.cli.one_stage import errors_noted, stage_command
from rft.cli.opening import agree, begin, opened, refuse_others
from rft.cli.options import (
    HERE,
    ROUND,
    as_override,
    grace_option,
    round_option,
    set_option,
    trust_option,
)
from rft.cli.terminal import give, say
from rft.errors import RFTError, clipped

if TYPE_CHECKING:
    from rft.recipe import Recipe


@click.command()
@click.argument("recipe")
@click.option("--out", type=HERE, help="The run folder; runs/NAME of the recipe by default.")
@set_option
@round_option
@trust_option
@grace_option
def prepare(
    recipe: str, out: Path | None, overrides: tuple[str, ...], round: int | None, grace: float
) -> None:
    """Read the problems of RECIPE and start a run folder.

    What cannot be used is set aside by name. Under `prepare.refresh: round` each later round looks
    for new problems: --round N of a run folder.

    \b
    Example:
      rft prepare quickstart --out runs/mine
    """
    from pipelines.run import plan
    from rft.processes.stopping import end_on_signals

    end_on_signals(grace, left="what is finished is kept")  # until the stage itself listens
    looked_at, _ = begin(recipe, out, overrides)
    with opened(looked_at, recipe, out, overrides) as (run, stored):
        if stored != run.recipe:
            agree(run, stored, update=False, plan_of=plan)
        stage_command("prepare", run.path, round or 0, grace)


@click.command()
@click.argument("run_folder", metavar="RUN", type=HERE)
@round_option
@click.option(
    "--worker",
    "share",
    metavar="I/N",
    help="Sample only the I-th of N shares of the problems (0-based), without the run's lock.",
)
@trust_option
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
    from pipelines.perform import sampling_job
    from rft.processes.stopping import Stop
    from rft.runs.stages import is_current
    from rft.sampling.collect import collect_share

    index, of = share_of(share)
    refuse_others(run_folder)
    stop = Stop(grace).listen()
    if round == 0:
        raise RFTError("--round 0: `sample` has no such round; rounds begin at 1")
    with sampling_job(run_folder, "sample", round, stop, say) as (job, stage):
        if is_current(stage, job.run, job.round):
            say(f"{run_folder}: nothing to do, `sample` of round {job.round} is current")
            return
        count = collect_share(job, stage.plan(job.run, job.round), index, of)
    say(
        f"{run_folder}: share {share} of round {job.round} is sampled ({count} problems); "
        f"`rft run {run_folder}` puts the shares together"
    )


def share_of(text: str) -> tuple[int, int]:
    """Read `I/N`."""
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise RFTError(f"--worker {clipped(text)}: write I/N with 0 <= I < N, e.g. 0/8 to 7/8")
    return int(match[1]), int(match[2])


def plain_stage(name: str, does: str) -> click.Command:
    """Make the command of a stage that works on a run's round and nothing else."""

    @click.command(name, help=f"{does}\n\n\b\nExample:\n  rft {name} runs/quickstart --round 1")
    @click.argument("run_folder", metavar="RUN", type=HERE)
    @round_option
    @trust_option
    @grace_option
    def command(run_folder: Path, round: int | None, grace: float) -> None:
        stage_command(name, run_folder, round, grace)

    return command


train = plain_stage("train", "Train what a round's blend is made of, where its delta is searched.")
blend = plain_stage("blend", "Measure a round's blends on dev, and choose one.")
sft = plain_stage("sft", "Fine-tune on a round's selected samples.")
gate = plain_stage("gate", "Decide whether a round's model is adopted.")


@click.command()
@click.argument("run_folder", metavar="[RUN]", type=HERE, required=False)
@round_option
@click.option("--model", help="Measure this model instead: a folder, a Hub id, RUN or RUN@2.")
@click.option("--recipe", help="With --model: whose problems and settings (default: quickstart).")
@click.option(
    "--problems",
    multiple=True,
    metavar="NAME|FILE",
    help="With --model: a benchmark by name, again for each further one, or a file with question "
    "and gold.",
)
@click.option("--samples", type=click.IntRange(1, 9_999), help="With --model: samples per problem.")
@click.option("--output", type=HERE, help="With --model: the folder to write to.")
@set_option
@trust_option
@grace_option
def evaluate(
    run_folder: Path | None,
    round: int | None,
    model: str | None,
    recipe: str | None,
    problems: tuple[str, ...],
    samples: int | None,
    output: Path | None,
    overrides: tuple[str, ...],
    grace: float,
) -> None:
    """Measure a run's model, or any model: Pass@1 and Pass@k.

    With --model, OUTPUT becomes a run folder of no rounds, for `rft report`, `view` and `compare`.
    A benchmark is sampled in its own way (`rft benchmarks NAME`), unless --recipe, --samples or
    --set say how.

    \b
    Example:
      rft evaluate runs/quickstart --round 2
      rft evaluate --model runs/quickstart@2 --recipe quickstart --samples 32 --output out
      rft evaluate --model my-org/my-model --problems math500 --problems aime25 --output out
    """
    if run_folder is not None:
        if model or recipe or problems or samples or output or overrides:
            raise click.UsageError("give RUN, or --model with --output, not both")
        stage_command("evaluate", run_folder, round, grace)
        return
    if model is None or output is None:
        raise click.UsageError("give RUN, or both --model and --output")
    from pipelines import run as loop
    from pipelines.children import ChildFailed
    from pipelines.readers.report import text_report
    from rft.engines import refuse_missing
    from rft.processes.stopping import Stop
    from rft.recipe.loading import load_recipe

    changes = [as_override("model.path", model), "rounds=0", "gate=null", "compare=null"]
    changes += measured_on(problems, samples, load_recipe(recipe or "quickstart"), recipe is None)
    changes += overrides
    run, _ = begin(recipe or "quickstart", output, tuple(changes))
    refuse_missing(run.recipe.engine.kind)
    stop = Stop(grace).listen()
    say_sampling(run.recipe, problems)
    with opened(run, recipe or "quickstart", output, tuple(changes)) as (run, stored):
        run = agree(run, stored, update=False, plan_of=loop.plan)
        try:
            loop.run_all(run, 0, stop, say)
        except ChildFailed as failed:
            raise SystemExit(failed.code) from None
        give(text_report(run))


def measured_on(
    problems: tuple[str, ...], samples: int | None, recipe: "Recipe", by_default: bool
) -> list[str]:
    """Give the settings that measure on benchmarks or a file, if any, in place of a recipe's own.

    A benchmark brings its sampling along where nobody named a recipe.
    """
    from rft.problems.benchmarks import BENCHMARKS, MAX_TOKENS, TEMPERATURE, TOP_P

    wanted, changes = recipe.evaluate, []
    n: int | dict[str, int] = wanted.n
    known = [name for name in problems if name in BENCHMARKS]
    if len(problems) > 1 and known != list(problems):
        (other, *_) = (each for each in problems if each not in BENCHMARKS)
        raise RFTError(
            f"--problems {clipped(other)}: of several, each has to be a benchmark "
            f"({', '.join(BENCHMARKS)}); measure a file by itself"
        )
    k = wanted.k
    if known:
        changes.append(as_override("prepare.test", known))
        if by_default or isinstance(n, dict):
            n = {name: BENCHMARKS[name].n for name in known}
        if by_default:
            k = (1, 2, 4, 8, 16, 32, 64)
            changes += [f"evaluate.temperature={TEMPERATURE}", f"evaluate.top_p={TOP_P}"]
            changes.append(f"evaluate.max_tokens={MAX_TOKENS}")
    elif problems:
        changes.append(as_override("prepare.test", {"source": problems[0]}))
    if problems:
        changes.append("prepare.dev=null")
        published = {name: wanted.reference[name] for name in known if name in wanted.reference}
        changes.append(as_override("evaluate.reference", published))
    if samples or known:
        n = samples or n
        fewest = min(n.values()) if isinstance(n, dict) else n
        k = tuple(each for each in k if each <= fewest)
        changes += [as_override("evaluate.n", n), as_override("evaluate.k", k)]
    return changes


def say_sampling(recipe: "Recipe", problems: tuple[str, ...]) -> None:
    """Say how benchmarks are sampled: nobody who names one has written it down."""
    how = recipe.evaluate
    for name in recipe.prepare.benchmarks("test"):
        if name in problems:
            say(
                f"{name}: {how.samples(name)} samples a problem, temperature "
                f"{how.temperature:g}, top-p {how.top_p:g}, at most {how.max_tokens:,} tokens "
                "(--samples, --set evaluate.KEY and --recipe change it)"
            )


@click.command(hidden=True)
@click.argument("run_folder", type=HERE)
@trust_option
@grace_option
def preflight(run_folder: Path, grace: float) -> None:
    """Do a run's preflight and nothing else; `rft run --plan` starts this by itself."""
    from pipelines.perform import sampling_job
    from rft.processes.stopping import Stop, die_with_parent
    from rft.sampling.preflight import preflight as do_preflight
    from rft.sampling.worker import Worker

    die_with_parent()
    refuse_others(run_folder)
    with sampling_job(run_folder, "sample", 1, Stop(grace).listen(), say) as (job, stage):
        plan = stage.plan(job.run, 1)
        do_preflight(job, plan, Worker(job, plan, job.work / "worker-0").engine)


@click.command(hidden=True)
@click.argument("run_folder", type=HERE)
@click.argument("name", type=click.Choice(["sample", "blend", "evaluate"]))
@click.option("--round", type=ROUND, required=True)
@click.option("--slot", type=ROUND, required=True)
@click.option("--of", "workers", type=ROUND, required=True)
@trust_option
@grace_option
def worker(run_folder: Path, name: str, round: int, slot: int, workers: int, grace: float) -> None:
    """Be one of several engines of a sampling stage, which starts this by itself."""
    from pipelines.perform import sampling_job
    from rft.processes.stopping import Stop, die_with_parent
    from rft.sampling.worker_pool import serve

    die_with_parent()
    refuse_others(run_folder)
    stop = Stop(grace).listen()
    # Whatever an engine prints must not be taken for what we have to tell.
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with (
        sampling_job(run_folder, name, round, stop, say) as (job, stage),
        errors_noted(job.run, name, round),
    ):
        serve(job, stage.plan(job.run, round), slot, workers, sys.stdin, said)


@click.command(hidden=True)
@click.argument("run_folder", type=HERE)
def track(run_folder: Path) -> None:
    """Log the rounds of a run that are done; the loop starts this by itself."""
    from pipelines.tracking import log_rounds
    from rft.runs.folder import open_run

    refuse_others(run_folder)
    log_rounds(open_run(run_folder))
