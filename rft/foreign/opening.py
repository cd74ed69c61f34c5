"""Files wherever they are: a path, a folder, a glob, or an address that fsspec opens."""

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from rft.errors import RFTError, clipped, explained
from rft.foreign_text import masked
from rft.problems.reading import refuse_no_file
from rft.problems.sources import download

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# What is read of a folder, with or without the end of a compression.
ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".parquet", ".eval")
PACKED = (".gz", ".zst")
# What the libraries write beside rollouts, about a run as a whole.
ABOUT_RUNS = (
    *("meta.json", "metadata.json", "batch_summary.json", "eval-set.json", "logs.json"),
    *("config.json", "manifest.json"),
)
# What is to be installed for addresses that fsspec opens with a package of their own.
EXTRAS = {"s3": "s3", "s3a": "s3"}


@dataclass(frozen=True)
class Place:
    """A file that is to be read: as it is called, and where it lies."""

    name: str
    path: str
    system: "AbstractFileSystem | None" = None
    """None for a file of this machine, and for what is downloaded first."""


def places_of(source: str) -> list[Place]:
    """List the files that a source names, in the order of their names."""
    if source.startswith(("http://", "https://")):
        return [Place(masked(source), source)]
    if "://" in source or "::" in source:
        return _elsewhere(source)
    path = Path(source)
    if path.is_dir():
        found = [str(each) for each in path.rglob("*") if each.is_file() and is_read(each.name)]
        return _some([Place(each, each) for each in sorted(found)], source)
    if has_magic(source) and not path.exists():
        above = Path(path.anchor or ".")
        pattern = str(path.relative_to(path.anchor))
        found = [str(each) for each in above.glob(pattern) if each.is_file()]
        return _some([Place(each, each) for each in sorted(found)], source)
    refuse_no_file(path)
    return [Place(source, source)]


def is_read(name: str) -> bool:
    """Say whether a file of a folder is one with rollouts, by its name."""
    stem = stem_of(name)
    return stem.endswith(ENDINGS) and not name.startswith(".") and stem not in ABOUT_RUNS


def stem_of(name: str) -> str:
    """Give the name of a file without the end of a compression."""
    end = next((end for end in PACKED if name.endswith(end)), "")
    return name.removesuffix(end)


def _elsewhere(source: str) -> list[Place]:
    """List the files below an address."""
    import fsspec

    scheme = source.partition("://")[0].rpartition("::")[2]
    with told(source, ValueError):
        try:
            system, path = fsspec.core.url_to_fs(source)
        except ImportError as error:
            if scheme in EXTRAS:
                advice = f"pip install 'rft-rounds[{EXTRAS[scheme]}]'"
            else:
                advice = clipped(" ".join(str(error).split()), 200)
            raise RFTError(f"{masked(source)}: {scheme}:// needs a package; {advice}") from None
        if has_magic(path):
            found = [each for each in system.glob(path) if not system.isdir(each)]
        elif system.isdir(path):
            found = [each for each in system.find(path) if is_read(each.rpartition("/")[2])]
        elif system.isfile(path):
            return [Place(masked(source), path, system)]
        else:
            raise RFTError(f"{masked(source)}: no such file; check its name, and who may see it")
        named = [Place(masked(system.unstrip_protocol(each)), each, system) for each in found]
    return _some(sorted(named, key=lambda place: place.path), source)


def _some(places: list[Place], source: str) -> list[Place]:
    if not places:
        wanted = ", ".join(ENDINGS)
        raise RFTError(f"{masked(source)}: no files there that end in {wanted}; name one")
    return places


@contextmanager
def opened(place: Place) -> Iterator[BinaryIO]:
    """Open a file to be read from anywhere within it."""
    with ExitStack() as stack:
        if place.path.startswith(("http://", "https://")):
            file = stack.enter_context(tempfile.TemporaryFile())
            download(place.path, file)
            file.seek(0)
            yield file
        elif place.system is None:
            refuse_no_file(Path(place.path))
            yield stack.enter_context(Path(place.path).open("rb"))
        else:
            with told(place.name):
                remote = stack.enter_context(place.system.open(place.path, "rb"))
                yield cast(BinaryIO, io.BufferedReader(remote, 1 << 20))


@contextmanager
def told(name: str, *more: type[Exception]) -> Iterator[None]:
    """Turn what a file system elsewhere refuses into one line."""
    with ExitStack() as stack:
        if name.startswith("hf://"):
            from rft.hub import reading

            stack.enter_context(reading(f"{masked(name)}: cannot be read"))
        try:
            yield
        except (*_troubles(), *more) as error:
            # Of the Hub's, `reading` above knows more; a full disk is none of theirs.
            if name.startswith("hf://") or explained(error):
                raise
            reason = clipped(" ".join(str(error).split()) or type(error).__name__, 200)
            raise RFTError(f"{masked(name)}: cannot be read ({reason})") from None


def _troubles() -> tuple[type[Exception], ...]:
    """List what file systems raise; those of S3 have errors of their own, once they are loaded."""
    named = {
        "botocore.exceptions": ("BotoCoreError", "ClientError"),
        "aiohttp": ("ClientError",),
    }
    loaded = {module: sys.modules[module] for module in named if module in sys.modules}
    own = (getattr(loaded[module], name) for module in loaded for name in named[module])
    return (OSError, NotImplementedError, *own)


def size_of(file: BinaryIO) -> int:
    """Tell how long an open file is, and go to its beginning."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size
