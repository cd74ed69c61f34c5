"""Checkpoints of a training: marked when whole, gone on from after a kill, two of them kept.

The mark holds a checksum of every file, so that damage is noticed before a training goes on from
it: then the checkpoint before is the last whole one. Checksums tell damage, not intent. But no
file of a checkpoint can run code: torch reads each with `weights_only`, here and in transformers.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rft.processes.progress import Progress
from rft.processes.stopping import Stop
from rft.runs.atomic import atomic_text, flush_folder
from rft.runs.tables import file_digest

if TYPE_CHECKING:
    from transformers import TrainerCallback

# Written into a checkpoint after all of its files, with their checksums.
COMPLETE = "rft-complete"
KEPT = 2


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
            if not state.is_world_process_zero:
                return
            newest = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            mark_whole(newest)
            # Only now: a kill in between leaves one too many, which the next save removes.
            for older in by_step(newest.parent)[:-KEPT]:
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


def mark_whole(checkpoint: Path) -> None:
    """Write the mark of a checkpoint, all of whose files are there."""
    flush_folder(checkpoint)
    atomic_text(checkpoint / COMPLETE, json.dumps(checksums(checkpoint), indent=1))


def checksums(checkpoint: Path) -> dict[str, str]:
    """Hash every file of a checkpoint, its mark aside."""
    return {
        str(path.relative_to(checkpoint)): file_digest(path)
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path != checkpoint / COMPLETE
    }


def by_step(folder: Path) -> list[Path]:
    """List the checkpoints of a training, the newest last."""
    numbered = [path for path in folder.glob("checkpoint-*") if step_of(path) is not None]
    return sorted(numbered, key=lambda path: step_of(path) or 0)


def step_of(checkpoint: Path) -> int | None:
    """Give the step after which a checkpoint was saved."""
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else None


def silent(_line: str) -> None:
    """Say nothing."""


def last_checkpoint(folder: Path, say: Callable[[str], None] = silent) -> str | None:
    """Find the last whole checkpoint, say which newer ones are not whole, and remove those."""
    for path in reversed(by_step(folder)):
        wrong = damage(path)
        if wrong is None:
            return str(path)
        if wrong:
            older = by_step(folder)[:-1]
            then = "the checkpoint before it is looked at" if older else "training begins anew"
            say(f"warning: {path}: {wrong}, so it is not gone on from; {then}")
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return None


def damage(checkpoint: Path) -> str | None:
    """Say what is wrong with a checkpoint; nothing to tell (empty) of one that was being written.

    None where it is whole.
    """
    mark = checkpoint / COMPLETE
    if not mark.exists():
        return ""
    try:
        marked = json.loads(mark.read_bytes())
    except (OSError, ValueError, RecursionError):
        marked = None
    if not isinstance(marked, dict):
        return f"its mark {COMPLETE} is damaged"
    files = checksums(checkpoint)
    names = [name for name in sorted({*marked, *files}) if marked.get(name) != files.get(name)]
    if not names:
        return None
    return f"{names[0]} is {'not what was written' if names[0] in files else 'missing'}"
