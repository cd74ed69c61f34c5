"""Anyone's JSONL or Parquet, read within bounds: what is no table ends in a line that says why."""

import io
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from rft.errors import RFTError, clipped, did_you_mean, explained, listed, nearest
from rft.runs.tables import damage_told, refuse_twice

# The most that rows of a person have by far, and less than what a reader below us breaks at: JSON
# of a thousand levels ends the process, a million columns take an hour.
MOST_COLUMNS = 1_000
LONGEST_NAME = 200
DEEPEST = 32
LONGEST_LINE = 64 << 20
# A small file that becomes a large table is made to fill the memory.
MOST_UNPACKED = 1 << 30
MOST_TIMES = 200

# What polars raises where values make no table; a lone surrogate is a ValueError.
NO_TABLE = (
    *(pl.exceptions.PolarsError, pl.exceptions.PanicException),
    *(TypeError, OverflowError, ValueError),
)

# How files begin that are something else.
OTHERS = {
    b"\x1f\x8b": "compressed by gzip; unpack it first",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it first",
    b"\xfd7zXZ\x00": "compressed by xz; unpack it first",
    b"BZh": "compressed by bzip2; unpack it first",
    b"\xff\xfe": "UTF-16, not UTF-8; save it as UTF-8",
    b"\xfe\xff": "UTF-16, not UTF-8; save it as UTF-8",
    b"ARROW1": "an Arrow file; write it as Parquet",
}
# Other kinds of things that a path may lead to.
KINDS = {
    stat.S_IFDIR: "a folder; name a file in it",
    stat.S_IFIFO: "a pipe; write what comes out of it into a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
}


def refuse_no_file(path: Path, *, place: str = "", otherwise: str = "") -> None:
    """Refuse a path that leads to no file, without opening what it leads to: pipes never open."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            gone = f"but a link to {path.readlink()}, which is not there"
            raise RFTError(f"{place}{path}: no such file, {gone}") from None
        advice = otherwise
        if nearby := nearest(path.name, names_in(path.parent)):
            advice = did_you_mean(str(path.with_name(nearby)))
        raise RFTError(f"{place}{path}: no such file" + f"; {advice}" * bool(advice)) from None
    except OSError as error:
        raise RFTError(f"{place}{path}: {explained(error) or error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise RFTError(f"{place}{path}: it is {KINDS.get(stat.S_IFMT(mode), 'no file')}")


def names_in(folder: Path) -> list[str]:
    """List what lies in a folder; none where it cannot be listed."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def read_rows(path: Path) -> pl.DataFrame:
    """Read anyone's JSONL or Parquet file."""
    refuse_no_file(path)
    with path.open("rb") as file:
        return rows_of(file, str(path), parquet=path.suffix == ".parquet")


def rows_of(file: BinaryIO, name: str, *, parquet: bool = False) -> pl.DataFrame:
    """Read a table out of what is open, by what it begins with."""
    head = file.read(8)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not size:
        raise RFTError(f"{name}: the file is empty")
    for magic, what in OTHERS.items():
        if head.startswith(magic):
            raise RFTError(f"{name}: it is {what}")
    if parquet or head.startswith(b"PAR1"):
        return _parquet(file, name, size)
    return _json_lines(file, name)


# Parquet ------------------------------------------------------------------------------------------


def _parquet(file: BinaryIO, name: str, size: int) -> pl.DataFrame:
    read = list(parquet_batches(file, name, size))
    schema = read[0][0]
    whole = pa.Table.from_batches([batch for _, batch in read if batch is not None], schema)
    try:
        frame = pl.from_arrow(whole)
    except NO_TABLE as error:
        raise RFTError(f"{name}: its columns make no table ({_reason(error)})") from None
    assert isinstance(frame, pl.DataFrame)
    return frame


def parquet_batches(
    file: BinaryIO, name: str, size: int, rows: int = 1 << 16
) -> Iterator[tuple[pa.Schema, pa.RecordBatch | None]]:
    """Yield the schema of a Parquet file by itself, then with each batch of its rows."""
    most = max(MOST_UNPACKED, MOST_TIMES * size)
    with (
        damage_told(Path(name), remedy=""),
        pq.ParquetFile(file, page_checksum_verification=True) as table,
    ):
        schema = table.schema_arrow
        refuse_twice(schema.names)
        check_names(schema.names, name, "")
        for field in schema:
            _check_type(field.type, f"{name}: column {clipped(field.name)!r}")
        yield schema, None
        unpacked = 0
        for batch in table.iter_batches(rows):
            batch.validate(full=True)
            unpacked += batch.nbytes
            if unpacked > most:
                raise RFTError(unpacks_to(size, most, name))
            yield schema, batch


def unpacks_to(size: int, most: int, name: str) -> str:
    """Say that a small file becomes a large one."""
    return (
        f"{name}: {size:,} bytes that unpack to more than {most:,}; if that is meant, write it as "
        "several files"
    )


def _check_type(kind: pa.DataType, place: str) -> None:
    """Refuse a type that is nested too deeply, or that polars has nothing for, and panics at."""
    level, here = 0, [kind]
    while here:
        level += 1
        if level > DEEPEST:
            raise RFTError(f"{place} is nested too deeply ({DEEPEST} levels are the most)")
        for each in here:
            if pa.types.is_decimal256(each):
                raise RFTError(f"{place} holds {each}, which is too wide; write it as text")
        here = [each.field(i).type for each in here for i in range(each.num_fields)]


# JSON lines ---------------------------------------------------------------------------------------


def _json_lines(file: BinaryIO, name: str) -> pl.DataFrame:
    """Parse JSON lines, naming the first line that is not an object."""
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    seen: set[str] = set()
    for number, line in lines_of(file, name):
        row = json_object(line, f"{name}: line {number}")
        if not row.keys() <= seen:
            seen |= row.keys()
            check_names(seen, name, f"line {number}: ")
        rows.append(row)
        numbers.append(number)
    if not rows or not seen:
        why = "its rows have no columns" if rows else "no rows in it"
        raise RFTError(f"{name}: {why}")
    return _table(rows, numbers, name)


def lines_of(file: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that hold something, with their numbers."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise RFTError(
                f"{name}: line {number} has more than {LONGEST_LINE >> 20} MiB; give JSON lines, a "
                "row each, or Parquet"
            )
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield number, line


def json_object(line: bytes, place: str, deepest: int = DEEPEST) -> dict[str, Any]:
    """Read what must be a JSON object, of so many levels at most."""
    row = json_value(line, place, deepest)
    if not isinstance(row, dict):
        start = line[:40].decode(errors="replace")
        raise RFTError(f"{place} is not a JSON object ({start!r}); give JSON lines or Parquet")
    return row


def json_value(raw: bytes, place: str, deepest: int = DEEPEST) -> Any:
    """Read a JSON value, of so many levels at most; None where it is no JSON."""
    try:
        value = _decoder.decode(raw.decode())
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 text (byte {error.start})"
        raise RFTError(f"{place} {what}; give JSON lines or Parquet") from None
    except RecursionError:
        raise RFTError(f"{place}: nested too deeply ({deepest} levels are the most)") from None
    except _Twice as error:
        raise RFTError(f"{place}: {clipped(str(error))} stands twice in an object") from None
    except ValueError as error:
        # Python reads no number of more digits.
        if "digits" in str(error):
            raise RFTError(f"{place}: a number of thousands of digits; write it as text") from None
        return None
    if isinstance(value, dict | list) and _depth(value, deepest) > deepest:
        raise RFTError(f"{place}: nested too deeply ({deepest} levels are the most)")
    return value


class _Twice(Exception):
    """A key that stands twice in a JSON object: which of its values counts, nobody knows."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(repr(next(name for name in names if names.count(name) > 1)))
    return made


_decoder = json.JSONDecoder(object_pairs_hook=_once)


def _depth(value: dict[str, Any] | list[Any], deepest: int) -> int:
    """Count the levels of a value, no more than are too many, and without recursion."""
    level, here = 0, [value]
    while here and level <= deepest:
        level += 1
        below: list[Any] = []
        for each in here:
            values: Iterable[Any] = each.values() if isinstance(each, dict) else each
            below += [value for value in values if isinstance(value, dict | list)]
        here = below
    return level


def _table(rows: list[dict[str, Any]], numbers: list[int], name: str) -> pl.DataFrame:
    try:
        frame = pl.from_dicts(rows, infer_schema_length=None)
    except NO_TABLE as error:
        reason = _why_no_table(rows, numbers) or _reason(error)
        raise RFTError(f"{name}: its rows do not make one table ({reason})") from None
    for column in frame.columns:
        # polars makes null of a value that is no object where others are.
        if frame[column].null_count() != sum(row.get(column) is None for row in rows):
            reason = _why_no_table(rows, numbers) or f"column {column!r} is mixed"
            raise RFTError(f"{name}: its rows do not make one table ({reason})")
        if frame.schema[column] == pl.Int128:
            raise RFTError(
                f"{name}: column {column!r} holds a number beyond 64 bits; write it as text"
            )
        if _has_empty(frame.schema[column]):
            if frame.schema[column] != pl.Struct([]):
                raise RFTError(f"{name}: column {column!r} holds objects without keys in it")
            # No Parquet file has such a column, and there is nothing in it.
            frame = frame.with_columns(pl.lit(None).alias(column))
    return frame


def _has_empty(kind: pl.DataType) -> bool:
    """Say whether a type has an object without keys in it."""
    if isinstance(kind, pl.Struct):
        return not kind.fields or any(_has_empty(field.dtype) for field in kind.fields)  # type: ignore[arg-type]
    return isinstance(kind, pl.List) and _has_empty(kind.inner)  # type: ignore[arg-type]


HALF = re.compile("[\ud800-\udfff]")


def _why_no_table(rows: list[dict[str, Any]], numbers: list[int]) -> str | None:
    """Find the column that holds two kinds of things, or a text that no table can hold."""
    kinds: dict[str, dict[str, int]] = {}
    for number, row in zip(numbers, rows, strict=True):
        for column, value in row.items():
            if HALF.search(json.dumps([column, value], ensure_ascii=False)):
                return f"line {number}: column {column!r} holds half a character, such as \\ud800"
            if value is not None:
                kinds.setdefault(column, {}).setdefault(_kind(value), number)
    for column, seen in kinds.items():
        if len(seen) > 1:
            told = " and ".join(f"{kind} in line {line}" for kind, line in seen.items())
            return f"column {column!r} holds {told}"
    return None


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else "a text or a number"


# Both ---------------------------------------------------------------------------------------------


def check_names(names: Iterable[str], name: str, place: str) -> None:
    """Refuse columns that are too many, or are called as no column is."""
    every = list(names)
    if len(every) > MOST_COLUMNS:
        raise RFTError(
            f"{name}: {place}more than {MOST_COLUMNS:,} columns, such as "
            f"{listed(sorted(every)[:3])}; give one row each line, with the same columns"
        )
    for each in every:
        if len(each) > LONGEST_NAME:
            raise RFTError(
                f"{name}: {place}a column whose name has {len(each):,} characters "
                f"({clipped(each)!r}); {LONGEST_NAME} are the most"
            )
        if "\0" in each:
            raise RFTError(f"{name}: {place}no table may have a column called {each!r}")


def _reason(error: BaseException) -> str:
    return clipped((str(error).splitlines() or [type(error).__name__])[0], 200)


def from_memory(content: bytes, name: str) -> pl.DataFrame:
    """Read a table out of what was downloaded."""
    return rows_of(io.BytesIO(content), name)
