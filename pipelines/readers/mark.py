"""The mark of an export: whose it is, and what it wrote, so that the next replaces nothing else."""

import hashlib
import json
from pathlib import Path

from rft.runs.folder import Run
from rft.runs.plain_files import open_to_read
from rft.runs.tables import file_digest

# The first event of a run is one of a few words.
LONGEST_EVENT = 1 << 20
MARK = "rft-export.json"
# The Hub keeps no larger file as a plain git blob.
LARGEST_BLOB = 16 << 20

Ids = list[str]
"""What stands for a file's content: its sha256 and, as git names a blob, its sha1."""


def identity(run: Run) -> str:
    """Stand for the run without telling where it is: exports are published, and runs are moved."""
    try:
        with open_to_read(run.path / "events.jsonl") as events:
            first = events.readline(LONGEST_EVENT)
    except FileNotFoundError:
        first = b""
    return hashlib.sha256(first or bytes(run.path.resolve())).hexdigest()[:16]


def ids_of(path: Path) -> Ids:
    """Hash a file in the ways in which the Hub does: large ones by sha256, others as git."""
    ids = [file_digest(path)]
    if path.stat().st_size <= LARGEST_BLOB:
        content = path.read_bytes()
        ids.append(hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest())
    return ids


def ids_of_folder(folder: Path) -> dict[str, Ids]:
    """List a folder's files by content, the mark aside."""
    return {
        str(path.relative_to(folder)): ids_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MARK
    }


def mark_text(run: Run, files: dict[str, Ids]) -> str:
    """Write the mark of an export with these files."""
    return json.dumps({"run": identity(run), "files": files}, indent=1, sort_keys=True) + "\n"


def read_mark(content: bytes) -> tuple[str, dict[str, Ids]]:
    """Read whose export it is, and what it wrote; a ValueError where it is no mark."""
    mark = json.loads(content)
    try:
        return str(mark["run"]), {str(name): list(ids) for name, ids in mark["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("not a mark") from error
