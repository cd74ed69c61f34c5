"""A tracker that fails costs its curves, and neither the training nor what is on standard output.

Run: python -m pytest tests/training/test_curves.py
"""

import sys
from types import SimpleNamespace

import pytest
from transformers import TrainerCallback, integrations

from rft.training.curves import HOOKS, NO_CURVES, spare_training


class Broken(TrainerCallback):
    """Speak at the beginning, and fail at the given hook."""

    def __init__(self, at: str):
        self.at = at
        self.calls: list[str] = []

    def on_train_begin(self, *_: object, **__: object) -> None:
        sys.stdout.write("tracking begins")
        self.call("on_train_begin")

    def on_log(self, *_: object, **__: object) -> None:
        self.call("on_log")

    def on_train_end(self, *_: object, **__: object) -> None:
        self.call("on_train_end")

    def call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.at:
            raise ValueError("no\naccount")


class Other(TrainerCallback):
    """No tracker: its errors are errors."""

    def on_log(self, *_: object, **__: object) -> None:
        raise KeyError


@pytest.fixture
def trainer(monkeypatch):
    """Make what stands for a trainer, with a tracker that fails while it logs."""
    monkeypatch.setattr(integrations, "get_reporting_integration_callbacks", lambda _: [Broken])
    callbacks = [Other(), Broken("on_log")]
    return SimpleNamespace(
        args=SimpleNamespace(report_to=["broken"]),
        callback_handler=SimpleNamespace(callbacks=callbacks),
    )


def test_the_first_error_of_a_tracker_is_its_last_word(trainer, capsys):
    said: list[str] = []
    spare_training(trainer, said.append)
    other, tracker = trainer.callback_handler.callbacks
    for hook in HOOKS:
        getattr(tracker, hook)(None, None, None)
    assert tracker.calls == ["on_train_begin", "on_log"]
    assert said == [
        "track: no more curves of this training, which goes on (ValueError: no account)"
    ]
    assert capsys.readouterr().out == ""
    assert trainer.args.report_to == []
    with pytest.raises(KeyError):
        other.on_log(None, None, None)


def test_without_a_tracker_nothing_is_touched():
    callbacks = [Broken("on_log")]
    trainer = SimpleNamespace(
        args=SimpleNamespace(**NO_CURVES | {"report_to": []}),
        callback_handler=SimpleNamespace(callbacks=callbacks),
    )
    spare_training(trainer, print)
    with pytest.raises(ValueError, match="account"):
        callbacks[0].on_log()
