"""What looks after a run and the place where it is to be: doctor, clean, unlock."""

import sys
from pathlib import Path

import click

from rft.cli.opening import folder_for, refuse_others
from rft.cli.options import HERE, set_option
from rft.cli.terminal import give, give_json, say
from rft.errors import RFTError


@click.command()
@click.argument("recipe", metavar="[RECIPE|RUN]", default="quickstart")
@set_option
@click.option("--json", "as_json", is_flag=True, help="One line of JSON, for programs.")
def doctor(recipe: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Say what is here, what would run where, and what is in the way.

    Nothing is downloaded, started or written. Exit code 0: no verdict is an error; 2: one is.

    \b
    Example:
      rft doctor
      rft doctor math-7b-24gb --set engine.args.max_num_seqs=32
    """

    from pipelines.perform import check_recipe
    from rft.doctor import examine, text_report
    from rft.recipe.loading import load_recipe, load_stored
    from rft.runs.folder import is_run

    path = Path(recipe)
    wanted = load_stored(path, overrides) if is_run(path) else load_recipe(recipe, overrides)
    check_recipe(wanted)
    place = path if is_run(path) else folder_for(recipe)
    told = examine(wanted, place)
    if as_json:
        give_json(told)
    else:
        give(f"recipe {recipe}\n{text_report(told)}")
    if not told["sound"]:
        raise SystemExit(2)


@click.command()
@click.argument("run_folder", metavar="RUN", type=HERE)
@click.option("--yes", is_flag=True, help="Remove it without asking.")
@click.option("--unfinished", is_flag=True, help="Remove work that a run would go on from, too.")
def clean(run_folder: Path, yes: bool, unfinished: bool) -> None:
    """Give disk back that a run needs no more.

    Says what would go and asks; without a terminal, --yes is needed. The run is as it was after it:
    tables, manifests, reports, and work that an unfinished stage goes on from.

    \b
    Example:
      rft clean runs/quickstart
      rft clean runs/quickstart --yes
    """
    from rich.filesize import decimal

    from pipelines import cleaning
    from rft.processes.stopping import end_on_signals
    from rft.runs.folder import open_run

    end_on_signals(grace=3, left="what is removed is removed")
    refuse_others(run_folder)
    run = open_run(run_folder)
    with run.lock():
        goes, stays = cleaning.plan(run, unfinished=unfinished)
    give(cleaning.text_plan(run, goes, stays))
    if not goes:
        return
    if not yes:
        if not on_terminal():
            raise RFTError(f"{run_folder}: nothing was removed; --yes removes what is listed")
        if not agreed("Remove that?"):
            raise RFTError(f"{run_folder}: nothing was removed")
    # Nobody is kept waiting while a person thinks; what is no longer to go by then stays.
    with run.lock():
        still = {item.path for item in cleaning.plan(run, unfinished=unfinished)[0]}
        files, freed = cleaning.clean(run, [item for item in goes if item.path in still])
    say(f"removed {cleaning.files_words(files)}: {decimal(freed)} freed")


@click.command()
@click.argument("run_folder", metavar="RUN", type=HERE)
def unlock(run_folder: Path) -> None:
    """Remove the lock of a run whose owner is gone.

    Needed only when the owner was on another machine.

    \b
    Example:
      rft unlock runs/quickstart
    """
    from rft.cli.opening import only_begun
    from rft.runs.folder import open_run
    from rft.runs.lock import unlock as remove

    refuse_others(run_folder)
    # Who was killed at once has left no recipe yet.
    begun = run_folder.is_dir() and only_begun(run_folder)
    give(remove((run_folder if begun else open_run(run_folder).path) / "lock"))


def agreed(question: str) -> bool:
    """Ask on the terminal; to leave the question is to say no."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        return False


def on_terminal() -> bool:
    """Say whether there is somebody who can be asked."""
    return sys.stdin.isatty()
