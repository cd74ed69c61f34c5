"""Recipes as files: looked up by name or path, extended once, overridden, and written back."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from rft.bundled import bundled
from rft.errors import RFTError, clipped, did_you_mean, nearest, shown, suggestion
from rft.recipe import yaml12
from rft.recipe.complaints import (
    WRITTEN_BY_0_1,
    Origin,
    Override,
    complaint,
    place_of,
    section_below,
)
from rft.recipe.prepare import Prepare, Source
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
    path = _find(name_or_path, or_run=True)
    changes = [*map(_override, overrides)]
    return _overridden(yaml12.read(path, name_or_path), name_or_path, path, changes)


def load_arms(name_or_path: str, overrides: Sequence[str] = ()) -> tuple[Recipe, dict[str, Recipe]]:
    """Load a recipe to compare, and the recipe of each of its arms, or say which cannot be."""
    whole = load_recipe(name_or_path, overrides)
    if whole.compare is None:
        raise RFTError(
            f"{name_or_path}: it has no section `compare`; `rft recipes table3-mini` shows one"
        )
    arms = {}
    for arm, changes in whole.compare.arms.items():
        try:
            arms[arm] = _arm(whole, name_or_path, overrides, changes)
            if arms[arm].prepare.test != whole.prepare.test:
                raise RFTError(
                    "it sets prepare.test, and arms are compared on the same test problems; set it "
                    "for all of them"
                )
        except RFTError as error:
            raise RFTError(f"compare.arms.{arm}: {error}") from None
    return whole, arms


def _arm(
    whole: Recipe, name_or_path: str, overrides: Sequence[str], changes: Mapping[str, Any]
) -> Recipe:
    """Lay an arm's settings over the recipe that it is an arm of."""
    path = _find(name_or_path)
    laid = [_override("compare=null")]
    for key, value in changes.items():
        there = section_below(Recipe, key) and getattr(whole, key)
        if there and isinstance(value, Mapping):
            first = next(iter(value), "KEY")
            raise RFTError(
                f"{key} is a section, all of which this would replace; write its keys with a dot, "
                f"such as {key}.{first}"
            )
        shown_as = f"{key}={json.dumps(value, ensure_ascii=False)}"
        laid.append(_checked(Override(shown_as, tuple(key.split(".")), value, "")))
    changed = [*map(_override, overrides), *laid]
    return _overridden(yaml12.read(path, name_or_path), name_or_path, path, changed)


def load_stored(folder: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load the recipe of a run folder, which an earlier version may have written."""
    path = folder / "recipe.yaml"
    settings = refuse_extending(path)
    for dotted, value in WRITTEN_BY_0_1.items():
        *above, key = dotted.split(".")
        section = settings.get(above[0]) if above else settings
        if isinstance(section, dict) and section.get(key, ...) == value:
            del section[key]
    return _overridden(settings, str(path), path, [*map(_override, overrides)])


def refuse_extending(path: Path) -> dict[str, Any]:
    """Read a recipe that we wrote down, whole: what it extended would be anyone's file."""
    settings = yaml12.read(path, str(path))
    if "extends" in settings:
        raise RFTError(
            f"{path}: it extends another file, and we write down whole what is gone by; put the "
            "settings of that file in its place, or begin in another folder"
        )
    return settings


def _overridden(own: dict[str, Any], label: str, path: Path, changes: list[Override]) -> Recipe:
    """Lay settings over those that they extend and overrides over both, and check the whole."""
    base_label, base = _base(own, label, path)
    settings = _laid_over(base, own, Recipe)
    for change in changes:
        settings = _changed(settings, change.key, change)
    origin = Origin(label, own, base_label, base, changes)
    if not settings.get("parts"):
        return _recipe_of({**settings, "parts": {}}, origin)
    from rft.parts.in_use import noted, settle

    named = next((each for each in reversed(changes) if each.key == ("parts",)), None)
    home = path if "parts" in own or not base else _find(base_label, path.parent)
    place = named.place if named else origin.place(("parts",))
    try:
        parts = noted(settings["parts"], Path() if named else home.parent, place)
        return _recipe_of({**settings, "parts": parts}, origin)
    finally:
        settle()


def _recipe_of(settings: dict[str, Any], origin: Origin) -> Recipe:
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        raise RFTError(complaint(error, settings, origin)) from None


def dump(recipe: Recipe) -> str:
    """Write a resolved recipe as YAML that loads back equal."""
    return yaml12.write(recipe.model_dump(mode="json"))


def settings_differences(old: Recipe, new: Recipe) -> list[tuple[str, Any, Any]]:
    """List (dotted key, old value, new value) where two recipes differ; None where it is absent."""
    differences = list(_differences(_with_contents(old), _with_contents(new)))
    # Rules see each other's survivors, and plug-ins each other's advantages: their order is a
    # setting too.
    ordered = [("filter", old.filter, new.filter)]
    if old.grpo and new.grpo:
        ordered.append(("grpo.plugins", old.grpo.plugins, new.grpo.plugins))
    for key, before, after in ordered:
        if [name for name in before if name in after] != [name for name in after if name in before]:
            differences.append((key, list(before), list(after)))
    return differences


def _with_contents(recipe: Recipe) -> dict[str, Any]:
    """Dump a recipe with its parts by content alone: what they bring follows from it."""
    told = recipe.model_dump(mode="json")
    return told | {"parts": {name: part.sha256[:12] for name, part in recipe.parts.items()}}


def rooted(recipe: Recipe) -> Recipe:
    """Make local paths absolute: what a run means must not depend on where it is called from."""
    changes: dict[str, Any] = {
        "model": recipe.model.model_copy(update={"path": _absolute(recipe.model.path)}),
        "prepare": recipe.prepare.model_copy(update=_rooted_sources(recipe.prepare)),
    }
    if recipe.engine.path is not None:
        path = _absolute(recipe.engine.path)
        changes["engine"] = recipe.engine.model_copy(update={"path": path})
    if recipe.grade.verdicts is not None:  # the first run makes it
        path = str(Path(recipe.grade.verdicts).resolve())
        changes["grade"] = recipe.grade.model_copy(update={"verdicts": path})
    return recipe.model_copy(update=changes)


def _find(name_or_path: str, folder: Path = Path(), *, or_run: bool = False) -> Path:
    """Find a recipe: a path if it looks like one, else a bundled name.

    Where a run could be named as well, what has no recipe's suffix is taken for one.
    """
    names = recipe_names()
    if any(not character.isprintable() for character in name_or_path):
        raise RFTError(f"{clipped(ascii(name_or_path))}: no recipe is called so; mend the name")
    if "/" not in name_or_path and not name_or_path.endswith(SUFFIXES):
        if name_or_path in names:
            return bundled("configs") / f"{name_or_path}.yaml"
        advice = suggestion(name_or_path, names, otherwise=f"there are {', '.join(names)}")
        raise RFTError(f"no bundled recipe {shown(name_or_path)}; {advice} (a file ends in .yaml)")
    path = folder / name_or_path
    if path.is_file():
        return path
    if path.exists():
        raise RFTError(f"{name_or_path}: not a file; name a recipe such as {path / 'recipe.yaml'}")
    if nearby := nearest(path.name, (file.name for file in path.parent.glob("*.y*ml"))):
        advice = did_you_mean(str(path.with_name(nearby)))
    elif or_run and path.suffix not in SUFFIXES:
        raise RFTError(
            f"{name_or_path}: no such run folder; begin it with `rft run RECIPE --out "
            f"{shlex.quote(name_or_path)}`"
        )
    else:
        others = f"bundled recipes are {', '.join(names)}"
        advice = suggestion(path.stem, names, kind="the bundled recipe ", otherwise=others)
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
        further = clipped(str(base["extends"]))
        raise RFTError(
            f"{label}: extends {name}, which itself extends {further}; one level is allowed, "
            f"so extend that one and copy the settings of {name}"
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
    place = place_of(text)
    dotted, equals, value = text.partition("=")
    key = tuple(dotted.strip().split("."))
    if not equals or not all(key):
        raise RFTError(f"{place}: write a key, = and a value, such as --set sample.n=4")
    if key == ("extends",):
        raise RFTError(f"{place}: extends is for recipe files; name {clipped(value)} as the recipe")
    return _checked(Override(text, key, yaml12.parse(value, place)))


def _checked(change: Override) -> Override:
    """Refuse a key that can be none, and nothing where it would mean something else."""
    place, key = change.place, change.key
    if not all(key):
        raise RFTError(f"{place}: a dot without a key on both sides; write it as in sample.n")
    for name, seen in (("levels", len(key)), ("key", max(map(len, key)))):
        if seen > yaml12.LIMITS[name]:
            raise RFTError(f"{place}: no key is as long as this one; mend it")
    if change.value is None and key[:-1] in (("filter",), ("grpo", "plugins")):
        above = ".".join(key[:-1])
        raise RFTError(
            f"{place}: nothing after {key[-1]} is {key[-1]} without parameters; write {{}} "
            f"for that, or give all of {above} without it, as in '{above}={{}}'"
        )
    return change


def _changed(settings: Any, key: tuple[str, ...], change: Override) -> Any:
    """Copy settings with the value at a key replaced."""
    if not key:
        return change.value
    if settings is None:
        settings = {}
    if not isinstance(settings, Mapping):
        above = ".".join(change.key[: -len(key)])
        raise RFTError(
            f"{change.place}: {above} is {shown(settings)}, which has no keys; set {above} itself"
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


def _absolute(place: str) -> str:
    """Make a path absolute if it is one, keeping the number of RUN@2."""
    path, at, number = place.partition("@")
    return f"{Path(path).resolve()}{at}{number}" if Path(path).exists() else place


def _rooted_sources(prepare: Prepare) -> dict[str, Any]:
    """Make the paths of all sources absolute."""

    def one(source: Any) -> Any:
        if not isinstance(source, Source):
            return source
        return source.model_copy(update={"source": _absolute(source.source)})

    def any_of(given: Any) -> Any:
        return {k: one(v) for k, v in given.items()} if isinstance(given, dict) else one(given)

    how = prepare.decontaminate
    against = {"against": any_of(how.against)}
    changes = {split: any_of(getattr(prepare, split)) for split in ("train", "dev", "test")}
    return changes | {"decontaminate": how.model_copy(update=against)}
