"""Finished rollouts put in order, whatever their number: what does not fit is sorted in parts.

Workers finish problems in any order, a table is sorted by them. Where all rollouts together are
more than a part may be, they are first dealt out to files, each for a range of problems, and then
sorted file by file: every row is read and written once more, and one part is in memory at a time.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import polars as pl

from rft.runs import tables
from rft.runs.dealing import PART_BYTES, dealt, parts_for, size_of

ORDER = ["problem_id", "sample_index", "rollout_id"]


def in_order(
    paths: Sequence[Path], wanted: Collection[str], scratch: Path, part_bytes: int = PART_BYTES
) -> Iterator[pl.DataFrame]:
    """Give the wanted rollouts of some files, each once, sorted, a part at a time.

    Where two files have the same rollout, the first one's counts.
    """
    names = pl.DataFrame({"rollout_id": list(wanted)}, schema={"rollout_id": pl.String})
    parts = parts_for(sum(map(size_of, paths)), part_bytes)
    borders = _borders(paths, names, parts) if parts > 1 else []
    rows = _placed(paths, names, borders)
    for part in dealt(rows, "rollouts", len(borders) + 1, scratch):
        yield part.unique("rollout_id", keep="first", maintain_order=True).sort(ORDER)


def _placed(
    paths: Sequence[Path], names: pl.DataFrame, borders: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """Read the wanted rows of files in order, with the part that each belongs to."""
    for path in paths:
        for batch in tables.batches(path, "rollouts"):
            rows = batch.join(names, on="rollout_id", how="semi", maintain_order="left")
            place = [bisect_right(borders, name) for name in rows["problem_id"]]
            yield rows.with_columns(part=pl.Series(place, dtype=pl.Int64))


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
