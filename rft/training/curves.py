"""A training's curves: into the tracker where the run's rounds are, and never in its way."""

import contextlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from rft.foreign_text import short
from rft.runs.stages import Job
from rft.trackers import for_trainer

# The arguments of a trainer that tells nobody.
NO_CURVES: Mapping[str, Any] = {"report_to": "none"}

# What a tracker's callback answers to.
HOOKS = ("on_train_begin", "on_log", "on_save", "on_train_end")


def track_into(job: Job) -> Mapping[str, Any]:
    """Choose where a training's curves go, and give the trainer's arguments for it.

    What begins anew, with other settings, has another name than what goes on after a kill.
    """
    training = f"{job.stage.name}-{job.round}-{job.key[:6]}"
    return for_trainer(job.run.path, job.run.recipe.track, training)


def spare_training(trainer: Any, say: Callable[[str], None]) -> None:
    """Let a tracker that fails cost its curves and not the training; its words are no results."""
    from transformers.integrations import get_reporting_integration_callbacks

    kinds = tuple(get_reporting_integration_callbacks(trainer.args.report_to))
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, kinds):
            _Spared(callback, trainer, say)


class _Spared:
    """A tracker's callback whose hooks end at its first error."""

    def __init__(self, callback: Any, trainer: Any, say: Callable[[str], None]):
        self.trainer, self.say = trainer, say
        self.failed = False
        for name in HOOKS:
            setattr(callback, name, self.sparing(getattr(callback, name)))

    def sparing(self, hook: Callable[..., None]) -> Callable[..., None]:
        """Make a hook that raises nothing."""

        def call(*args: Any, **more: Any) -> None:
            if self.failed:
                return
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    hook(*args, **more)
            except Exception as error:  # noqa: BLE001  hours of training are worth more than curves
                self.failed = True
                # TRL's GRPO also writes to a tracker itself, and fails where none was opened.
                self.trainer.args.report_to = []
                about = f"{type(error).__name__}: {short(str(error))}"
                self.say(f"track: no more curves of this training, which goes on ({about})")

        return call
