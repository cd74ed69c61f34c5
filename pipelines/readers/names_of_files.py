"""Files of this machine as an export names them: by their own name, without their folders."""

from pathlib import PurePath
from typing import Any

import polars as pl

from rft.recipe import Recipe


def named(place: str) -> str:
    """Give what follows the last folder of a path; what is no place of this machine is kept."""
    return PurePath(place).name if place.startswith("/") else place


def named_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Name the files that rows of problems come from."""
    if "source" not in frame.columns:
        return frame
    source = pl.col("source")
    name = source.str.split("/").list.last()
    return frame.with_columns(pl.when(source.str.starts_with("/")).then(name).otherwise(source))


def named_recipe(recipe: Recipe, *, exclude_none: bool = False) -> dict[str, Any]:
    """Write a recipe as plain data, with the files that it reads named.

    Whom the run told of itself is nobody's business: the command may hold an address.
    """
    recipe = recipe.model_copy(update={"notify": None})
    told = recipe.model_dump(mode="json", exclude_none=exclude_none)
    told["model"]["path"] = named(recipe.model.path)
    if recipe.engine.path is not None:
        told["engine"]["path"] = named(recipe.engine.path)
    if recipe.grade.verdicts is not None:
        told["grade"]["verdicts"] = named(recipe.grade.verdicts)
    return told | {"prepare": _named_sources(told["prepare"])}


def named_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """Name the files in a manifest: `prepare` has its sources among its settings."""
    settings = manifest.get("settings", {})
    if "prepare" not in settings:
        return manifest
    settings = settings | {"prepare": _named_sources(settings["prepare"])}
    return manifest | {"settings": settings}


def _named_sources(prepare: dict[str, Any]) -> dict[str, Any]:
    """Name the sources of each split, which is one source or name -> source."""

    def any_of(given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        if isinstance(given.get("source"), str):
            return given | {"source": named(given["source"])}
        return {name: any_of(each) for name, each in given.items()}

    return {key: any_of(given) for key, given in prepare.items()}
