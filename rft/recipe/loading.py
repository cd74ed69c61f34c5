"""Recipes as files: found by name or path, extended once, overridden, and written back."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from rft.bundled import bundled
from rft.errors import RFTError
from rft.recipe import yaml12
from rft.recipe.complaints import Origin, Override, complaint, nearest, section_below, shown
from rft.recipe.recipe import Recipe

SUFFIXES = (".yaml", ".yml")


def recipe_names() -> list[str]:
    """List the bundled recipes."""
    return sorted(path.stem for path in bundled("configs").glob("*.yaml"))


def recipe_text(name: str) -> str:
    """Give a bundled recipe's source, comments and all."""
    return _find(name).read_text(encoding="utf-8")


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Load a bundled recipe (`smoke`) or a file, with `a.b=c` overrides, or say what is wrong."""
    path = _find(name_or_path)
    own = yaml12.read(path, name_or_path)
    base_name, base = _base(own, name_or_path, path)
    settings = _laid_over(base, own, Recipe)
    changes = [_override(text) for text in overrides]
    for change in changes:
        settings = _changed(settings, change.key, change)
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        origin = Origin(name_or_path, own, base_name, base, changes)
        raise RFTError(complaint(error, settings, origin)) from None


def dump(recipe: Recipe) -> str:
    """Write a resolved recipe as YAML that loads back equal."""
    return yaml12.write(recipe.model_dump(mode="json"))


def settings_differences(old: Recipe, new: Recipe) -> list[tuple[str, Any, Any]]:
    """List (dotted key, old value, new value) where two recipes differ; None where it is absent."""
    found = list(_differences(old.model_dump(mode="json"), new.model_dump(mode="json")))
    # Rules see each other's survivors, and plug-ins each other's advantages: their order is a
    # setting too.
    ordered = [("filter", old.filter, new.filter)]
    if old.grpo and new.grpo:
        ordered.append(("grpo.plugins", old.grpo.plugins, new.grpo.plugins))
    for key, before, after in ordered:
        if [name for name in before if name in after] != [name for name in after if name in before]:
            found.append((key, list(before), list(after)))
    return found


def not_yet(recipe: Recipe) -> list[str]:
    """List in one sentence each the settings that this release does not honour yet."""
    wanted = {
        f"prepare.decontaminate: {recipe.prepare.decontaminate} is not built yet; set off": (
            recipe.prepare.decontaminate != "off"
        ),
        "prepare.near_duplicates is not built yet; set null": recipe.prepare.near_duplicates,
        "select.diverse is not built yet; set false": recipe.select.diverse,
        "sft.launch is not built yet; set null": recipe.sft.launch,
        "stop is not built yet; set null": recipe.stop,
        "notify is not built yet; set null": recipe.notify,
    }
    return [sentence for sentence, asked in wanted.items() if asked]


def _find(name_or_path: str, folder: Path = Path()) -> Path:
    """Find a recipe: a path if it looks like one, else a bundled name."""
    names = recipe_names()
    if "/" not in name_or_path and not name_or_path.endswith(SUFFIXES):
        if name_or_path in names:
            return bundled("configs") / f"{name_or_path}.yaml"
        guess = nearest(name_or_path, names)
        advice = f'did you mean "{guess}"?' if guess else f"there are {', '.join(names)}"
        raise RFTError(f'no bundled recipe "{name_or_path}"; {advice} (a file ends in .yaml)')
    path = folder / name_or_path
    if path.is_file():
        return path
    if path.exists():
        raise RFTError(f"{name_or_path}: not a file; name a recipe such as {path / 'recipe.yaml'}")
    guess = nearest(path.stem, names)
    nearby = nearest(path.name, (file.name for file in path.parent.glob("*.y*ml")))
    advice = (
        f'did you mean "{path.with_name(nearby)}"?'
        if nearby
        else f'did you mean the bundled recipe "{guess}"?'
        if guess
        else f"bundled recipes are {', '.join(names)}"
    )
    raise RFTError(f"{name_or_path}: no such file; {advice}")


def _base(own: dict[str, Any], label: str, path: Path) -> tuple[str, dict[str, Any]]:
    """Read the recipe that this one extends, if it does."""
    if "extends" not in own:
        return "", {}
    name = own.pop("extends")
    if not isinstance(name, str):
        raise RFTError(f"{label}: extends is {shown(name)}; give a recipe's name or path")
    try:
        base = yaml12.read(_find(name, path.parent), name)
    except RFTError as error:
        raise RFTError(f"{label}: extends: {error}") from None
    if "extends" in base:
        raise RFTError(
            f"{label}: extends {name}, which itself extends {base['extends']}; one level is "
            f"allowed, so extend {base['extends']} and copy the settings of {name}"
        )
    return name, base


def _laid_over(
    base: Mapping[str, Any], own: Mapping[str, Any], section: type[BaseModel]
) -> dict[str, Any]:
    """Merge sections key by key; what is no section, rules and sources included, is replaced.

    A mapping whose keys the recipe chooses is one value: rules have an order, and names of a
    benchmark or argument could otherwise be added but never removed.
    """
    merged = dict(base)
    for key, value in own.items():
        below, old = section_below(section, key), merged.get(key)
        if below and isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _laid_over(old, value, below)
        merged[key] = value
    return merged


def _override(text: str) -> Override:
    """Read `a.b=c`, where c is YAML."""
    dotted, found, value = text.partition("=")
    key = tuple(dotted.strip().split("."))
    if not found or not all(key):
        raise RFTError(f"--set {text}: write a key, = and a value, such as --set sample.n=4")
    if key == ("extends",):
        raise RFTError(f"--set {text}: extends is for recipe files; name {value} as the recipe")
    meant = yaml12.parse(value, f"--set {text}")
    if meant is None and key[:-1] in (("filter",), ("grpo", "plugins")):
        above = ".".join(key[:-1])
        raise RFTError(
            f"--set {text}: nothing after {key[-1]} is {key[-1]} without parameters; write {{}} "
            f"for that, or give all of {above} without it, as in '{above}={{}}'"
        )
    return Override(text, key, meant)


def _changed(settings: Any, key: tuple[str, ...], change: Override) -> Any:
    """Copy settings with the value at a key replaced."""
    if not key:
        return change.value
    if settings is None:
        settings = {}
    if not isinstance(settings, Mapping):
        above = ".".join(change.key[: -len(key)])
        raise RFTError(
            f"--set {change.text}: {above} is {shown(settings)}, which has no keys; "
            f"set {above} itself"
        )
    return {**settings, key[0]: _changed(settings.get(key[0]), key[1:], change)}


def _differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*new, *(name for name in old if name not in new)]:
            below = f"{key}.{name}" if key else name
            if name in old and name in new:
                yield from _differences(old[name], new[name], below)
            else:
                yield below, old.get(name), new.get(name)
    elif old != new:
        yield key, old, new
