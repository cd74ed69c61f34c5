"""Pins that online training goes on from its last whole checkpoint, to the same weights.

Run: python -m pytest tests/training/test_checkpoints.py
"""

import json

import pytest
import torch

from pipelines import grpo as stage
from rft.errors import Interrupted, RFTError
from rft.exploration.plugin import Plugin
from rft.processes.stopping import Stop
from rft.training.checkpoints import COMPLETE, last_checkpoint
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
    assert checkpoints(tmp_path / "parts") == ["checkpoint-8"]


def checkpoints(folder):
    """Name the checkpoints of a training."""
    return [path.name for path in (folder / "checkpoints").glob("checkpoint-*")]


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
        (tmp_path / f"checkpoint-{step}" / COMPLETE).touch()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-8", "checkpoint-10"}


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
