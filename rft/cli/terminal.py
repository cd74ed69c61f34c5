"""How commands speak and end: results on standard output, else standard error; exit codes.

All that is printed passes through here, and is made harmless here, whoever wrote it: what acts on a
terminal is escaped, keys and passwords are hidden, and a line of ours is one line. No message has
to think of it. Standard error is held to that whoever writes to it in this process, warnings, logs
and progress bars of libraries included; what they write to the file descriptor itself is not.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import click

from rft.errors import Interrupted, RFTError, explained
from rft.foreign_text import json_line, masked, unbroken, visible

# A line that is longer is not read; its end says what to do.
LONGEST, LONGEST_END = 1_800, 600
# A progress bar may go back to the beginning of its line, and wipe it.
REWIND = re.compile(r"\r(\x1b\[K)?")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Commands(click.Group):
    """Turn what a person can mend into one line and exit code 2, and lost work into 75."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Keep the commands in the order in which they are listed; click would sort them."""
        return list(self.commands)

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command line on a standard error where nothing acts on the terminal."""
        with contextlib.redirect_stderr(Harmless(sys.stderr)):
            return super().main(*args, **options)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Read the words of a command line."""
        with _complaints_in_one_line():
            refuse_other_bytes(args[1])
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and translate the ways in which it ends."""
        try:
            with _complaints_in_one_line():
                return super().invoke(ctx)
        except BrokenPipeError:  # whoever reads us has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ctx.exit(0)
        except RFTError as error:
            message, code = f"Error: {error}", 2
        except Interrupted as stopped:
            from rft.processes.stopping import PARENT

            if PARENT in os.environ and str(stopped).startswith("stopped by SIGTERM"):
                return ctx.exit(75)  # our driver asked for it, and tells why
            message, code = f"Stopped: {stopped}. Run the same command again to go on.", 75
        except KeyboardInterrupt:  # commands that only read, and listen to nothing
            message, code = "Stopped: by SIGINT.", 75
        except Exception as error:
            reason = explained(error)
            if reason is None:
                raise
            message, code = f"Error: {reason}", 2
        say(message)
        return ctx.exit(code)


class Harmless:
    """Standard error, on which nobody's text can act."""

    def __init__(self, stream: Any):
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write a text; where the cursor can move, its beginning may send it back."""
        rewind = REWIND.match(text) if self.stream.isatty() else None
        rest = COLOURS.sub("", text[rewind.end() :] if rewind else text)
        calm = visible(masked(rest.replace("\r\n", "\n").replace("\r", "\n")))
        self.stream.write((rewind[0] if rewind else "") + calm)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)


def refuse_other_bytes(words: list[str]) -> None:
    """Refuse what is not UTF-8: no table, card or recipe could name it."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"{word!a} is not UTF-8; rename what it names") from None


@contextlib.contextmanager
def _complaints_in_one_line() -> Iterator[None]:
    """Have what click says of a command line be one line, whatever the words of it are."""
    try:
        yield
    except click.ClickException as error:
        error.message = _line(error.message)  # type: ignore[misc]
        raise


def say(text: str) -> None:
    """Tell a person in a line how things go; standard output is kept for results."""
    click.echo(_line(text), err=True)


def give(text: str) -> None:
    """Print a result for people: one line or many."""
    click.echo(visible(masked(text)))


def give_json(value: Any) -> None:
    """Print a result for programs: one line of JSON, as it is."""
    click.echo(json_line(value))


def give_file(text: str) -> None:
    """Print what is to be written to a file, to the letter: a recipe or a script."""
    click.echo(text, nl=False)


def _line(text: str) -> str:
    """Make one line of a text that is not endless."""
    line = unbroken(masked(text))
    return (
        line
        if len(line) <= LONGEST
        else f"{line[: LONGEST - LONGEST_END]} ... {line[-LONGEST_END:]}"
    )
