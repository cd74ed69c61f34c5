"""Files that are there whole or not at all, whatever happens while they are written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a scratch file that takes the path's place when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # New in any case: a link of that name would lead out of the folder.
        scratch.unlink(missing_ok=True)
        with scratch.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def atomic_text(path: Path, text: str) -> None:
    """Write a small text file whole."""
    with whole_file(path) as file:
        file.write(text.encode())


def flush_folder(folder: Path) -> None:
    """Have all files of a folder on the disk, whoever wrote them: before what says that they are.

    A power cut must not leave a mark of weights that were in memory alone.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
