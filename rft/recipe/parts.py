"""The recipe's `parts`: code of one's own, and what is noted of it so that runs can be read."""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from rft.recipe.section import Name, Open, Section

KindOfPart = Literal[
    "rules",
    "orders",
    "statistics",
    "verifiers",
    "readers",
    "templates",
    "engines",
    "plugins",
    "objectives",
    "arms",
]


def an_own_name(name: str) -> str:
    """Refuse what cannot name a row or a column everywhere where names stand."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name):
        raise ValueError("a name of one's own is of small letters, digits and _, 60 at most")
    return name


def a_file_name(name: str) -> str:
    """Refuse what is more than a name: of it, the place of the copy is made."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise ValueError("a part is named by letters, digits, _, . and -, 100 at most")
    return name


OwnName = Annotated[str, AfterValidator(an_own_name)]


class Told(Section):
    """What is known of something in a part without running it."""

    about: Name | None = None
    """What it says of itself."""
    column: Name | None = None
    """The column that an order reads."""
    made: bool = False
    """Whether an order makes that column itself."""
    traits: Open = Field(default_factory=dict)
    """What others ask about an engine."""


class Part(Section):
    """A file or a package with code of one's own, as it was when the recipe was read."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """What it is by content: of a package, by its name, version and Python files."""
    version: Name | None = None
    """The version of a package; null for a file."""
    defines: dict[KindOfPart, dict[OwnName, Told]] = Field(default_factory=dict)
    """What it brings, by kind and name."""


Parts = dict[Annotated[str, AfterValidator(a_file_name)], Part]


def brought(part: Part) -> list[str]:
    """List what a part brings, each with its kind."""
    one = {"readers": "gold reader", "plugins": "plug-in"}
    return [
        f"{one.get(kind, kind.removesuffix('s'))} {name}"
        for kind, rows in part.defines.items()
        for name in rows
    ]


def contents(parts: Parts, kind: KindOfPart, names: Iterable[str] | None = None) -> dict[str, Any]:
    """Give, for a stage's key, the content of the parts that bring these names, or any.

    Nothing where none does, so that the keys of runs without parts stay what they are.
    """
    wanted = None if names is None else set(names)
    used = {
        f"{kind} {name}": part.sha256
        for part in parts.values()
        for name in part.defines.get(kind, ())
        if wanted is None or name in wanted
    }
    return {"parts": dict(sorted(used.items()))} if used else {}
