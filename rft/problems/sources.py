"""Problems from wherever they are: bundled, a JSONL or Parquet file, a URL, or a Hub data set."""

import hashlib
import io
import json
import math
import re
import time
import unicodedata
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError, URLError

import polars as pl

from rft.bundled import bundled
from rft.errors import RFTError, clipped, listed, shown
from rft.hub import reading
from rft.problems.gold import read_gold
from rft.problems.reading import from_memory, read_rows, refuse_no_file
from rft.recipe.prepare import Source
from rft.runs.tables import file_digest

# The most that is downloaded from an address, and how long it may take.
MOST_BYTES = 2 << 30
MOST_SECONDS = 1800
# Longer ones are no problem that a model reads, and tokenising them takes minutes.
LONGEST_QUESTION = 100_000
LONGEST_GOLD, LONGEST_TESTS = 10_000, 1_000_000


def problem_id(question: str, golds: list[str]) -> str:
    """Name a problem by its content."""
    text = unicodedata.normalize("NFC", question.strip()) + "\0" + "\0".join(sorted(golds))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def local_file(source: Source) -> Path | None:
    """Give the file of a bundled or local source; None for one on the network."""
    name = source.source
    if name.startswith("bundled:"):
        folder = bundled("data") / name.removeprefix("bundled:")
        path = folder / f"{source.split}.jsonl"
        if "/" in f"{source.split}" or not path.is_file():
            there = sorted(bundled("data").glob("*/*.jsonl"))
            names = listed(f"bundled:{each.parent.name} {each.stem}" for each in there)
            wrong = f"prepare: {shown(name)} with split {shown(source.split)}"
            raise RFTError(f"{wrong} is not bundled; there are {names}")
        return path
    if name.startswith(("hub:", "http://", "https://")):
        return None
    if scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
        raise RFTError(
            f"prepare: {name}: no source begins with {scheme[0]}; write the path of a file, "
            "http://..., https://... or hub:org/name"
        )
    path = Path(name)
    refuse_no_file(path, place="prepare: ", otherwise=f"write hub:{name} for a Hub data set")
    return path


def source_digest(source: Source) -> str:
    """Stand for a source's content: a file's hash, a data set's commit, or an address."""
    path = local_file(source)
    if path is not None:
        return file_digest(path)
    return f"{source.source}@{hub_commit(source)}" if on_hub(source) else source.source


def on_hub(source: Source) -> bool:
    """Say whether a source is a Hub data set."""
    return source.source.startswith("hub:")


def at(source: Source, digest: str) -> Source:
    """Pin a Hub data set to the commit that its digest names: what is read is what was noted."""
    pinned = on_hub(source) and digest.startswith(f"{source.source}@")
    return source.model_copy(update={"revision": digest.rpartition("@")[2]}) if pinned else source


def read_source(source: Source, key: str = "prepare") -> pl.DataFrame:
    """Read the first `limit` rows of a source as they are; `key` is where the recipe has it."""
    name = source.source
    path = local_file(source)
    if path is not None:
        rows = read_rows(path)
    elif on_hub(source):
        rows = _from_hub(source, key)
    else:
        rows = _from_url(name)
    return rows.head(source.limit) if source.limit else rows


def _from_url(url: str) -> pl.DataFrame:
    """Download a table, within bounds."""
    content = io.BytesIO()
    download(url, content, "prepare: ")
    return from_memory(content.getvalue(), url)


def download(url: str, into: BinaryIO, place: str = "") -> None:
    """Write what an address has into a file, within bounds."""
    began, size = time.monotonic(), 0
    try:
        with _opener().open(url, timeout=60) as answer:
            while part := answer.read1(1 << 20):
                size += into.write(part)
                if size > MOST_BYTES or time.monotonic() - began > MOST_SECONDS:
                    raise RFTError(
                        f"{place}{url}: no end after {size >> 20} MiB and "
                        f"{time.monotonic() - began:.0f} s; download it, and name the file"
                    )
            if answer.length:  # what `read1` passes over: the connection ended before the body
                raise IncompleteRead(b"", answer.length)
    except (URLError, OSError, HTTPException, ValueError) as error:
        reason = clipped(" ".join(str(error).split()), 200)
        if isinstance(error, HTTPError):
            error.close()
        raise RFTError(f"{place}{url}: cannot be read ({reason})") from None


def _opener() -> urllib.request.OpenerDirector:
    """Open addresses of HTTP alone: a redirection may name a file of this machine."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def hub_commit(source: Source) -> str:
    """Ask the Hub for the commit that a source's revision names now."""
    from huggingface_hub import HfApi

    name = source.source.removeprefix("hub:")
    with reading(_called(source)):
        commit = HfApi().dataset_info(name, revision=source.revision, timeout=60).sha
    assert commit is not None, "the Hub tells the commit of every revision"
    return commit


def _from_hub(source: Source, key: str) -> pl.DataFrame:
    import datasets

    name, revision = source.source.removeprefix("hub:"), source.revision
    with reading(_called(source)):
        try:
            loaded = datasets.load_dataset(
                name, source.config, split=source.split, revision=revision
            )
        except ValueError:
            _refuse_names(source, key)
            raise
    frame = pl.from_arrow(loaded.with_format("arrow")[:])
    assert isinstance(frame, pl.DataFrame)
    return frame


def _refuse_names(source: Source, key: str) -> None:
    """Refuse a config or a split that a Hub data set does not have, and say what it has."""
    import datasets

    name, revision = source.source.removeprefix("hub:"), source.revision
    configs = datasets.get_dataset_config_names(name, revision=revision)
    config = source.config or datasets.get_dataset_default_config_name(name, revision=revision)
    if config not in configs:
        wrong, there = f"config: {shown(source.config)}", configs
    else:
        there = datasets.get_dataset_split_names(name, config, revision=revision)
        # A part of a split may be named: train[:100].
        if source.split is None or source.split.partition("[")[0] in there:
            return
        wrong = f"split: {shown(source.split)}"
    raise RFTError(f"{key}.{wrong} is none of {source.source}; it has {listed(there)}")


def _called(source: Source) -> str:
    at = f" at {source.revision}" if source.revision else ""
    return f"prepare: {source.source}{at}: cannot be read"


def problems(
    rows: pl.DataFrame, source: Source, *, needs_gold: bool = True
) -> Iterator[dict[str, Any]]:
    """Turn a source's rows into problems; one that cannot be read has `reason` set."""
    columns = source.columns.model_dump()
    for ours in ("question", "gold") if needs_gold else ("question",):
        if columns[ours] not in rows.columns:
            raise RFTError(
                f"prepare: {source.source}: no column {columns[ours]!r} for {ours} (it has "
                f"{listed(rows.columns)}); write the source as {{source: {source.source}, "
                f"columns: {{{ours}: NAME}}}}"
            )
    rest = [name for name in rows.columns if name not in columns.values()]
    for row in rows.iter_rows(named=True):
        question = row[columns["question"]]
        question = question if isinstance(question, str) else ""
        golds = read_gold(row.get(columns["gold"]), source.gold_reader)
        yield {
            "problem_id": problem_id(question, golds),
            "question": question.strip(),
            "gold": golds,
            "source": source.source,
            "difficulty": _number(row.get(columns["difficulty"])),
            "extra": json.dumps({name: row[name] for name in rest}, default=str) if rest else None,
            "reason": _reason(question.strip(), golds, source, needs_gold=needs_gold),
        }


def _reason(question: str, golds: list[str], source: Source, *, needs_gold: bool) -> str | None:
    """Say why a problem cannot be used, as far as its texts show."""
    if not question:
        return "empty question"
    if len(question) > LONGEST_QUESTION:
        return f"question longer than {LONGEST_QUESTION:,} characters"
    if not golds and needs_gold:
        return f"no gold that the {source.gold_reader} reader can read"
    longest = LONGEST_TESTS if source.gold_reader == "tests" else LONGEST_GOLD
    if any(len(gold) > longest for gold in golds):
        return f"gold longer than {longest:,} characters"
    return None


def _number(value: Any) -> float | None:
    """Read a difficulty: a number, or a text that ends in one such as `Level 5`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float((value.split() or [""])[-1] if isinstance(value, str) else value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
