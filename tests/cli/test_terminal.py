"""How a command ends is told once and has its exit code: the error model of rft/errors.py."""

import click
import pytest
from click.testing import CliRunner

from rft.cli.terminal import Commands
from rft.errors import Interrupted, RFTError


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (RFTError("mine.yaml: seed is -1; give 0 or more"), 2, "Error: mine.yaml: seed is -1"),
        (Interrupted("stopped by SIGTERM"), 75, "Stopped: stopped by SIGTERM. Run the same"),
        (KeyboardInterrupt(), 75, "Stopped: by SIGINT."),
        (OSError(28, "No space left on device"), 2, "Error: "),
    ],
)
def test_a_command_ends_with_one_line_and_its_code(error, code, told):
    @click.command()
    def fails():
        raise error

    done = CliRunner().invoke(Commands(commands=[fails]), ["fails"])
    assert done.exit_code == code
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_bug_keeps_its_traceback():
    @click.command()
    def fails():
        raise ZeroDivisionError

    done = CliRunner().invoke(Commands(commands=[fails]), ["fails"])
    assert done.exit_code == 1
    assert isinstance(done.exception, ZeroDivisionError)
