"""Rows dealt out to files by their part: what does not fit in memory is put in order part by part.

Each row is written and read once more, and one part is in memory at a time.
"""

import contextlib
import math
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from rft.runs import tables
from rft.runs.schemas import TABLES

# Of a part, as it is in memory; and at most so many of them, each of which is an open file.
PART_BYTES = 16 << 20
MOST_PARTS = 200
# What waits for its file, of all parts together.
WAITING_BYTES = 32 << 20


def parts_for(size: float, part_bytes: int = PART_BYTES) -> int:
    """Tell how many parts are made of rows of so many bytes."""
    return max(1, min(MOST_PARTS, math.ceil(size / part_bytes)))


def size_of(path: Path) -> int:
    """Tell how large a file's rows are, about, once they are in memory."""
    with tables.damage_told(path):
        about = pq.read_metadata(path)
    groups = (about.row_group(number) for number in range(about.num_row_groups))
    return sum(group.total_byte_size for group in groups)


def dealt(
    rows: Iterable[pl.DataFrame], table: str, parts: int, scratch: Path
) -> Iterator[pl.DataFrame]:
    """Give the rows of each part, in the order in which they came; their column `part` says which.

    There is a frame for each part, if of no rows. A single part needs no file.
    """
    if parts == 1:
        waiting = [tables.conform(frame.drop("part"), table) for frame in rows]
        yield _frame(pa.concat_tables([tables.conform(tables.empty(table), table), *waiting]))
        return
    shutil.rmtree(scratch, ignore_errors=True)  # of an attempt that was killed
    scratch.mkdir(parents=True)
    try:
        paths = [scratch / f"{number:03d}.arrow" for number in range(parts)]
        _deal(rows, table, paths)
        for path in paths:
            with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
                frame = _frame(stream.read_all())
            path.unlink()
            yield frame
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _deal(rows: Iterable[pl.DataFrame], table: str, paths: list[Path]) -> None:
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(
                pa.ipc.new_stream(stack.enter_context(open_file(path)), TABLES[table])
            )
            for path in paths
        ]
        waiting: list[list[pa.Table]] = [[] for _ in paths]
        held = 0

        def write_all() -> None:
            for writer, some in zip(writers, waiting, strict=True):
                if some:
                    writer.write_table(pa.concat_tables(some).combine_chunks())
                    some.clear()

        for frame in rows:
            by_part = frame.partition_by("part", as_dict=True, include_key=False)
            for (part,), some in by_part.items():
                waiting[part].append(tables.conform(some, table))
            held += int(frame.estimated_size())
            if held > WAITING_BYTES:
                write_all()
                held = 0
        write_all()


def open_file(path: Path) -> Any:
    """Open a file to write Arrow into."""
    return pa.OSFile(str(path), "wb")
