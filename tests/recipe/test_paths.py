"""A run means the same from every folder: local paths are made absolute when it is begun."""

import shutil
from pathlib import Path

from rft.bundled import bundled
from rft.recipe.loading import dump, load_recipe
from rft.recipe.paths import rooted


def test_paths_that_are_there_become_absolute_and_names_stay(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bundled("data") / "tiny", tmp_path / "model")
    (tmp_path / "train.jsonl").write_text("{}\n")
    settings = [
        "model.path=model@2",
        "prepare.train={mine: {source: ./train.jsonl}, other: {source: hub:a/b, split: train}}",
        "prepare.dev={holdout: 4}",
    ]
    recipe = rooted(load_recipe("smoke", settings))
    assert recipe.model.path == f"{tmp_path}/model@2"
    train = recipe.prepare.benchmarks("train")
    assert train["mine"].source == f"{tmp_path}/train.jsonl"
    assert train["other"].source == "hub:a/b"
    assert recipe.prepare.benchmarks("test")["test"].source == "bundled:arithmetic"
    assert recipe.prepare.holdout == 4
    (tmp_path / "again.yaml").write_text(dump(recipe))
    assert load_recipe(str(tmp_path / "again.yaml")) == recipe
    monkeypatch.chdir("/")
    assert rooted(recipe) == recipe
