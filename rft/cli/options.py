"""What several commands take: folders and files, times, settings, a round."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

HERE = click.Path(path_type=Path)


class Duration(click.ParamType[float]):
    """A time such as 20s, 90m or 3h."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read seconds."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value))
        if match is None:
            self.fail(f"{value!r} is not a time; write 20s, 90m or 3h", param, ctx)
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def set_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --set."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change one setting of the recipe, e.g. --set select.by=entropy.",
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
    return click.option(
        "--round", type=click.IntRange(0), help="The round; by default the next one not done."
    )(command)
