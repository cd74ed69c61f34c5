"""A tiny comparison: two arms of the smoke recipe which differ in what is selected."""

from pathlib import Path

import yaml

from rft.runs.atomic import atomic_text
from tests.faults.campaign import SMALL

SECTION = {
    "seeds": [0, 1],
    "control": "rules",
    "arms": {"rules": {"select.by": "random"}, "entropy": {"select.by": "entropy"}},
}
# What makes its runs smaller yet.
SMALLER = [word for setting in SMALL for word in ("--set", setting)]


def write_recipe(folder: Path, **changes: object) -> str:
    """Write a recipe with arms, and what is changed of its section; give its path."""
    path = folder / "arms.yaml"
    recipe = {"extends": "smoke", "compare": {**SECTION, **changes}}
    atomic_text(path, yaml.safe_dump(recipe, sort_keys=False))
    return str(path)
