"""What a model folder is by content: its digest, our mark, and whether its files are still those.

A digest costs a read of all files, 0.66 seconds of a core a GB (BENCHMARKS.md). It is computed when
a folder is first named, remembered by sizes and times, and computed again where weights are loaded
or exported, once a process.
"""

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from rft.errors import RFTError
from rft.foreign_text import short
from rft.model_folders.reading import read_object, regular_file
from rft.runs.atomic import atomic_text
from rft.runs.tables import file_digest

# Written last into every model folder that we make: without it the folder is not a model.
MARK = "rft.json"
DIGEST = re.compile("[0-9a-f]{64}")
# What `rft export` puts beside a model.
EXPORT_MARK = "rft-export.json"
# How the Hub's cache names a file that it keeps: by sha256, a small one as git does.
BLOB, SMALL_BLOB = DIGEST, re.compile("[0-9a-f]{40}")


def read_mark(folder: Path) -> dict[str, Any] | None:
    """Read what a folder that we made says of itself; None for any other."""
    path = folder / MARK
    if not regular_file(path):
        return None
    mark = read_object(path)
    if not isinstance(mark.get("digest"), str):
        raise RFTError(
            f"{path}: it has no digest, so it is not what we wrote; {_again(folder, 'it')}"
        )
    return mark


def folder_digest(folder: Path, notes: Path | None = None) -> str:
    """Hash a model folder by content, or look its digest up; one of ours has it in its mark."""
    if (mark := read_mark(folder)) is not None:
        return str(mark["digest"])
    if notes is None:
        return content_digest(folder)
    stamp = json.dumps([str(folder.resolve()), _stamp(folder)])
    noted = notes / hashlib.sha256(stamp.encode()).hexdigest()[:16]
    if noted.is_file() and DIGEST.fullmatch(said := noted.read_text(errors="replace")):
        return said
    digest = content_digest(folder)
    if notes.parent.parent.is_dir():
        atomic_text(noted, digest)
    return digest


def content_digest(folder: Path) -> str:
    """Hash what a model folder holds, its mark and what is written about it aside."""
    return whole_digest(file_digests(folder))


def file_digests(folder: Path) -> dict[str, str]:
    """Hash each file that counts: in a folder of ours not what an export or a download adds."""
    paths = [path for path in _files(folder) if path.suffix.lower() != ".md" and path.name != MARK]
    if (folder / MARK).is_file():
        paths = [path for path in paths if path.name[0] != "." and path.name != EXPORT_MARK]
    return {path.name: file_digest(path) for path in paths}


def whole_digest(files: dict[str, str]) -> str:
    """Hash the names and digests of files."""
    lines = (f"{name} {digest}\n" for name, digest in files.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _stamp(folder: Path) -> list[tuple[str, int, int]]:
    """Stand for files as long as nobody writes to them: names, sizes and times."""
    stats = ((path.name, path.stat()) for path in _files(folder))
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


# Held against the files ---------------------------------------------------------------------------


def verify(folder: Path, digest: str) -> None:
    """Refuse a model whose files are not those of its digest; once a process: it costs a read."""
    _verify(folder, digest, tuple(_stamp(folder)))


@cache
def _verify(folder: Path, digest: str, _stamp: tuple[tuple[str, int, int], ...]) -> None:
    if digest.startswith("hub:"):
        _verify_download(folder)
        return
    files = file_digests(folder)
    if whole_digest(files) == digest:
        return
    mark = read_mark(folder)
    if mark is None:
        raise RFTError(
            f"{folder}: its files are not what they were when the run first read them, though "
            "their sizes and times are the same (damaged?); restore them, or get the model again"
        )
    noted = mark.get("files")
    noted = noted if isinstance(noted, dict) and whole_digest(noted) == digest else {}
    names = [name for name in sorted({*noted, *files}) if noted.get(name) != files.get(name)]
    which = short(names[0]) if noted else "a file"
    which += f" (and {len(names) - 1} more)" if noted and len(names) > 1 else ""
    raise RFTError(
        f"{folder}: {which} is not what it was when this model was made (damaged?); "
        + _again(folder, "the folder")
    )


def _again(folder: Path, what: str) -> str:
    """Say how a model of ours comes to be whole again."""
    run = folder.parent.parent
    if folder.parent.name == "models" and (run / "recipe.yaml").is_file():
        return f"move {what} away and go on with the run {run}, which makes the model again"
    return "get it again from where it came"


def _verify_download(folder: Path) -> None:
    """Hold the files of the Hub's cache against their names there, which are their digests."""
    for path in _files(folder):
        name = path.resolve().name
        if BLOB.fullmatch(name):
            same = file_digest(path) == name
        elif SMALL_BLOB.fullmatch(name):
            content = path.read_bytes()
            same = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == name
        else:  # no cache of links: nothing says what it was
            continue
        if not same:
            raise RFTError(
                f"{path}: not what the Hub has (damaged?); remove {path.resolve()}, and it is "
                "downloaded again"
            )
