"""What killed processes left half-written or half-removed: the next owner of the run removes it."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

# What is written, and what is taken apart, has such a name until that is done.
SCRATCH = re.compile(r"\..+?(?:\.(\d+))?\.(?:tmp|removed)")
# Seconds after which a small file that is not done was left by a dead process of any machine.
ABANDONED = 3600.0
# An array job samples without the run's lock, into a folder of its own: `array-INDEX-of-N`.
ARRAY = "array-"


def left_over(run: Path) -> Iterator[Path]:
    """Find what processes left in a run folder that were killed; only its owner may ask."""
    for folder, names, files in os.walk(run):
        here = Path(folder)
        for name in sorted([*names, *files]):
            owner = SCRATCH.fullmatch(name)
            if owner and not (here / name).is_symlink() and not _alive(owner[1]):
                yield here / name
        # An array job writes without the lock, and any reader may be remembering a digest.
        names[:] = [
            name
            for name in names
            if not name.startswith(ARRAY)
            and here / name not in (run / "stale", run / "work" / "digests")
            and not SCRATCH.fullmatch(name)
        ]


def remove_left_over(run: Path) -> None:
    """Remove what killed processes left in a run folder."""
    for path in list(left_over(run)):
        take_apart(path)


def remove_left_beside(path: Path, *, idle: float = 0.0) -> None:
    """Remove what killed processes left that were writing this file; no run may own its folder.

    Where other machines may write it too, only what nobody has touched for `idle` seconds.
    """
    if not path.parent.is_dir():
        return
    for other in list(path.parent.iterdir()):
        owner = SCRATCH.fullmatch(other.name)
        ours = owner and other.name == f".{path.name}.{owner[1]}.tmp" and not _alive(owner[1])
        if ours and _idle(other) >= idle:
            take_apart(other)


def take_apart(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _idle(path: Path) -> float:
    """Tell for how many seconds a file has not been touched."""
    try:
        return max(time.time() - path.stat().st_mtime, 0.0)
    except FileNotFoundError:  # its writer is done, just now
        return 0.0


def _alive(pid: str | None) -> bool:
    """Say whether a process of this machine may still be writing the file named after it."""
    if pid is None:
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
