"""How a command ends is told once and has its exit code: the error model of rft/errors.py."""

import contextlib
import io
import json
import logging
import re
import sys

import click
import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

from rft.cli.terminal import (
    STYLES,
    Commands,
    Harmless,
    colours,
    give,
    give_anew,
    give_json,
    give_styled,
    redraws,
    say,
)
from rft.errors import Interrupted, RFTError
from rft.processes.progress import draw
from rft.styled import HEAT, OTHER, VERDICT_STYLES, Styled, with_verdict
from tests.command import ROOT
from tests.screens import seen, terminal


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (RFTError("mine.yaml: seed is -1; give 0 or more"), 2, "Error: mine.yaml: seed is -1"),
        (Interrupted("stopped by SIGTERM"), 75, "Stopped: by SIGTERM. Run the same"),
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


# A live line ------------------------------------------------------------------------------------


@contextlib.contextmanager
def harmless(monkeypatch, width=80):
    with terminal(monkeypatch, width) as screen, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", Harmless(sys.stderr))
        yield screen


def test_a_live_line_stays_below_what_is_said_and_leaves_nothing_behind(monkeypatch):
    with harmless(monkeypatch) as screen:
        draw("one")
        say("first")
        draw("two")
        sys.stderr.write("sec")
        draw("three")  # not now: a line has begun
        sys.stderr.write("ond\n")
        sys.stderr.writelines(["third", "\n"])
        draw("")
        say("fourth")
    written = screen.close()
    assert seen(written) == ["first", "second", "third", "fourth", ""]
    assert seen(written.partition("fourth")[0].removesuffix("\r\x1b[K"))[-1] == "three"
    assert "?25" not in written  # a cursor that is never hidden is always there


def test_the_last_words_of_a_live_line_stay(monkeypatch):
    with harmless(monkeypatch) as screen:
        draw("1 of 2")
        sys.stderr.write("\r\x1b[K2 of 2\n")
        draw("")
        say("done")
    assert seen(screen.close()) == ["2 of 2", "done", ""]


def test_a_bar_of_a_library_takes_the_place_of_a_live_line_and_ends_itself(monkeypatch):
    with harmless(monkeypatch) as screen:
        draw("ours")
        sys.stderr.write("\r 50%")
        sys.stderr.write("\r100%")
        sys.stderr.write("\n")
        say("done")
    assert seen(screen.close()) == ["100%", "done", ""]


@pytest.mark.parametrize("width", [20, 80, 200])
def test_a_live_line_is_one_row_and_acts_on_nothing(monkeypatch, width):
    with harmless(monkeypatch, width) as screen:
        draw(f"{HOSTILE}{'漢' * 300}")
    written = screen.close()
    assert written.startswith("\r\x1b[K")
    line = written.removeprefix("\r\x1b[K")
    assert line.isprintable()
    assert cell_len(line) < width
    assert "hunter2" not in line


ACTING = HOSTILE.partition("http")[0]

# Styles -----------------------------------------------------------------------------------------


def test_every_style_has_its_look():
    assert {*VERDICT_STYLES.values(), OTHER, *HEAT, "faint", "marked"} == STYLES.keys()


@pytest.mark.parametrize(
    ("verdict", "style"), [("correct", "right"), ("wrong", "wrong"), ("timeout", "other")]
)
def test_a_verdict_stands_in_a_line_with_its_style(verdict, style):
    pieces = with_verdict(f"ab {verdict} c", verdict, 3)
    assert pieces == [("ab ", ""), (verdict, style), (" c", "")]
    assert with_verdict("ab right", verdict, 3) == [("ab right", "")]


def test_codes_are_ours_alone_and_what_they_are_around_is_escaped(monkeypatch):
    with terminal(monkeypatch) as screen:
        give_styled(
            Styled((("plain[bold] ", ""), (ACTING, "wrong marked"), ("tab\there", "heat-1")))
        )
    written = screen.close()
    codes = re.findall(r"\x1b\[[0-9;]*m", written)
    assert set(codes) == {"\x1b[4;31m", "\x1b[0m", "\x1b[38;5;16;48;5;229m"}
    bare = re.sub(r"\x1b\[[0-9;]*m", "", written)
    assert bare.startswith("plain[bold] a\\x1b[2J\\x9b\\u202e\\x00\\x0d\nError: fine")
    assert bare.replace("\n", "").isprintable()


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colours_it_is_the_text_alone(monkeypatch, env):
    styled = Styled((("a ", ""), ("b", "right")))
    with terminal(monkeypatch, **env) as screen:
        assert colours() == 0
        give_styled(styled)
    assert screen.close() == "a b\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert colours() == 0  # no terminal
    give_styled(styled)
    assert sys.stdout.getvalue() == "a b\n"


@pytest.mark.parametrize(("name", "count"), [("xterm", 16), ("xterm-256color", 256)])
def test_a_terminal_has_the_colours_that_it_says(monkeypatch, name, count):
    with terminal(monkeypatch, TERM=name) as screen:
        assert colours() == count
    screen.close()


def test_a_key_is_hidden_though_it_is_cut_into_pieces(monkeypatch):
    key = "hf_" + "a1B2" * 6
    with terminal(monkeypatch) as screen:
        give_styled(Styled((("so ", ""), *((letter, "right") for letter in key))))
    assert screen.close() == "so (hidden)\n"


def test_what_is_given_anew_takes_the_place_of_what_was_there(monkeypatch):
    with terminal(monkeypatch, width=20) as screen:
        lines = give_anew(f"{HOSTILE}\n" * 30, 0)
        assert lines == 23  # one less than there are, or the first would be out of reach
        lines = give_anew("a line of so many words\n\nend", lines)
        assert lines == 4
        assert redraws()
    written = screen.close()
    assert seen(written) == ["a line of so many", "words", "", "end", ""]
    assert "hunter2" not in written


def test_only_the_outlet_prints():
    """All that a command prints passes through it; no other module writes to a stream itself."""
    spoken = re.compile(r"click\.s?echo|\bprint\(|sys\.std(out|err)\.write|rich\.print")
    own = {"rft/cli/terminal.py", "rft/processes/progress.py", "rft/doctor/ask.py"}
    own |= {"rft/grading/verifier_worker.py", "rft/model_folders/trial.py"}  # whose parents speak
    for top in ("rft", "pipelines", "filters"):
        for path in (ROOT / top).rglob("*.py"):
            if str(path.relative_to(ROOT)) not in own:
                assert not spoken.search(path.read_text()), path
