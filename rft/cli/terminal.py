"""How commands speak and end: results on standard output, else standard error; exit codes."""

import os
import sys
from typing import Any

import click

from rft.errors import Interrupted, RFTError, explained, readable


class Commands(click.Group):
    """Turn what a person can mend into one line and exit code 2, and lost work into 75."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Keep the commands in the order in which they are listed; click would sort them."""
        return list(self.commands)

    def make_context(self, *words: Any, **more: Any) -> click.Context:
        """Read the words before the command, and repeat a wrong one no longer than can be read."""
        try:
            refuse_other_bytes(words[1])
            return super().make_context(*words, **more)
        except click.ClickException as error:
            error.message = readable(error.message)  # type: ignore[misc]
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and translate the ways in which it ends."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # whoever reads us has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ctx.exit(0)
        except click.ClickException as error:
            error.message = readable(error.message)  # type: ignore[misc]
            raise
        except RFTError as error:
            message, code = f"Error: {readable(str(error))}", 2
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
        click.echo(message, err=True)
        return ctx.exit(code)


def refuse_other_bytes(words: list[str]) -> None:
    """Refuse what is not UTF-8: no table, card or recipe could name it."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"{word!a} is not UTF-8; rename what it names") from None


def say(text: str) -> None:
    """Tell a person how things go; standard output is kept for results."""
    click.echo(text, err=True)
