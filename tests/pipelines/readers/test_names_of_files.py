"""An export names files, and not the folders of the machine that it was made on.

Run: python -m pytest tests/pipelines/readers/test_names_of_files.py
"""

import polars as pl
import pytest

from pipelines.readers.names_of_files import named, named_manifest, named_recipe, named_rows
from rft.recipe.loading import load_recipe
from rft.runs.records import sealed


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("/home/alice/own.jsonl", "own.jsonl"),
        ("/home/alice/runs/own@2", "own@2"),
        ("hub:org/name", "hub:org/name"),
        ("org/name", "org/name"),
        ("bundled:steps", "bundled:steps"),
        ("https://example.org/a/b.jsonl", "https://example.org/a/b.jsonl"),
    ],
)
def test_a_path_of_this_machine_is_a_name_and_all_else_is_kept(place, name):
    assert named(place) == name
    assert named_rows(pl.DataFrame({"source": [place, None]}))["source"].to_list() == [name, None]


@pytest.mark.parametrize("many", [False, True])
def test_a_manifest_names_its_sources_and_changes_in_nothing_else(many):
    def made(place):
        source = {"source": place, "split": None, "columns": {"gold": "/answer"}}
        prepare = {"train": {"one": source} if many else source, "dev": {"holdout": 3}}
        prepare |= {"test": None, "refresh": "never"}
        return {"stage": "prepare", "settings": {"prepare": prepare, "prompt": {"system": "/no"}}}

    given = made("/home/alice/own.jsonl")
    assert named_manifest(given) == made("own.jsonl")
    assert given == made("/home/alice/own.jsonl"), "what was given is as it was"
    assert sealed(named_manifest(given)) == sealed(made("own.jsonl"))
    other = {"stage": "sft", "settings": {"sft": {"epochs": 1}}}
    assert named_manifest(other) == other


def test_a_recipe_names_its_file_of_verdicts():
    recipe = load_recipe("smoke", ["grade.verdicts=/home/alice/verdicts.parquet"])
    assert named_recipe(recipe)["grade"]["verdicts"] == "verdicts.parquet"
