"""Parquet tables: written whole in shards closed by bytes, read back with checksums verified."""

import errno
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rft.errors import RFTError, clipped
from rft.runs.atomic import whole_file
from rft.runs.schemas import TABLES

SHARD_BYTES = 256 << 20
ROW_GROUP_BYTES = 32 << 20
# Rows that tell how large the others are.
ENOUGH = 1000

# Rounded to multiples of 2^-14, which their noise is far above, these columns shrink to 1.75 bytes
# a value as a split byte stream; a dictionary of floats would only get in the way.
ROUNDED = ("entropies", "logprobs")
STEP = 2.0**14
FLOATS = pa.large_list(pa.float32())
WRITTEN: dict[str, Any] = {
    "compression": "zstd",
    "write_page_checksum": True,
    "write_page_index": True,
}


def conform(frame: pl.DataFrame | pa.Table, name: str) -> pa.Table:
    """Give the frame exactly the columns, order and types of the named table, or refuse it."""
    schema = TABLES[name]
    table = frame.to_arrow() if isinstance(frame, pl.DataFrame) else frame
    missing = [column for column in schema.names if column not in table.column_names]
    extra = [column for column in table.column_names if column not in schema.names]
    assert not missing, f"table {name}: missing columns {missing}"
    assert not extra, f"table {name}: unknown columns {extra}"
    return table.select(schema.names).cast(schema)


def shards(table: pa.Table, limit: int = SHARD_BYTES) -> Iterable[pa.Table]:
    """Split a table into slices of at most `limit` bytes in memory; an empty table is one."""
    rows = max(1, int(limit * table.num_rows / max(1, table.nbytes)))
    for start in range(0, max(1, table.num_rows), rows):
        yield table.slice(start, rows)


def write_file(path: Path, table: pa.Table, *, chunked: bool = False) -> None:
    """Write one Parquet file so that it is there whole or not at all.

    `chunked` ends pages where the content says so: of a file that is published again with more
    rows, only the new ones are sent.
    """
    rows = max(1, int(ROW_GROUP_BYTES * table.num_rows / max(1, table.nbytes)))
    with opened(path, table.schema, chunked=chunked) as writer:
        writer.write_table(rounded(table), row_group_size=rows)


@contextmanager
def opened(path: Path, schema: pa.Schema, *, chunked: bool = False) -> Iterator[pq.ParquetWriter]:
    """Open a Parquet file to write; it is there whole or not at all."""
    split = columns_to_round(schema)
    leaves = {f"{column}.list.element": "BYTE_STREAM_SPLIT" for column in split}
    with (
        whole_file(path) as file,
        pq.ParquetWriter(
            file,
            schema,
            use_dictionary=[name for name in schema.names if name not in split],
            column_encoding=leaves or None,
            use_content_defined_chunking=chunked,
            **WRITTEN,
        ) as writer,
    ):
        yield writer


def columns_to_round(schema: pa.Schema) -> list[str]:
    """List the columns that are rounded: somebody else's may have such names for other things."""
    return [name for name in ROUNDED if name in schema.names and schema.field(name).type == FLOATS]


def rounded(table: pa.Table) -> pa.Table:
    """Round the columns whose last bits are noise."""
    for column in columns_to_round(table.schema):
        place = table.schema.get_field_index(column)
        table = table.set_column(place, table.schema.field(column), _round(table[column]))
    return table


def write_frames(path: Path, name: str, frames: Iterable[pl.DataFrame]) -> None:
    """Write one file of the named table as its rows come, of which a row group is in memory."""
    with opened(path, TABLES[name]) as writer:
        waiting: list[pa.Table] = []

        def write() -> None:
            group = pa.concat_tables(waiting)
            writer.write_table(rounded(group), row_group_size=group.num_rows)
            waiting.clear()

        held = 0
        for frame in frames:
            if frame.is_empty():
                continue
            waiting.append(conform(frame, name))
            held += waiting[-1].nbytes
            if held >= ROW_GROUP_BYTES:
                write()
                held = 0
        if waiting:
            write()


@contextmanager
def growing_file(path: Path, schema: pa.Schema) -> Iterator[Callable[[list[dict[str, Any]]], None]]:
    """Open a Parquet file for rows as they come, a row group each call; whole or not at all."""
    with whole_file(path) as file, pq.ParquetWriter(file, schema, **WRITTEN) as writer:
        yield lambda rows: writer.write_table(pa.Table.from_pylist(rows, schema))


def _round(column: pa.ChunkedArray) -> pa.ChunkedArray:
    def chunk(lists: pa.LargeListArray) -> pa.LargeListArray:
        # Not the offsets that there are: those of a slice do not start at zero, and a null may hide
        # values, all of which `flatten` drops.
        lengths = pc.fill_null(pc.list_value_length(lists), 0)
        offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(lengths)])
        values = pc.divide(pc.round(pc.multiply(lists.flatten(), STEP)), STEP)
        return pa.LargeListArray.from_arrays(
            offsets, values.cast(pa.float32()), mask=lists.is_null() if lists.null_count else None
        )

    return pa.chunked_array([chunk(part) for part in column.chunks], type=column.type)


def write(folder: Path, name: str, frame: pl.DataFrame) -> int:
    """Write a frame as the named table's shards in `folder` and return its number of rows."""
    with Writer(folder, name) as writer:
        writer.add(frame)
    return writer.rows


class Writer:
    """Writes a table of any size: rows as they come, of which a row group is in memory at once.

    Files and row groups are the same however the rows came.
    """

    def __init__(self, folder: Path, name: str, limit: int = SHARD_BYTES) -> None:
        """Begin a table in an empty folder."""
        self.folder, self.name, self.limit = folder, name, limit
        self.rows = self.shards = self.held = self.bytes = 0
        self._waiting: list[pa.Table] = []
        self._size = 0
        """How many rows the next group has; 0 while too few are seen to tell."""
        self._file = ExitStack()
        self._open: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self.close()
        self._file.__exit__(*error)

    def add(self, frame: pl.DataFrame) -> None:
        """Take more rows."""
        self._waiting.append(conform(frame, self.name))
        self.rows += len(frame)
        self.held += len(frame)
        if not self._size and self.held >= ENOUGH:
            self._size = self._rows_for(self._first(ENOUGH))
        while self._size and self.held >= self._size:
            self._write()

    def close(self) -> None:
        """Write what is left; a table of no rows has a file too."""
        self._size = self._size or self._rows_for(self._first(ENOUGH))
        while self.held or not self.shards:
            self._write()
        self._file.close()

    def _first(self, rows: int) -> pa.Table:
        """Take the first of the rows that wait, in one piece."""
        nothing = pa.Table.from_batches([], TABLES[self.name])
        return pa.concat_tables([nothing, *self._waiting]).slice(0, rows).combine_chunks()

    def _write(self) -> None:
        """Write a row group, and end the file once that is long enough."""
        group = self._first(self._size)
        self._waiting = [pa.concat_tables(self._waiting).slice(self._size)] if self._waiting else []
        self.held -= group.num_rows
        if self._open is None:
            path = self.folder / f"part-{self.shards:05d}.parquet"
            self._open = self._file.enter_context(opened(path, group.schema))
            self.shards += 1
        self._open.write_table(rounded(group), row_group_size=max(1, group.num_rows))
        self.bytes += group.nbytes
        self._size = self._rows_for(group)
        if self.bytes >= self.limit:
            self._file.close()
            self._open, self.bytes = None, 0

    def _rows_for(self, rows: pa.Table) -> int:
        """Tell how many rows like these make a group: a power of two, so that no byte decides."""
        many = min(ROW_GROUP_BYTES, self.limit) * max(1, rows.num_rows) / max(1, rows.nbytes)
        return 1 << max(0, int(many).bit_length() - 1)


def parts(folder: Path) -> list[Path]:
    """List the finished shards of a folder in order."""
    return sorted(folder.glob("*.parquet"))


def read_file(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Read one Parquet file, turning damage into one clear line."""
    # Not read_table, which imports pandas: a quarter of the time of `rft report`.
    with (
        damage_told(path),
        pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=True) as file,
    ):
        _check_names(file.schema_arrow.names, columns or [])
        frame = pl.from_arrow(file.read(columns))
    assert isinstance(frame, pl.DataFrame)
    return frame


def batches(
    path: Path,
    name: str,
    columns: list[str] | None = None,
    problems: Collection[str] | None = None,
) -> Iterator[pl.DataFrame]:
    """Read a shard of the named table a row group at a time; at least one frame, if of no rows.

    Of some problems alone, groups in which there is none of them are not read. A column that may be
    null is null where an earlier version, which had none, wrote the table.
    """
    wanted = columns or TABLES[name].names
    assert problems is None or "problem_id" in TABLES[name].names, f"{name}: not of problems"
    asked = [*filter(encodable, problems or ())]
    with (
        damage_told(path),
        pq.ParquetFile(path, page_checksum_verification=True) as file,
    ):
        there = file.schema_arrow.names
        _check_names(there, [])
        earlier = [column for column in wanted if column in there]
        read = list(dict.fromkeys([*earlier, *(["problem_id"] if problems is not None else [])]))
        groups = [
            group
            for group in range(file.num_row_groups)
            if problems is None or _may_have(file.metadata.row_group(group), asked)
        ]
        for group in groups:
            frame = pl.from_arrow(file.read_row_group(group, read))
            assert isinstance(frame, pl.DataFrame)
            if problems is not None:
                frame = frame.filter(pl.col("problem_id").is_in(asked)).select(earlier)
            yield _with_later(frame, name, wanted)
        if not groups:
            yield empty(name).select(wanted)


def encodable(name: str) -> bool:
    """Say whether a table may hold a text: a half of a pair of surrogates, it cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _may_have(group: pq.RowGroupMetaData, problems: Collection[str]) -> bool:
    """Say whether a row group may have a row of a problem, by its least and greatest name."""
    about = (group.column(place) for place in range(group.num_columns))
    seen = next(each.statistics for each in about if each.path_in_schema == "problem_id")
    if seen is None or not seen.has_min_max:
        return True
    return any(seen.min <= name <= seen.max for name in problems)


def read_row(path: Path, index: int) -> dict[str, Any]:
    """Read the row of an index out of anybody's Parquet file, and no more than its row group."""
    rows, frame = row_group(path, index, remedy="")
    return frame.row(index - rows.start, named=True)


# What helps where the file is a run's own.
REMEDY = "; move it away and run again, the stage that wrote it is then done again"


def row_group(path: Path, index: int, remedy: str = REMEDY) -> tuple[range, pl.DataFrame]:
    """Read the row group that has the row of an index, and say which rows it has."""
    with (
        damage_told(path, remedy=remedy),
        pq.ParquetFile(path, page_checksum_verification=True) as file,
    ):
        _check_names(file.schema_arrow.names, [])
        first = 0
        for group in range(file.num_row_groups):
            rows = range(first, first + file.metadata.row_group(group).num_rows)
            if index in rows:
                frame = pl.from_arrow(file.read_row_group(group))
                assert isinstance(frame, pl.DataFrame)
                return rows, frame
            first = rows.stop
        raise RFTError(f"{path}: it has no such row, but {file.metadata.num_rows}; the first is 1")


@contextmanager
def damage_told(path: Path, remedy: str = REMEDY) -> Iterator[None]:
    """Turn what a reader of Parquet says of a damaged file into one clear line."""
    try:
        yield
    except FileNotFoundError:
        raise RFTError(f"{path}: no such file") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
            raise
        from rft.foreign_text import visible  # here, since most tables are whole

        reason = clipped(visible((str(error).splitlines() or [""])[0]), 300)
        raise RFTError(f"{path}: not a readable Parquet file ({reason}){remedy}") from None


def _check_names(names: list[str], wanted: list[str]) -> None:
    """Refuse what the reader would pass over: columns that are not there, or there twice."""
    refuse_twice(names)
    for name in wanted:
        if name not in names:
            raise pa.ArrowInvalid(f"no columns {name!r}")


def refuse_twice(names: list[str]) -> None:
    """Refuse a column that is there twice."""
    for name, count in Counter(names).items():
        if count > 1:
            raise pa.ArrowInvalid(f"{count} columns {clipped(name)!r}")


def read(folder: Path, name: str, columns: list[str] | None = None) -> pl.DataFrame:
    """Read all shards of the named table in a folder, in order, as one frame.

    A column that may be null is null where an earlier version, which had none, wrote the table.
    """
    whole = parts(folder)
    if not whole:
        raise RFTError(f"{folder}: no table here; run the stage that writes it first")
    with damage_told(whole[0]):
        there = pq.read_schema(whole[0]).names
    wanted = columns or TABLES[name].names
    earlier = [column for column in wanted if column in there]
    return _with_later(pl.concat([read_file(path, earlier) for path in whole]), name, wanted)


def _with_later(rows: pl.DataFrame, name: str, wanted: list[str]) -> pl.DataFrame:
    """Give rows of an earlier version the columns that came later, as far as they may be null."""
    later = [column for column in wanted if column not in rows.columns]
    required = [column for column in later if not TABLES[name].field(column).nullable]
    assert not required, f"table {name}: no columns {required}"
    kinds = empty(name).schema
    nulls = [pl.lit(None, kinds[column]).alias(column) for column in later]
    return rows.with_columns(nulls).select(wanted)


def empty(name: str) -> pl.DataFrame:
    """Make a frame of no rows with the named table's columns."""
    # Not empty_table, which imports pandas too.
    frame = pl.from_arrow(pa.Table.from_batches([], TABLES[name]))
    assert isinstance(frame, pl.DataFrame)
    return frame


def file_digest(path: Path) -> str:
    """Hash a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path) -> str:
    """Hash the shards of a table, by name and content; once a process while they do not change."""
    whole = hashlib.sha256()
    for path in parts(folder):
        digest = "no file"
        if path.is_file():
            seen = path.stat()
            digest = _digest_of(path, seen.st_mtime_ns, seen.st_size, seen.st_ino)
        whole.update(f"{path.name} {digest}\n".encode())
    return whole.hexdigest()


@lru_cache(maxsize=1 << 16)
def _digest_of(path: Path, _changed: int, _size: int, _inode: int) -> str:
    return file_digest(path)


def pad(rows: pl.DataFrame, table: str) -> pl.DataFrame:
    """Give rows exactly the named table's columns; those that they lack are empty."""
    schema = empty(table).schema
    return rows.select(
        pl.col(name) if name in rows.columns else pl.lit(None, kind).alias(name)
        for name, kind in schema.items()
    )
