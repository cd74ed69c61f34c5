"""Recorded rollouts in place of an engine: another run's, or anyone's table of the same columns."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rft import tables
from rft.engines import Finished, Request, Sampling
from rft.errors import RFTError
from rft.schemas import TABLES

UNIT = 1024


class Replay:
    """Answer each request with the recorded rollout of the same problem, round and index."""

    def __init__(self, path: str):
        root = Path(path)
        source = root / "rollouts" if (root / "recipe.yaml").is_file() else root
        files = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
        if not files:
            raise RFTError(f"engine.path: {path}: no recorded rollouts (Parquet) here")
        frames = [tables.read_file(file) for file in files]
        missing = {"problem_id", "completion"} - set(frames[0].columns)
        if missing:
            raise RFTError(f"engine.path: {files[0]}: not rollouts, no column {sorted(missing)}")
        recorded = pl.concat(frames, how="diagonal_relaxed")
        known = [name for name in TABLES["rollouts"].names if name in recorded.columns]
        if "sample_index" not in known:
            index = pl.int_range(pl.len()).over("problem_id").alias("sample_index")
            recorded, known = recorded.with_columns(index), [*known, "sample_index"]
        self.path = path
        self.rows: dict[tuple[str, int, int | None], dict[str, Any]] = {
            (row["problem_id"], row["sample_index"], row.get("round")): row
            for row in recorded.select(known).iter_rows(named=True)
        }

    def units(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Answer many at once: nothing is computed."""
        ordered = sorted(requests, key=lambda r: r.rollout_id)
        return [list(ordered[i : i + UNIT]) for i in range(0, len(ordered), UNIT)]

    def sample(
        self, unit: Sequence[Request], sampling: Sampling, *, check: Callable[[], None]
    ) -> list[Finished]:
        """Look the requests up."""
        check()
        return [self._finished(request, sampling) for request in unit]

    def _finished(self, request: Request, sampling: Sampling) -> Finished:
        place = (request.problem_id, request.sample_index)
        row = self.rows.get((*place, request.round)) or self.rows.get((*place, None))
        if row is None:
            raise RFTError(
                f"engine.path: {self.path}: no recorded rollout {request.sample_index} of problem "
                f"{request.problem_id} in round {request.round}; record more, or ask for less"
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
        )
