"""Pins that online training goes on from its last whole checkpoint, to the same weights.

Run: python -m pytest tests/training/test_checkpoints.py
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

from pipelines import grpo as stage
from rft.errors import Interrupted, RFTError
from rft.exploration.plugin import Plugin
from rft.processes.stopping import Stop
from rft.training.checkpoints import (
    COMPLETE,
    by_step,
    checksums,
    last_checkpoint,
    mark_whole,
)
from tests.flushes import flushes
from tests.grpo_training import AT_WORK, Grads, learn, recipe_for, trainer_for, weights_of


def test_training_goes_on_from_a_checkpoint_to_the_same_weights(tmp_path):
    plugins = {"clip_cov": AT_WORK["clip_cov"], "entropy_gate": {"high": 0.6, "low": 0.5}}
    settings = {"steps": 4, "updates": 2, "save_every": 2}
    whole = learn(tmp_path / "whole", plugins, **settings)

    recipe = recipe_for(plugins, **settings)
    stop = Stop()
    first = trainer_for(recipe, tmp_path / "parts", stop=stop)
    end_after(first, 2, stop)
    with pytest.raises(Interrupted, match="after step 2 of 4"):
        stage.train(first, first.prompts, tmp_path / "model", stop, dtype="float32")
    journal = tmp_path / "parts" / "dynamics.jsonl"
    journal.write_text(journal.read_text() + '{"step": 3}\n')
    second = trainer_for(recipe, tmp_path / "parts")
    (tmp_path / "model").mkdir()
    grads = Grads()
    second.add_callback(grads)
    stage.train(second, second.prompts, tmp_path / "model", Stop(), dtype="float32")
    assert torch.equal(weights_of(second), whole.weights)
    assert timeless(second.dynamics.rows) == timeless(whole.rows)
    assert len(grads.seen) == 4, "two steps of two updates were left"
    assert [json.loads(line)["step"] for line in journal.read_text().splitlines()] == [1, 2, 3, 4]
    assert checkpoints(tmp_path / "parts") == ["checkpoint-4", "checkpoint-8"]


def checkpoints(folder):
    """Name the checkpoints of a training."""
    return [path.name for path in by_step(folder / "checkpoints")]


def end_after(trainer, step, stop):
    """Ask for a stop in the middle of the given step: it ends between two steps all the same."""
    inner = trainer.training_step

    def training_step(*args, **kwargs):
        if trainer.step == step:
            stop.since, stop.reason = 0.0, "a test"
        return inner(*args, **kwargs)

    trainer.training_step = training_step


def timeless(rows):
    """Leave out what depends on the clock."""
    return [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in rows]


class Broken(Plugin):
    """Break the loss of the second step."""

    name = "broken"

    def weight(self, tokens):
        return torch.full_like(tokens.entropies, torch.nan)


def test_a_loss_that_is_not_finite_ends_the_training_and_is_not_saved(tmp_path):
    recipe = recipe_for(steps=4, save_every=1)
    trainer = trainer_for(recipe, tmp_path, hooks=[Broken(start=1)])
    (tmp_path / "model").mkdir()
    with pytest.raises(RFTError, match="not finite after 2 optimizer steps; lower grpo"):
        stage.train(trainer, trainer.prompts, tmp_path / "model", Stop(), dtype="float32")
    assert checkpoints(tmp_path) == ["checkpoint-1"]
    assert [row["step"] for row in trainer.dynamics.rows] == [1]
    assert not any((tmp_path / "model").iterdir())


def test_the_last_checkpoint_is_the_last_whole_one(tmp_path):
    for step in (8, 10, 12):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (8, 10):
        mark_whole(tmp_path / f"checkpoint-{step}")
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-8", "checkpoint-10"}


def test_a_checkpoint_is_on_the_disk_before_its_mark(tmp_path, monkeypatch):
    (tmp_path / "optimizer.pt").write_text("state")
    flushed = flushes(monkeypatch)
    mark_whole(tmp_path)
    assert flushed == [(tmp_path / name).stat().st_ino for name in ("optimizer.pt", COMPLETE)]


def test_a_reset_reference_survives_a_kill(tmp_path):
    plugins = {"reference_reset": {"every": 2}}
    settings = {"steps": 4, "beta": 0.1, "save_every": 3}
    whole = learn(tmp_path / "whole", plugins, **settings)
    recipe = recipe_for(plugins, **settings)
    stop = Stop()
    first = trainer_for(recipe, tmp_path / "parts", stop=stop)
    end_after(first, 3, stop)
    with pytest.raises(Interrupted):
        stage.train(first, first.prompts, tmp_path / "model", stop, dtype="float32")
    second = trainer_for(recipe, tmp_path / "parts")
    (tmp_path / "model").mkdir()
    stage.train(second, second.prompts, tmp_path / "model", Stop(), dtype="float32")
    assert torch.equal(weights_of(second), whole.weights)


# Damage -------------------------------------------------------------------------------------------

FILES = (
    *("model.safetensors", "config.json", "optimizer.pt", "scheduler.pt", "rng_state.pth"),
    *("trainer_state.json", "rft-state.pt", COMPLETE),
)
PLUGINS = {"entropy_gate": {"high": 0.6, "low": 0.5}}
STEPS = {"steps": 3, "save_every": 1}


@pytest.fixture(scope="module")
def left_after_two_steps(tmp_path_factory):
    """Train two steps of three, each with its checkpoint; and all three, undisturbed."""
    folder = tmp_path_factory.mktemp("left")
    whole = learn(folder / "whole", PLUGINS, **STEPS)
    stop = Stop()
    first = trainer_for(recipe_for(PLUGINS, **STEPS), folder / "parts", stop=stop)
    end_after(first, 2, stop)
    with pytest.raises(Interrupted, match="after step 2 of 3"):
        stage.train(first, first.prompts, folder / "model", stop, dtype="float32")
    assert checkpoints(folder / "parts") == ["checkpoint-1", "checkpoint-2"]
    return folder / "parts", whole


def resume(folder: Path, whole) -> tuple[list[str], int]:
    """Go on, hold what is learnt against the undisturbed, and give what is said and repeated."""
    said, grads = [], Grads()
    trainer = trainer_for(recipe_for(PLUGINS, **STEPS), folder)
    trainer.say = said.append
    trainer.add_callback(grads)
    (folder / "model").mkdir()
    stage.train(trainer, trainer.prompts, folder / "model", Stop(), dtype="float32")
    assert torch.equal(weights_of(trainer), whole.weights)
    assert timeless(trainer.dynamics.rows) == timeless(whole.rows)
    journal = (folder / "dynamics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in journal] == [1, 2, 3]
    return said, len(grads.seen)


def flip(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(whole)


@pytest.mark.parametrize("name", FILES)
def test_a_checkpoint_with_a_flipped_file_is_noticed_and_the_one_before_gone_on_from(
    left_after_two_steps, tmp_path, name
):
    left, whole = left_after_two_steps
    shutil.copytree(left, tmp_path / "parts")
    flip(tmp_path / "parts/checkpoints/checkpoint-2" / name)
    said, steps = resume(tmp_path / "parts", whole)
    assert steps == 2, "step 1 was left"
    (line,) = said
    assert "checkpoint-2: " in line
    assert name in line
    assert "the checkpoint before it is looked at" in line


def test_damage_to_every_checkpoint_begins_the_training_anew(left_after_two_steps, tmp_path):
    left, whole = left_after_two_steps
    shutil.copytree(left, tmp_path / "parts")
    (tmp_path / "parts/checkpoints/checkpoint-1/scheduler.pt").unlink()
    optimizer = tmp_path / "parts/checkpoints/checkpoint-2/optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:1000])
    said, steps = resume(tmp_path / "parts", whole)
    assert steps == 3
    assert "optimizer.pt is not what was written" in said[0]
    assert "checkpoint-1: scheduler.pt is missing" in said[1]
    assert said[1].endswith("training begins anew")


def test_the_files_of_a_checkpoint_are_the_ones_that_tests_flip(left_after_two_steps):
    left, _ = left_after_two_steps
    there = set(checksums(left / "checkpoints/checkpoint-2"))
    assert set(FILES) - {COMPLETE} <= there


def test_a_kill_between_mark_and_removal_leaves_one_checkpoint_too_many(
    left_after_two_steps, tmp_path
):
    left, whole = left_after_two_steps
    shutil.copytree(left, tmp_path / "parts")
    shutil.copytree(
        tmp_path / "parts/checkpoints/checkpoint-1", tmp_path / "parts/checkpoints/checkpoint-0"
    )
    said, steps = resume(tmp_path / "parts", whole)
    assert (said, steps) == ([], 1)
    assert checkpoints(tmp_path / "parts") == ["checkpoint-2", "checkpoint-3"]
