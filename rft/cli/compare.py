"""Arms against each other: `rft compare` makes the runs of a recipe's arms, and compares runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rft.cli.opening import (
    folder_for,
    listening,
    make_folder,
    refuse_lacking,
    refuse_others,
    refuse_what_is_in_the_way,
)
from rft.cli.options import HERE, Duration, grace_option, set_option, trust_option
from rft.cli.planning import foreseen
from rft.cli.terminal import give, give_json, say
from rft.errors import Interrupted, RFTError, listed

if TYPE_CHECKING:
    from pipelines.compare import ArmRun
    from pipelines.readers.comparison.side_by_side import SideBySide
    from rft.processes.stopping import Stop
    from rft.recipe import Recipe

# What the numbers of a comparison end in, however they are called.
ENDING = ".parquet"


@click.command()
@click.argument("targets", metavar="RECIPE | RUN RUN... | NUMBERS...", nargs=-1, required=True)
@click.option(
    "--out", type=HERE, help="The folder of the runs; runs/NAME of the recipe by default."
)
@click.option(
    "--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Runs at a time."
)
@set_option
@click.option("--update", is_flag=True, help="Redo what changed settings make out of date.")
@click.option(
    "--plan", "plan_only", is_flag=True, help="Only say what it could show, and its cost."
)
@click.option("--so-far", is_flag=True, help="Run nothing: tell what the runs that are done say.")
@click.option(
    "--without",
    multiple=True,
    metavar="ARM",
    help="Tell the others alone, of what is there; the title says so.",
)
@click.option("--stop-after", type=Duration(), help="Wind down after this time, e.g. 3h.")
@trust_option
@grace_option
@click.option("--to", type=HERE, help="Where tables and figures go; by default the folder.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON, for programs.")
def compare(
    targets: tuple[str, ...],
    out: Path | None,
    jobs: int,
    overrides: tuple[str, ...],
    update: bool,
    plan_only: bool,
    so_far: bool,
    without: tuple[str, ...],
    stop_after: float | None,
    grace: float,
    to: Path | None,
    as_json: bool,
) -> None:
    """Compare the arms of RECIPE over seeds, or runs that are there.

    RECIPE has a section `compare`: seeds, arms, which are the recipe with some settings changed,
    and the arm that is the control. Each arm is run with each seed, in a run folder of its own;
    what runs of a seed have in common is done once. Then each arm is held against the base and the
    control, on the test problems, with intervals over problems and seeds: as text, as
    comparison.md, .csv, .json and .parquet, and as figures.

    Goes on where an earlier call ended; the folder of an earlier call stands for its recipe.
    Several calls may work on one folder. Exit code 0: done; 2: a person must change something, and
    the other runs are done; 75: interrupted, or another call works on the rest.

    With two or more RUNs (RUN@2 is its model 2) nothing is run: their models are compared, the
    first one is the control.

    NUMBERS are the comparison.parquet of comparisons that were made: answers counted, without their
    texts. Each makes the same tables and figures anywhere; those of one recipe with other seeds
    are one comparison.

    \b
    Example:
      rft compare table3-mini --plan
      rft compare table3-mini --jobs 2
      rft compare runs/table3-mini --so-far
      rft compare runs/table3-mini --set compare.seeds=[0,1,2,3,4,5,6,7]
      rft compare runs/one runs/two runs/two@1
      rft compare here/comparison.parquet there/comparison.parquet --to together
      rft compare runs/table3-mini --so-far --without diverged
    """
    from pipelines.readers.comparison.sources import of_arms

    refuse_together(plan_only, so_far, to, as_json)
    if len(targets) > 1 or targets[0].endswith(ENDING):
        if out or overrides or update or plan_only or so_far or stop_after is not None or jobs > 1:
            raise click.UsageError(
                "what is there is only read: give --without, --to and --json alone"
            )
        give_comparison(what_is_there(targets).without(without), to, as_json)
        return
    if without and not so_far:
        raise click.UsageError("--without is for what is there: give --so-far with it")
    folder, whole, runs = arms_of(targets[0], out, overrides)
    if plan_only:
        tell_comparison(whole, runs, grace)
        return
    if so_far:
        give_comparison(of_arms(folder, whole, runs).without(without), to, as_json)
        return
    stop = listening(stop_after, grace)
    try:
        do_arms(folder, whole, runs, jobs=jobs, update=update, stop=stop)
    except (RFTError, Interrupted):
        comparison = None if stop.asked() else of_arms(folder, whole, runs)
        if comparison is not None and comparison.arms:
            give_comparison(comparison, to or folder, as_json)
        raise
    give_comparison(of_arms(folder, whole, runs), to or folder, as_json)


def refuse_together(plan_only: bool, so_far: bool, to: Path | None, as_json: bool) -> None:
    """Refuse options that contradict each other, and a place where no folder can be made."""
    if plan_only and so_far:
        raise click.UsageError("give --plan or --so-far, not both")
    if plan_only and (as_json or to):
        raise click.UsageError("--plan runs and writes nothing: leave --json and --to away")
    if to is not None and not next(p for p in (to, *to.parents) if p.exists()).is_dir():
        raise RFTError(f"--to {to}: not a folder; name another")


def what_is_there(targets: tuple[str, ...]) -> "SideBySide":
    """Read runs that are there, or the numbers of comparisons."""
    from pipelines.readers.comparison.published import read_numbers
    from pipelines.readers.comparison.sources import of_runs

    numbers = [Path(target) for target in targets if target.endswith(ENDING)]
    if 0 < len(numbers) < len(targets):
        raise click.UsageError("give runs, or the numbers of comparisons, not both")
    return read_numbers(numbers) if numbers else of_runs(targets)


def arms_of(
    target: str, out: Path | None, overrides: tuple[str, ...]
) -> "tuple[Path, Recipe, list[ArmRun]]":
    """Find the comparison that a RECIPE argument means, with the recipe of each of its runs."""
    from pipelines.compare import RECIPE, arm_runs, rooted_arms
    from pipelines.perform import check_recipe
    from rft.recipe.loading import load_arms, refuse_extending
    from rft.runs.folder import is_run

    path = Path(target)
    if (path / RECIPE).is_file():
        refuse_others(path, RECIPE)
        refuse_extending(path / RECIPE)
        if out is not None and out.resolve() != path.resolve():
            raise RFTError(f"--out {out}: {target} is a comparison already; leave --out away")
        folder, target = path, str(path / RECIPE)
    elif is_run(path) or ("@" in target and is_run(Path(target.rpartition("@")[0]))):
        raise RFTError(f"{target}: a run alone; name another one to compare it with")
    else:
        folder = out or folder_for(target)
        refuse_others(folder, RECIPE)
    whole, arms = load_arms(target, overrides)
    for name, recipe in arms.items():
        try:
            check_recipe(recipe)
        except RFTError as error:
            raise RFTError(f"compare.arms.{name}: {error}") from None
    if is_run(folder):
        raise RFTError(f"{folder}: a run folder, and no comparison; choose another --out")
    if folder.exists() and not (folder.is_dir() and is_comparison(folder)):
        raise RFTError(f"{folder}: not a comparison, and not empty; choose another --out")
    whole, arms = rooted_arms(whole, arms)
    return folder, whole, arm_runs(folder, whole, arms)


def is_comparison(folder: Path) -> bool:
    """Say whether a folder is a comparison's, or holds no more than what one begins with."""
    from pipelines.compare import RECIPE

    return (folder / RECIPE).is_file() or all(
        child.match(f".{RECIPE}.*.tmp") and child.is_file() and not child.is_symlink()
        for child in folder.iterdir()
    )


def do_arms(
    folder: Path,
    whole: "Recipe",
    runs: "list[ArmRun]",
    *,
    jobs: int,
    update: bool,
    stop: "Stop",
) -> None:
    """Make the runs of a comparison that are not done."""
    from pipelines.compare import left_alone, refuse_other_work, run_arms, settled

    for each in runs:
        refuse_lacking(each.run.recipe)
    refuse_other_work(folder, whole, runs)
    for each in runs:
        refuse_what_is_in_the_way(each.run.path.parent)
    make_folder(folder)
    with settled(folder, whole, runs):
        if others := left_alone(folder, {each.arm for each in runs}):
            say(f"{folder}: no arms of the recipe, and left as they are: {listed(others)}")
        if not run_arms(runs, jobs=jobs, stop=stop, say=say, update=update):
            say(f"{folder}: nothing to do, all {len(runs)} runs are done")


def tell_comparison(whole: "Recipe", runs: "list[ArmRun]", grace: float) -> None:
    """Say what would be run, which differences it could show, and what one run will take."""
    from pipelines.children import ChildFailed
    from pipelines.readers.comparison.plan import plan_lines

    give("\n".join(plan_lines(whole, runs)))
    try:
        give(f"  one run of {runs[0].arm}, the control:")
        text, ahead = foreseen(runs[0].run, listening(None, grace))
        give(text)
        if ahead is not None:
            give(together(ahead.hours, runs))
    except ChildFailed as failed:
        raise SystemExit(failed.code) from None


def together(hours: float, runs: "list[ArmRun]") -> str:
    """Say what all runs will take that are not done, if each takes as long as the control's."""
    from rft.estimates.forecast import span

    left = sum(not each.done() for each in runs)
    return (
        f"  {left} such runs: up to {span(left * hours)} one after the other, besides loading;\n"
        "  less, since those of a seed share the base, and round 1 where it is sampled alike;\n"
        "  --jobs N does N at once"
    )


def give_comparison(comparison: "SideBySide", to: Path | None, as_json: bool) -> None:
    """Print a comparison, and write its tables and figures where that is asked for."""
    from pipelines.readers.comparison.files import as_tree, write_files
    from pipelines.readers.comparison.text import text_of

    if as_json:
        give_json(as_tree(comparison))
    else:
        give(text_of(comparison))
    if to is not None:
        for line in write_files(comparison, to):
            say(line)
