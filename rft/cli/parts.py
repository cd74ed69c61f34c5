"""Parts of one's own: `rft new` begins one, `rft check` tries it out."""

import keyword
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rft.cli.options import HERE, Duration
from rft.cli.terminal import give, give_json, say
from rft.errors import RFTError

if TYPE_CHECKING:
    from rft.recipe.parts import KindOfPart

KINDS_TO_BEGIN: dict[str, "KindOfPart"] = {
    "rule": "rules",
    "order": "orders",
    "verifier": "verifiers",
    "plugin": "plugins",
}


@click.command("new")
@click.argument("kind", type=click.Choice(list(KINDS_TO_BEGIN)))
@click.argument("name")
@click.option("--into", type=HERE, default=".", show_default=True, help="The folder to write to.")
def new(kind: str, name: str, into: Path) -> None:
    """Begin a part of your own: a file that works, with comments, and its test.

    Writes NAME.py and NAME_test.py. A recipe beside it names it: `parts: [NAME.py]`.

    \b
    Example:
      rft new rule shouting
      rft new verifier chemistry --into parts
    """
    from rft.parts.in_use import refuse_name_of_ours
    from rft.recipe.parts import an_own_name
    from rft.runs.atomic import atomic_text

    try:
        an_own_name(name)
    except ValueError as error:
        raise RFTError(f"NAME {name!a}: {error}") from None
    if keyword.iskeyword(name):
        raise RFTError(f"NAME {name}: a word of Python's own; choose another")
    refuse_name_of_ours(KINDS_TO_BEGIN[kind], name, f"NAME {name}")
    begun = Path(__file__).parents[1] / "parts" / "begun"
    texts = {
        into / f"{name}.py": begun / f"{kind}.py.txt",
        into / f"{name}_test.py": begun / f"{kind}_test.py.txt",
    }
    for path in texts:
        if path.exists():
            raise RFTError(f"{path}: there already; choose another name, or --into a folder")
    if not into.is_dir():
        raise RFTError(f"--into {into}: no such folder; make it, or name another")
    for path, source in texts.items():
        text = source.read_text().replace("NAME", name)
        atomic_text(path, text)
        say(f"wrote {path}")
    say(f"try it: rft check {into / f'{name}.py'}")


@click.command("check")
@click.argument("part", metavar="FILE.py|PACKAGE")
@click.option("--json", "as_json", is_flag=True, help="JSON, a line for each check.")
@click.option("--grace", type=Duration(), default="2s", show_default=True, help="For winding down.")
def check(part: str, as_json: bool, grace: float) -> None:
    """Try out all that a part brings, by what runs ask of it.

    Rules and statistics look at one row alone, or, if they compare rows, find the same in any
    order of them, and know what is missing; orders rank any order of rows alike; verifiers keep to
    their EXAMPLES, and end in time with hostile answers; plug-ins change the gradient of a real
    step. Each thing is tried in a process of its own. This runs the part's code. Exit code 0: all
    hold; 2: one does not.

    \b
    Example:
      rft check shouting.py
    """
    from pipelines.checking.check import checked
    from rft.processes.stopping import Stop

    stop = Stop(grace).listen()
    faults, things, checks = 0, set(), 0
    for found in checked(part, stop):
        things.add((found.kind, found.name))
        checks += 1
        faults += found.fault is not None
        if as_json:
            give_json(vars(found))
        else:
            mark = "ok   " if found.fault is None else "FAILS"
            told = "" if found.fault is None else f": {found.fault}"
            give(f"{mark} {found.kind} {found.name}: {found.check}{told}")
    if faults:
        raise RFTError(f"{part}: {faults} of {checks} checks fail, as listed above; mend them")
    what = ", ".join(name for _, name in sorted(things))
    say(f"{part}: all {checks} checks of {what} hold")
