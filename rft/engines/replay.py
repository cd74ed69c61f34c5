"""Recorded rollouts in place of an engine: another run's, or anyone's table of the same columns."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from rft.engines import Demand, Feed, Finished, Request, Sampling
from rft.errors import RFTError
from rft.recipe import Recipe
from rft.runs import tables
from rft.runs.schemas import TABLES
from rft.seeds import digest

UNIT = 1024


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
        self.rows = recorded(root / "rollouts" if is_run else root, path)
        if is_run and (root / "evaluations").is_dir():
            self.rows |= recorded(root / "evaluations", path)

    def units(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Answer many at once: nothing is computed."""
        ordered = sorted(requests, key=lambda r: r.rollout_id)
        return [list(ordered[i : i + UNIT]) for i in range(0, len(ordered), UNIT)]

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

    def _finished(self, request: Request, sampling: Sampling) -> Finished:
        place = (request.benchmark, request.problem_id, request.sample_index)
        row = self.rows.get((*place, request.round)) or self.rows.get((*place, None))
        if row is None:
            what = f"for {request.benchmark} " if request.benchmark else ""
            raise RFTError(
                f"engine.path: {self.path}: no recorded answer {request.sample_index} {what}to "
                f"problem {request.problem_id} in round {request.round}; record more, or ask for "
                "less (a run folder holds evaluations as well as rollouts)"
            )
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


def recorded(source: Path, path: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Read a table of answers by benchmark (None for rollouts), problem, index and round."""
    files = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
    if not files:
        raise RFTError(f"engine.path: {path}: no recorded rollouts (Parquet) here")
    frame = pl.concat([tables.read_file(file) for file in files], how="diagonal_relaxed")
    if missing := {"problem_id", "completion"} - set(frame.columns):
        raise RFTError(f"engine.path: {path}: not rollouts, no column {sorted(missing)}")
    if "sample_index" not in frame.columns:
        index = pl.int_range(pl.len()).over("problem_id")
        frame = frame.with_columns(sample_index=index)
    known = {*TABLES["rollouts"].names, "split", "benchmark"}
    answers = {}
    for row in frame.select(name for name in frame.columns if name in known).iter_rows(named=True):
        measured = f"{row['split']}/{row['benchmark']}" if row.get("benchmark") else None
        place = (measured, row["problem_id"], row["sample_index"], row.get("round"))
        if place in answers:
            raise RFTError(
                f"engine.path: {path}: two recorded answers {row['sample_index']} to problem "
                f"{row['problem_id']} in round {row.get('round')}; keep one"
            )
        answers[place] = row
    return answers
