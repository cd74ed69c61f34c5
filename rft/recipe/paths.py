"""Local paths of a recipe, made absolute: a run must not depend on where it is called from."""

from pathlib import Path
from typing import Any

from rft.recipe.prepare import Prepare, Source
from rft.recipe.recipe import Recipe


def rooted(recipe: Recipe) -> Recipe:
    """Make every local path of the recipe absolute that is there."""
    changes: dict[str, Any] = {
        "model": recipe.model.model_copy(update={"path": absolute(recipe.model.path)}),
        "prepare": recipe.prepare.model_copy(update=sources(recipe.prepare)),
    }
    if recipe.engine.path is not None:
        path = absolute(recipe.engine.path)
        changes["engine"] = recipe.engine.model_copy(update={"path": path})
    return recipe.model_copy(update=changes)


def absolute(place: str) -> str:
    """Make a path absolute if it is one, keeping the number of RUN@2."""
    path, at, number = place.partition("@")
    return f"{Path(path).resolve()}{at}{number}" if Path(path).exists() else place


def sources(prepare: Prepare) -> dict[str, Any]:
    """Make the paths of all sources absolute."""

    def one(source: Any) -> Any:
        if not isinstance(source, Source):
            return source
        return source.model_copy(update={"source": absolute(source.source)})

    def any_of(given: Any) -> Any:
        return {k: one(v) for k, v in given.items()} if isinstance(given, dict) else one(given)

    return {split: any_of(getattr(prepare, split)) for split in ("train", "dev", "test")}
