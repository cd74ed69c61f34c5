"""Checkpoints of a training: marked when whole, gone on from after a kill."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rft.processes.progress import Progress
from rft.processes.stopping import Stop

if TYPE_CHECKING:
    from transformers import TrainerCallback

# Written into a checkpoint after all of its files: resume ignores the ones without.
COMPLETE = "rft-complete"


def guard(stop: Stop, what: str, every: int = 1) -> "TrainerCallback":
    """Mark whole checkpoints; when a stop was asked for, save one and leave.

    Only after each `every` optimizer steps: what lies between cannot be gone on from.
    """
    from transformers import TrainerCallback

    class Guard(TrainerCallback):
        def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            done = state.global_step // every
            self.progress = Progress(f"{what}, steps", state.max_steps // every, done)

        def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
            newest = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (newest / COMPLETE).touch()
            for older in set(newest.parent.glob("checkpoint-*")) - {newest}:
                shutil.rmtree(older)

        def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step % every:
                return
            self.progress.advance(1)
            if stop.asked():
                control.should_save = True
                control.should_training_stop = True

        def on_train_end(self, *_: Any, **__: Any) -> None:
            self.progress.close()

    return Guard()


def last_checkpoint(folder: Path) -> str | None:
    """Find the last whole checkpoint, and remove torn ones."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        if (path / COMPLETE).exists():
            whole.append(path)
        else:
            shutil.rmtree(path)
    return str(max(whole, key=lambda p: int(p.name.rpartition("-")[2]))) if whole else None
