"""How commands speak and end: results on standard output, else standard error; exit codes.

All that is printed passes through here, and is made harmless here, whoever wrote it: what acts on a
terminal is escaped, keys and passwords are hidden, and a line of ours is one line. No message has
to think of it. Standard error is held to that whoever writes to it in this process, warnings, logs
and progress bars of libraries included; what they write to the file descriptor itself is not, but
on a terminal that of a run's stages is, whose words the driver passes on.

Colours come as data, `rft.styled`: pieces of text with names of styles. The codes of the terminal
are written here alone, around text that is escaped already, and only where it has colours.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from rft.errors import Interrupted, RFTError, explained
from rft.foreign_text import json_line, masked, one_line, unbroken, visible

if TYPE_CHECKING:
    from rft.styled import Styled

# A line that is longer is not read; its end says what to do.
LONGEST, LONGEST_END = 1_800, 600
# A progress bar may go back to the beginning of its line, and wipe it.
REWIND = re.compile(r"\r(\x1b\[K)?")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# Goes up so many lines, to what is to be written anew, and wipes all below.
UP = "\r\x1b[{}A\x1b[J"

# Names of styles as rich has them. Heat goes from light to dark, so that its order is seen without
# seeing colours, under black and white letters; by numbers, since a terminal's owner may change the
# first sixteen colours.
STYLES = {
    "right": "green",
    "wrong": "red",
    "other": "yellow",
    "faint": "dim",
    "marked": "underline",
    "heat-1": "color(16) on color(229)",
    "heat-2": "color(16) on color(222)",
    "heat-3": "color(16) on color(215)",
    "heat-4": "color(16) on color(208)",
    "heat-5": "color(16) on color(202)",
    "heat-6": "color(231) on color(124)",
}


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
            told = str(stopped).removeprefix("stopped ")
            message, code = f"Stopped: {told}. Run the same command again to go on.", 75
        except KeyboardInterrupt:  # commands that only read, and listen to nothing
            message, code = "Stopped: by SIGINT.", 75
        except Exception as error:
            faults = sys.modules.get("rft.parts.faults")  # there wherever a part may have been run
            reason = (faults and faults.fault_in(error)) or explained(error)
            if reason is None:
                raise
            message, code = f"Error: {reason}", 2
        say(message)
        return ctx.exit(code)


class Harmless:
    """Standard error, on which nobody's text can act; a live line of ours stays below all else."""

    def __init__(self, stream: Any):
        self.stream = stream
        self.live = ""
        self.within = False
        """Whether a line has begun and not ended, so that the live one has no place."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write a text; where the cursor can move, its beginning may send it back."""
        from rft.processes.progress import columns, is_live

        moves = is_live(self.stream)
        rewind = REWIND.match(text) if moves else None
        rest = COLOURS.sub("", text[rewind.end() :] if rewind else text)
        calm = visible(masked(rest.replace("\r\n", "\n").replace("\r", "\n")))
        if rewind and rewind[1] and not calm.endswith("\n"):
            drawn, self.live = self.live, one_line(calm, columns(self.stream) - 1) if calm else ""
            if not self.within and (drawn or self.live):
                self.stream.write(f"{rewind[0]}{self.live}")
            return len(text)
        wiped = "\r\x1b[K" if self.live and not self.within else ""
        if rewind:
            self.live = ""  # it is written over, by its last words or by somebody's bar
        self.stream.write(f"{wiped or (rewind[0] if rewind else '')}{calm}")
        self.within = not calm.endswith("\n") if calm else self.within
        if self.live and not self.within:
            self.stream.write(self.live)
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


def colours() -> int:
    """Count the colours of the terminal that results go to; 0 where it has none, or is none."""
    if not sys.stdout.isatty():
        return 0
    from rich.console import Console

    console = Console(file=sys.stdout)
    counts = {"standard": 16, "256": 256, "truecolor": 1 << 24}
    return 0 if console.no_color else counts.get(console.color_system or "", 0)


def give_styled(styled: "Styled") -> None:
    """Print a result for people, in colours where the terminal has any."""
    # Hiding a key shifts what comes after it, so that nobody knows any more which piece is where.
    if not colours() or masked(styled.text) != styled.text:
        give(styled.text)
        return
    from rich.console import Console
    from rich.text import Text

    text = Text()
    for piece, style in styled.pieces:
        text.append(visible(piece), " ".join(STYLES[name] for name in style.split()))
    Console(file=sys.stdout, highlight=False).print(text, soft_wrap=True)


def redraws() -> bool:
    """Say whether results go to a terminal where they can be written over."""
    from rft.processes.progress import is_live

    return is_live(sys.stdout)


def give_anew(text: str, before: int) -> int:
    """Print a result over the one before, which took so many lines; give those of this one."""
    from rich.console import Console
    from rich.text import Text

    from rft.processes.progress import columns

    width, height = columns(sys.stdout), os.get_terminal_size(sys.stdout.fileno()).lines
    console = Console(file=sys.stdout, width=width)
    lines = [
        part.plain.rstrip()
        for line in visible(masked(text)).split("\n")
        for part in Text(line).wrap(console, width - 1)
    ][: max(height, 2) - 1]
    click.echo((UP.format(before) if before else "") + "\n".join(lines))
    return len(lines)


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
