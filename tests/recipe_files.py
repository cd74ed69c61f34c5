"""Recipes as tests write them: the smallest one, and how a refused one is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from rft.errors import RFTError
from rft.recipe.loading import load_recipe

MINIMAL: dict[str, Any] = {
    "model": {"path": "some/model"},
    "prepare": {"train": {"source": "train.jsonl"}, "test": {"source": "test.jsonl"}},
    "sample": {"problems": 10, "n": 4, "max_tokens": 64},
    "filter": {"no_box": {}},
    "select": {"by": "entropy", "budget": 10},
    "sft": {"learning_rate": 1e-4, "max_length": 128},
    "evaluate": {"n": 4, "k": [1, 4], "max_tokens": 64},
}


def refusal(*overrides: str, recipe: str = "quickstart") -> str:
    """Give the one line with which a recipe is refused."""
    with pytest.raises(RFTError) as caught:
        load_recipe(recipe, overrides)
    text = str(caught.value)
    assert "\n" not in text
    for leak in ("pydantic", "Traceback", "validation error", "Input should", "Value error"):
        assert leak not in text
    return text


def written(folder: Path, text: str, name: str = "mine.yaml") -> str:
    """Write a recipe and give its path."""
    (folder / name).write_text(text)
    return str(folder / name)


def minimal(folder: Path, **changes: Any) -> str:
    """Write the smallest recipe, with some top-level keys replaced."""
    return written(folder, json.dumps(MINIMAL | changes, indent=1))
