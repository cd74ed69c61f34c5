"""How a command ends is told once and has its exit code: the error model of rft/errors.py."""

import io
import json
import logging
import re
import sys

import click
import pytest
from click.testing import CliRunner, Result

from rft.cli.terminal import Commands, Harmless, give, give_json, say
from rft.errors import Interrupted, RFTError
from tests.command import ROOT


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


HOSTILE = "a\x1b[2J\u009b\u202e\x00\r\nError: fine \x7f http://me:hunter2@host/"


def ends(error) -> Result:
    @click.command()
    def fails():
        raise error

    return CliRunner().invoke(Commands(commands=[fails]), ["fails"])


@pytest.mark.parametrize(
    "error", [RFTError(HOSTILE), Interrupted(HOSTILE), OSError(28, HOSTILE), MemoryError(HOSTILE)]
)
def test_whatever_an_error_holds_it_is_one_line_and_acts_on_nothing(error):
    told = ends(error).stderr
    assert told.count("\n") == 1
    assert told.removesuffix("\n").isprintable()
    assert "hunter2" not in told


def test_an_error_without_end_is_cut_in_its_middle():
    told = ends(RFTError(f"{'x' * 10**6}; do this")).stderr
    assert len(told) < 2_000
    assert told.endswith("; do this\n")


@pytest.mark.parametrize("words", [["fails", f"--{HOSTILE}"], [HOSTILE], [f"--{HOSTILE}"]])
def test_what_click_says_of_a_command_line_is_harmless_too(words):
    @click.command()
    def fails():
        pass

    done = CliRunner().invoke(Commands(commands=[fails]), words)
    assert done.exit_code == 2
    lines = done.stderr.splitlines()
    assert all(line.isprintable() for line in lines)
    assert sum(line.startswith("Error: ") for line in lines) == 1


def test_what_libraries_log_and_draw_is_harmless_and_so_are_results():
    @click.command()
    def works():
        logging.StreamHandler().handle(logging.makeLogRecord({"msg": HOSTILE}))
        sys.stderr.write(f"\r 50% {HOSTILE}")
        sys.stderr.writelines(["\n", "\x1b[31mred\x1b[0m\n"])
        say(HOSTILE)
        give(HOSTILE)
        give_json({"a": HOSTILE})

    done = CliRunner().invoke(Commands(commands=[works]), ["works"])
    assert done.exit_code == 0
    for line in done.output.splitlines():
        assert line.isprintable()
    assert "red" in done.stderr.splitlines()
    assert "hunter2" not in done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"a": HOSTILE}


def test_a_progress_bar_of_a_terminal_may_go_back_and_nothing_else_may():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    Harmless(screen).write("\r\x1b[K 50%\x1b[2J\r")
    assert screen.getvalue() == "\r\x1b[K 50%\\x1b[2J\n"


def test_only_the_outlet_prints():
    """All that a command prints passes through it; no other module writes to a stream itself."""
    spoken = re.compile(r"click\.s?echo|\bprint\(|sys\.std(out|err)\.write|rich\.print")
    own = {"rft/cli/terminal.py", "rft/processes/progress.py", "rft/doctor/ask.py"}
    own |= {"rft/grading/verifier_worker.py", "rft/model_folders/trial.py"}  # whose parents speak
    for top in ("rft", "pipelines", "filters"):
        for path in (ROOT / top).rglob("*.py"):
            if str(path.relative_to(ROOT)) not in own:
                assert not spoken.search(path.read_text()), path
