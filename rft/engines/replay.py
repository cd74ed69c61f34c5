"""Recorded rollouts in place of an engine: another run's, or anyone's table of the same columns."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow.parquet as pq

from rft.engines import Demand, Feed, Finished, Request, Sampling
from rft.errors import RFTError
from rft.recipe import Recipe
from rft.runs import tables
from rft.runs.schemas import TABLES
from rft.seeds import digest

UNIT = 1024
# What tells one answer from another.
NAMED = ("problem_id", "sample_index", "round", "split", "benchmark")


class Place(NamedTuple):
    """Where a recorded answer is: in which file, and in which row of it."""

    file: int
    row: int


def open_for(demand: Demand, _seed: int) -> "Replay":
    """Open the recording that the recipe names."""
    return Replay(path_of(demand.run.recipe))


def identity(recipe: Recipe) -> dict[str, Any]:
    """Tell answers by what is recorded, wherever it lies."""
    return {"recording": recording_digest(Path(path_of(recipe)))}


def path_of(recipe: Recipe) -> str:
    """Give the place of the recording."""
    assert recipe.engine.path is not None, "the recipe refuses replay without a path"
    return recipe.engine.path


def recording_digest(path: Path) -> str:
    """Hash what a replay answers from."""
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    files = [file for file in files if not {"stale", "work"} & set(file.relative_to(path).parts)]
    if not files:
        raise RFTError(f"engine.path: {path}: no recorded rollouts (Parquet) here")
    return digest(*(file_digest_of(str(file), file.stat().st_mtime_ns) for file in files))


@cache
def file_digest_of(path: str, _modified: int) -> str:
    """Hash a file once per process, unless it changes."""
    return tables.file_digest(Path(path))


class Replay:
    """Answer each request with the recorded one of the same problem, round and index.

    A run folder holds its evaluations too; any other table answers for sampling only.
    """

    def __init__(self, path: str):
        root = Path(path)
        is_run = (root / "recipe.yaml").is_file()
        self.path = path
        self.recording = Recording(path)
        self.recording.add(root / "rollouts" if is_run else root)
        if is_run and (root / "evaluations").is_dir():
            self.recording.add(root / "evaluations")

    def units(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Answer many at once, in the order in which they are recorded."""
        unknown = Place(len(self.recording.files), 0)
        ordered = sorted(requests, key=lambda r: (self._place(r) or unknown, r.rollout_id))
        return [ordered[i : i + UNIT] for i in range(0, len(ordered), UNIT)]

    def sample(
        self, feed: Feed, sampling: Sampling, *, check: Callable[[], None]
    ) -> Iterator[list[Finished]]:
        """Look the requests up."""
        while (unit := feed.take(wait=True)) is not None:
            check()
            yield [self._finished(request, sampling) for request in unit]

    def figures(self) -> dict[str, Any]:
        """Tell nothing: what is recorded was measured when it was made."""
        return {}

    def _place(self, request: Request) -> Place | None:
        asked = (request.benchmark, request.problem_id, request.sample_index)
        places = self.recording.places
        return places.get((*asked, request.round)) or places.get((*asked, None))

    def _finished(self, request: Request, sampling: Sampling) -> Finished:
        place = self._place(request)
        if place is None:
            what = f"for {request.benchmark} " if request.benchmark else ""
            raise RFTError(
                f"engine.path: {self.path}: no recorded answer {request.sample_index} {what}to "
                f"problem {request.problem_id} in round {request.round}; record more, or ask for "
                "less (a run folder holds evaluations as well as rollouts)"
            )
        row = self.recording.row(place)
        mass = row.get("stats_mass")
        branching = row.get("branching")
        if mass is not None and abs(mass - sampling.mass) > 1e-6:
            branching = None  # recorded at another mass: not the statistic that is asked for
        return Finished(
            request=request,
            completion=row["completion"],
            finish_reason=row.get("finish_reason") or "stop",
            token_ids=row.get("token_ids"),
            logprobs=row.get("logprobs"),
            entropies=row.get("entropies"),
            branching=branching,
            stats_origin=row.get("stats_origin"),
            seed=row.get("seed"),
            num_tokens=row.get("num_tokens"),
        )


class Recording:
    """Where each recorded answer is; of the answers themselves, what was read last.

    A place is known by benchmark (None for rollouts), problem, index and round.
    """

    def __init__(self, path: str):
        self.path = path
        self.files: list[Path] = []
        self.places: dict[tuple[Any, ...], Place] = {}
        self._group: tuple[int, range, pl.DataFrame] = (-1, range(0), pl.DataFrame())

    def add(self, source: Path) -> None:
        """Learn what is recorded in a table."""
        files = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
        if not files:
            raise RFTError(f"engine.path: {self.path}: no recorded rollouts (Parquet) here")
        parts = []
        for number, file in enumerate(files, len(self.files)):
            there = columns_of(file)
            if missing := {"problem_id", "completion"} - set(there):
                raise RFTError(
                    f"engine.path: {self.path}: not rollouts, no column {sorted(missing)}"
                )
            part = tables.read_file(file, [name for name in NAMED if name in there])
            parts.append(part.with_columns(file=pl.lit(number), row=pl.int_range(pl.len())))
        self.files += files
        frame = pl.concat(parts, how="diagonal_relaxed")
        if "sample_index" not in frame.columns:
            frame = frame.with_columns(sample_index=pl.int_range(pl.len()).over("problem_id"))
        problems: dict[str, str] = {}  # each name once, for many answers
        for row in frame.iter_rows(named=True):
            measured = f"{row['split']}/{row['benchmark']}" if row.get("benchmark") else None
            problem = problems.setdefault(row["problem_id"], row["problem_id"])
            name = (measured, problem, row["sample_index"], row.get("round"))
            if name in self.places:
                raise RFTError(
                    f"engine.path: {self.path}: two recorded answers {row['sample_index']} to "
                    f"problem {row['problem_id']} in round {row.get('round')}; keep one"
                )
            self.places[name] = Place(row["file"], row["row"])

    def row(self, place: Place) -> dict[str, Any]:
        """Read an answer; others of its row group, which are often the next, are kept at hand."""
        number, rows, frame = self._group
        if number != place.file or place.row not in rows:
            rows, frame = tables.row_group(self.files[place.file], place.row)
            frame = frame.select(name for name in frame.columns if name in TABLES["rollouts"].names)
            self._group = place.file, rows, frame
        return frame.row(place.row - rows.start, named=True)


def columns_of(file: Path) -> list[str]:
    """List the columns of a file."""
    with tables.damage_told(file):
        return [str(name) for name in pq.read_schema(file).names]
