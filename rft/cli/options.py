"""What several commands take: folders and files, times, settings, a round."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rft.errors import clipped

HERE = click.Path(path_type=Path)
# No process runs for longer, and no timer waits for ever.
LONGEST_TIME = 366 * 86400
# As many as a recipe may have.
ROUND = click.IntRange(0, 9_999)


class Duration(click.ParamType[float]):
    """A time such as 20s, 90m or 3h."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read seconds."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)([smhd]?)", str(value))
        if match is None:
            self.fail(f"{clipped(ascii(value))} is not a time; write 20s, 90m or 3h", param, ctx)
        seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
        if seconds > LONGEST_TIME:
            self.fail(f"{value} is more than a year; write a shorter time", param, ctx)
        return seconds


def as_override(key: str, value: Any) -> str:
    """Write a setting as --set takes it, whatever the value looks like to YAML."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def set_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --set."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change one setting of the recipe, e.g. --set select.by=entropy.",
    )(command)


def parts_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --parts."""
    return click.option(
        "--parts",
        multiple=True,
        metavar="FILE.py|PACKAGE",
        help="Rules, orders, verifiers ... of your own; in place of the recipe's `parts`.",
    )(command)


def with_parts(overrides: tuple[str, ...], parts: tuple[str, ...]) -> tuple[str, ...]:
    """Add what --parts names to the settings."""
    return (*overrides, as_override("parts", parts)) if parts else overrides


def trust_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --trust-parts, which holds for the whole command."""

    def allowed(_ctx: click.Context, _option: click.Parameter, value: bool) -> None:
        from rft.cli.terminal import say
        from rft.parts import trust

        if value:
            trust.allow(say)

    return click.option(
        "--trust-parts",
        is_flag=True,
        expose_value=False,
        callback=allowed,
        help="Run the Python code that came with the folder, once you have read it.",
    )(command)


def grace_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --grace."""
    return click.option(
        "--grace",
        type=Duration(),
        default="20s",
        show_default=True,
        help="How long winding down after a signal may take.",
    )(command)


def round_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --round."""
    return click.option("--round", type=ROUND, help="The round; by default the next one not done.")(
        command
    )


megabytes_option = click.option(
    "--max-mb",
    type=click.FloatRange(2, 1_000),
    default=20,
    show_default=True,
    help="MiB of a page, which holds as many rollouts as fit.",
)
