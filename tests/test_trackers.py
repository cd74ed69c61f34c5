"""A run has one name in every tracker, its trainings lie beside it, and what is missing is told.

Run: python -m pytest tests/test_trackers.py
"""

import os
import shutil

import pytest

from rft.errors import RFTError
from rft.trackers import (
    INSTALLED_BY,
    WRITERS,
    folder_of,
    for_trainer,
    missing,
    name_of,
    place_of,
    refuse_missing_tracker,
)
from tests.command import rft_here
from tests.small_run import new_run


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Let no test see or leave variables that trackers read."""
    for name in [*os.environ]:
        if name.startswith(("WANDB_", "TRACKIO_", "TENSORBOARD_")):
            monkeypatch.delenv(name)
    yield
    for name in [*os.environ]:
        if name.startswith(("WANDB_", "TRACKIO_", "TENSORBOARD_")):
            del os.environ[name]


def begun(path):
    run = new_run(path)
    run.event("recipe", new=True)
    return run.path


def test_a_name_is_of_the_folder_and_of_its_beginning_and_moves_with_the_run(tmp_path):
    first, second = begun(tmp_path / "a" / "my run"), begun(tmp_path / "b" / "my run")
    name = name_of(first)
    assert name.startswith("my-run-")
    assert name_of(second) != name
    assert name_of(first) == name
    moved = shutil.move(first, tmp_path / "c")
    assert name_of(moved) == name


@pytest.mark.parametrize("folder", ["ünï\x1b[31m;$(id)", "x" * 200, "%s {0}"])
def test_a_name_has_only_what_every_tracker_takes(tmp_path, folder):
    name = name_of(begun(tmp_path / folder))
    assert name.isascii()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-._")
    assert len(name) <= 47


def test_every_tracker_of_a_recipe_has_a_writer_and_a_way_to_install_it():
    assert WRITERS.keys() == INSTALLED_BY.keys() == {"trackio", "wandb", "tensorboard"}
    assert missing("none") is None


def test_a_tracker_that_is_not_installed_is_refused_by_name(monkeypatch, tmp_path):
    monkeypatch.setattr("rft.trackers.find_spec", lambda _: None)
    with pytest.raises(
        RFTError, match=r"track: trackio is not installed; pip install 'rft-rounds\[t"
    ):
        refuse_missing_tracker("trackio")
    out = tmp_path / "run"
    said = rft_here("run", "smoke", "--out", out, "--set", "track=wandb", code=2)
    assert said == "Error: track: wandb is not installed; pip install wandb, or set track: none\n"
    assert not out.exists()


def test_a_folder_of_its_name_is_no_tracker(monkeypatch, tmp_path):
    (tmp_path / "tensorboard").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert missing("tensorboard") is not None


def test_a_training_lies_in_the_project_of_its_run_with_its_name_in_front(tmp_path, monkeypatch):
    run = begun(tmp_path / "run")
    name = name_of(run)
    told = {"project": "rft", "run_name": f"{name}-sft-1-abc"}
    assert for_trainer(run, "none", "sft-1-abc") == {"report_to": "none"}
    assert for_trainer(run, "trackio", "sft-1-abc") == told | {"report_to": "trackio"}
    assert for_trainer(run, "wandb", "sft-1-abc") == told | {"report_to": "wandb"}
    assert os.environ["WANDB_PROJECT"] == "rft"
    assert os.environ["WANDB_RUN_GROUP"] == name
    assert (os.environ["WANDB_RUN_ID"], os.environ["WANDB_RESUME"]) == (told["run_name"], "allow")
    assert for_trainer(run, "tensorboard", "sft-1-abc") == told | {"report_to": "tensorboard"}
    assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(folder_of(run) / "sft-1-abc")
    monkeypatch.setenv("TRACKIO_PROJECT", "mine")
    assert for_trainer(run, "trackio", "sft-1-abc")["project"] == "mine"
    assert place_of(run, "trackio").project == "mine"
