"""Finished rollouts put in order, whatever their number: what does not fit is sorted in parts.

Workers finish problems in any order, a table is sorted by them. Where all rollouts together are
more than a part may be, they are first dealt out to files, each for a range of problems, and then
sorted file by file: every row is read and written once more, and one part is in memory at a time.
"""

import contextlib
import math
import shutil
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from rft.runs import tables
from rft.runs.schemas import TABLES

ORDER = ["problem_id", "sample_index", "rollout_id"]
# Of a part, as it is in memory; and at most so many of them, each of which is an open file.
PART_BYTES = 64 << 20
MOST_PARTS = 200
# What waits for its file, of all parts together.
WAITING_BYTES = 32 << 20


def in_order(
    paths: Sequence[Path], wanted: Collection[str], scratch: Path, part_bytes: int = PART_BYTES
) -> Iterator[pl.DataFrame]:
    """Give the wanted rollouts of some files, each once, sorted, a part at a time.

    Where two files have the same rollout, the first one's counts.
    """
    names = pl.DataFrame({"rollout_id": list(wanted)}, schema={"rollout_id": pl.String})
    parts = min(MOST_PARTS, math.ceil(sum(map(size_of, paths)) / part_bytes))
    if parts <= 1:
        frames = [tables.empty("rollouts"), *(tables.read_file(path) for path in paths)]
        yield _sorted([frame.join(names, on="rollout_id", how="semi") for frame in frames])
        return
    borders = _borders(paths, names, parts)
    shutil.rmtree(scratch, ignore_errors=True)  # of an attempt that was killed
    scratch.mkdir(parents=True)
    try:
        dealt = [scratch / f"{number:03d}.arrow" for number in range(len(borders) + 1)]
        _deal(paths, names, borders, dealt)
        for path in dealt:
            with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
                frame = pl.from_arrow(stream.read_all())
            assert isinstance(frame, pl.DataFrame)
            path.unlink()
            yield _sorted([frame])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def size_of(path: Path) -> int:
    """Tell how large a file's rows are, about, once they are in memory."""
    with tables.damage_told(path):
        about = pq.read_metadata(path)
    groups = (about.row_group(number) for number in range(about.num_row_groups))
    return sum(group.total_byte_size for group in groups)


def _sorted(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    rows = pl.concat(frames).unique("rollout_id", keep="first", maintain_order=True)
    return rows.sort(ORDER)


def _borders(paths: Sequence[Path], names: pl.DataFrame, parts: int) -> list[str]:
    """Find problems between which the rollouts fall into parts of like number."""
    problems = [
        batch.join(names, on="rollout_id", how="semi")["problem_id"]
        for path in paths
        for batch in tables.batches(path, "rollouts", ["rollout_id", "problem_id"])
    ]
    ordered = pl.concat(problems).sort()
    cuts = (ordered[len(ordered) * part // parts] for part in range(1, parts))
    return list(dict.fromkeys(cuts)) if len(ordered) else []


def _deal(
    paths: Sequence[Path], names: pl.DataFrame, borders: Sequence[str], dealt: Sequence[Path]
) -> None:
    """Give every wanted row to the file of its part, in the order of the files they come from."""
    schema = TABLES["rollouts"]
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(pa.ipc.new_stream(stack.enter_context(open_file(path)), schema))
            for path in dealt
        ]
        waiting: list[list[pa.Table]] = [[] for _ in dealt]
        held = 0

        def write_all() -> None:
            for writer, rows in zip(writers, waiting, strict=True):
                if rows:
                    writer.write_table(pa.concat_tables(rows).combine_chunks())
                    rows.clear()

        for path in paths:
            for batch in tables.batches(path, "rollouts"):
                rows = batch.join(names, on="rollout_id", how="semi")
                place = [bisect_right(borders, name) for name in rows["problem_id"]]
                parts = rows.with_columns(part=pl.Series(place, dtype=pl.Int64)).partition_by(
                    "part", as_dict=True, include_key=False
                )
                for (part,), some in parts.items():
                    waiting[part].append(tables.conform(some, "rollouts"))
                held += int(rows.estimated_size())
                if held > WAITING_BYTES:
                    write_all()
                    held = 0
        write_all()


def open_file(path: Path) -> Any:
    """Open a file to write Arrow into."""
    return pa.OSFile(str(path), "wb")
