"""The commands of the README and of all pages exist, and so do the targets that they name."""

import re
import shlex

import click
import pytest
from click.testing import CliRunner

from rft.bundled import bundled
from rft.cli import cli

ROOT = bundled("configs").parent
# Every page that is written by hand.
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in PAGES}
BLOCKS = [
    block for text in TEXTS.values() for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
]
LINES = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines()]
# The answers to questions, in the last column of a table.
LINES += re.findall(r"\| `(rft [^`]+)` \|$", TEXTS["docs/howto/operate.md"], re.MULTILINE)
CALLS = sorted({line for line in LINES if line.startswith("rft ")})
COMMANDS = sorted(cli.commands)


@pytest.mark.parametrize("line", CALLS)
def test_each_command_of_the_pages_is_one_that_the_command_line_takes(line):
    name, *words = shlex.split(line.partition(">")[0])[1:]
    # Parses and checks every argument and option, and does nothing.
    cli.commands[name].make_context(name, words)


def test_a_command_that_does_not_exist_would_be_seen():
    with pytest.raises(click.UsageError):
        cli.commands["run"].make_context("run", ["mine.yaml", "--round", "one"])
    with pytest.raises(click.UsageError):
        cli.commands["sample"].make_context("sample", [])


@pytest.mark.parametrize("name", [each for each in COMMANDS if not cli.commands[each].hidden])
def test_every_command_has_help_with_an_example(name):
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert "Example:" in result.output
    assert f"rft {name}" in result.output
    for parameter in cli.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"rft {name} {parameter.opts}: no help"


def test_the_targets_that_the_pages_name_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    told = [line for line in LINES if line.startswith("make ")]
    told += [code for text in TEXTS.values() for code in re.findall(r"`(make [a-z0-9-]+)", text)]
    for target in {call.split()[1] for call in told}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_the_readme_is_what_a_newcomer_reads_in_two_screens():
    assert len(TEXTS["README.md"].splitlines()) <= 110
