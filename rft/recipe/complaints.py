"""What is wrong with a recipe, in one line: where, which key, the value seen, what to do."""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from rft.errors import clipped, did_you_mean, nearest, shown
from rft.recipe.recipe import Recipe

# pydantic's words -> those of people who write YAML.
WORDS = {
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "valid integer": "whole number",
    "valid number": "number",
    "valid string": "text",
    "valid boolean": "true or false",
    "a true": "true",
    "valid dictionary": "mapping",
    "valid tuple": "list",
    " after validation": "",
}


# 0.1 wrote these keys, which nothing read, into every run folder, and took no other values.
# Without them a run folder of 0.1 is one of ours; who has them in a recipe is told to remove them.
WRITTEN_BY_0_1 = {
    "sft.launch": None,
}


@dataclass(frozen=True)
class Override:
    """One `--set a.b=c`, or a setting of an arm."""

    text: str
    key: tuple[str, ...]
    value: Any
    option: str = "--set "

    @property
    def dotted(self) -> str:
        """Give the key as it was typed."""
        return ".".join(self.key)

    @property
    def place(self) -> str:
        """Name it as the place of a mistake."""
        return place_of(self.text, self.option)


def place_of(override: str, option: str = "--set ") -> str:
    """Name an override as the place of a mistake, and not all of a long one."""
    one_line = override[:100].replace("\n", "\\n")
    return f"{option}{clipped(one_line + override[100:], 100)}"


@dataclass(frozen=True)
class Origin:
    """Where the settings came from, to name the place that a person has to change."""

    label: str
    own: Mapping[str, Any]
    base_label: str
    base: Mapping[str, Any]
    overrides: Sequence[Override]

    def place(self, path: Sequence[str]) -> str:
        """Name the file or the override that holds a key."""
        dotted = ".".join(path)
        for override in reversed(self.overrides):
            if dotted == override.dotted or dotted.startswith(f"{override.dotted}."):
                return override.place
        file = self.label
        if self.base_label and path and not _holds(self.own, path) and _holds(self.base, path):
            file = self.base_label
        within = [
            override.place
            for override in self.overrides
            if not path or override.dotted.startswith(f"{dotted}.")
        ]
        more = [f"and {len(within) - 5} more"] if len(within) > 5 else []
        return f"{file} with {' '.join(within[:5] + more)}" if within else file


def complaint(error: ValidationError, settings: Mapping[str, Any], origin: Origin) -> str:
    """Tell the first problem, unknown keys before all else, and how many more there are."""
    problems: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        problems.setdefault(_path(detail, settings), []).append(detail)
    unknown = [path for path, (first, *_) in problems.items() if first["type"] == "extra_forbidden"]
    # A misspelled key is also a missing one; that is one mistake.
    others = [
        path
        for path, (first, *_) in problems.items()
        if path not in unknown and not (unknown and first["type"] == "missing")
    ]
    gone = [path for path in unknown if ".".join(path) in WRITTEN_BY_0_1]
    if gone:
        names = ", ".join(f'"{".".join(path)}"' for path in gone)
        keys, them = ("key", "it") if len(gone) == 1 else ("keys", "them")
        return (
            f"{origin.place(gone[0])}: unknown {keys} {names}, which version 0.1 had and did "
            f"nothing with; remove {them}"
        )
    path, *more = unknown + others
    if path in unknown:
        path, text = _unknown(path, settings)
    else:
        text = _sentence(path, problems[path])
    rest = f" (and {len(more)} more)" if more else ""
    return f"{origin.place(path)}: {text}{rest}"


def _path(detail: ErrorDetails, settings: Any) -> tuple[str, ...]:
    """Follow a problem's location through the settings, past the names that only pydantic uses."""
    path: list[str] = []
    below = settings
    for part in detail["loc"]:
        if isinstance(below, Mapping) and part in below:
            below = below[str(part)]
        elif isinstance(below, (list, tuple)) and isinstance(part, int) and part < len(below):
            below = below[part]
        elif detail["type"] != "missing" or part != detail["loc"][-1] or isinstance(part, int):
            continue
        path.append(str(part))
    return tuple(path)


def _holds(settings: Any, path: Sequence[str]) -> bool:
    for part in path:
        if isinstance(settings, list):
            return True
        if not isinstance(settings, Mapping) or part not in settings:
            return False
        settings = settings[part]
    return True


def _sentence(path: Sequence[str], details: Sequence[ErrorDetails]) -> str:
    """Say what is wrong with the value at a key."""
    key, first = ".".join(path), details[0]
    if first["type"] == "missing" and isinstance(first["loc"][-1], int):
        return f"{key} is {shown(first['input'])}, which is too short a list"
    if first["type"] == "missing":
        return f"{key} is missing; add it (`rft recipes quickstart` shows every key)"
    if first["type"] == "value_error":
        reason = str(first["ctx"]["error"])
        return f"{key}: {reason}" if key else reason
    if first["type"] in ("model_type", "dict_type"):
        return f"{key} is {shown(first['input'])}, and should be a mapping `key: value`"
    # Of the alternatives of a union, each says what it expects.
    wanted = [detail["msg"].partition(" should ")[2] for detail in details]
    alternatives = " or ".join(dict.fromkeys(wanted)).replace(" or be ", " or ")
    for theirs, ours in WORDS.items():
        alternatives = alternatives.replace(theirs, ours)
    return f"{key} is {shown(first['input'])}, and should {alternatives}"


def _unknown(path: tuple[str, ...], settings: Any) -> tuple[tuple[str, ...], str]:
    """Name an unknown key, as deep as it is misspelled, and the key that was probably meant."""
    value = settings
    for part in path:
        value = value[int(part)] if isinstance(value, list) else value[part]
    deeper = (next(iter(value)),) if isinstance(value, Mapping) and value else ()
    known = list(dict.fromkeys(_dotted_keys(Recipe)))
    *above, word = path
    dotted = clipped(".".join(path), 300)
    siblings = [name for name in _siblings(path) if name != word]
    guess = nearest(word, siblings)
    if guess:
        meant = ".".join([*above, guess, *deeper])
        if meant in known:
            deep = (*path, *deeper)
            return deep, f'unknown key "{".".join(deep)}"; {did_you_mean(meant)}'
        return path, f'unknown key "{dotted}"; {did_you_mean(".".join([*above, guess]))}'
    used = [key for key in known if key != dotted and not _left_out(key, settings)]
    elsewhere = [key for key in used if key.rpartition(".")[2] == word]
    close = nearest(dotted, used)
    if elsewhere or close:
        return path, f'unknown key "{dotted}"; {did_you_mean(*(elsewhere or [str(close)]))}'
    return path, f'unknown key "{dotted}"; the keys here are {", ".join(siblings)}'


def _left_out(key: str, settings: Any) -> bool:
    """Say whether a key is of a section that is nothing by default, and that nobody asked for."""
    top, dot, _ = key.partition(".")
    optional = bool(dot) and Recipe.model_fields[top].default is None
    return optional and settings.get(top) is None


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """Find the sections that an annotation allows, within unions and mappings as well."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections(part)]


def section_below(section: type[BaseModel], key: str) -> type[BaseModel] | None:
    """Give the section that a key holds, if that is all it can hold (or null)."""
    field = section.model_fields.get(key)
    kind = field.annotation if field else None
    if get_origin(kind) in (Union, types.UnionType):
        kinds = [part for part in get_args(kind) if part is not types.NoneType]
        kind = kinds[0] if len(kinds) == 1 else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _dotted_keys(section: type[BaseModel], above: str = "") -> Iterator[str]:
    """List every key of the schema, dotted."""
    for name, field in section.model_fields.items():
        yield f"{above}{name}"
        for below in _sections(field.annotation):
            yield from _dotted_keys(below, f"{above}{name}.")


def _siblings(path: Sequence[str]) -> list[str]:
    """List the keys that could stand where the last part of a path stands."""
    sections: list[type[BaseModel]] = [Recipe]
    for part in path[:-1]:
        fields = [
            section.model_fields[part] for section in sections if part in section.model_fields
        ]
        # A name that the recipe chose, such as a benchmark's, leads to no other section.
        if fields:
            sections = [below for field in fields for below in _sections(field.annotation)]
    return list(dict.fromkeys(name for section in sections for name in section.model_fields))
