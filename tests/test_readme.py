"""The commands of the pages exist; every rule, stage and recipe has its place in the README."""

import re
import shlex

import click
import pytest
from click.testing import CliRunner

from filters import RULES
from pipelines.perform import STAGES
from rft.bundled import bundled
from rft.cli import cli

ROOT = bundled("configs").parent
README = (ROOT / "README.md").read_text()
OPERATE = (ROOT / "OPERATE.md").read_text()
PAGES = README + OPERATE + (ROOT / "GPU.md").read_text() + (ROOT / "VERDICTS.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGES, re.DOTALL)
LINES = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines()]
# The answers to questions, in the last column of a table.
LINES += re.findall(r"\| `(rft [^`]+)` \|$", OPERATE, re.MULTILINE)
COMMANDS = sorted(cli.commands)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("rft ")])
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


@pytest.mark.parametrize("name", list(RULES))
def test_every_rule_has_a_row(name):
    assert re.search(rf"^\|.*`{name}[`:]", README, re.MULTILINE)


@pytest.mark.parametrize("name", list(STAGES))
def test_every_stage_has_a_row_and_a_command(name):
    assert re.search(rf"^\| {name} \|.*`rft {name} ", README, re.MULTILINE)
    assert name in COMMANDS


def test_the_targets_that_the_readme_names_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?m)(?:^|`)make ([a-z0-9-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
