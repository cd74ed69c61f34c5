"""The numbers behind a comparison, as one file: answers counted by all that it looks at, no texts.

Whoever has the file makes the same tables and figures of it, without the runs; files of other seeds
add up. A row says how many answers to a problem came to the same. What holds for all rows, and for
each run, is in the file's metadata.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.readers.comparison.side_by_side import Measured, SideBySide, Way
from pipelines.readers.comparison.sources import COLUMNS, DRAWN, HOURS, remarks_on, told_unlike
from rft.errors import RFTError, clipped
from rft.recipe.compare import Claim
from rft.runs.leftovers import ABANDONED, remove_left_beside
from rft.runs.tables import damage_told, read_file, write_file
from rft.seeds import digest

NUMBERS = "comparison.parquet"
KEY = b"rft comparison"
ALIKE = ["split", "benchmark", "problem_id", "answer", "answer_class", "verdict", "verdict_lenient"]
KINDS: dict[str, type[pl.DataType]] = {name: pl.String for name in ALIKE}
KINDS |= {"answer_class": pl.Int32, "frame": pl.Int64, "mean_entropy": pl.Float64}
KINDS |= {"count": pl.Int64}
# A file of more answers than this is no comparison's; it would fill the memory.
MOST = 200_000_000


class _Told(BaseModel):
    """What a file says of a run."""

    model_config = ConfigDict(extra="forbid")
    arm: str
    seed: int
    place: str
    model: int
    ks: list[int]
    asked: dict[str, Any]
    began_with: str
    sources: dict[str, tuple[str, str]]
    frames: dict[int, int]
    """round -> which of the file's frames has its answers; equal ones are there once"""


class _About(BaseModel):
    """What a file says of a comparison."""

    model_config = ConfigDict(extra="forbid")
    name: str
    control: str
    seed: int
    wanted: list[tuple[str, int]]
    claims: dict[str, Claim] | None
    remarks: list[str]
    runs: list[_Told]


def write_numbers(comparison: SideBySide, path: Path) -> None:
    """Write what a comparison is made of."""
    remove_left_beside(path, idle=ABANDONED)
    frames: dict[str, int] = {}
    counted = [pl.DataFrame(schema=KINDS)]
    told = []
    for arm, runs in comparison.arms.items():
        for one in runs:
            way = {0: one.base, one.model: one.answers} | dict(one.by_round())
            places = {}
            for round, answers in way.items():
                rows = _counted(answers)
                content = digest(rows.write_json())
                if content not in frames:
                    frames[content] = len(frames)
                    counted.append(rows.with_columns(frame=pl.lit(frames[content], pl.Int64)))
                places[round] = frames[content]
            told.append(
                _Told(
                    arm=arm,
                    seed=one.seed,
                    place=Path(one.place).name,
                    model=one.model,
                    ks=list(one.ks),
                    asked=dict(one.asked),
                    began_with=one.began_with,
                    sources=dict(one.sources),
                    frames=places,
                )
            )
    about = _About(
        name=comparison.name,
        control=comparison.control,
        seed=comparison.seed,
        wanted=list(comparison.wanted),
        claims=None if comparison.claims is None else dict(comparison.claims),
        remarks=list(comparison.remarks),
        runs=told,
    )
    table = pl.concat([rows.select(list(KINDS)) for rows in counted]).to_arrow()
    write_file(path, table.replace_schema_metadata({KEY: about.model_dump_json()}))


def _counted(answers: pl.DataFrame) -> pl.DataFrame:
    """Count the answers to each problem that came to the same, and average their entropy."""
    # What was in the box is a word of the model; whether anything was is all that is asked of it.
    said = pl.col("answer").str.strip_chars().str.len_chars() > 0
    kept = pl.when(said).then(pl.lit("given")).when(~said).then(pl.lit(""))
    entropy = pl.col("mean_entropy").cast(pl.Float64)
    known = pl.col("mean_entropy").is_not_null().all()
    keys = ["split", "benchmark", "problem_id"]
    return (
        answers.with_columns(
            answer=kept, mean_entropy=pl.when(known.over(keys)).then(entropy.mean().over(keys))
        )
        .group_by(*ALIKE)
        .agg(pl.col("mean_entropy").first(), count=pl.len().cast(pl.Int64))
        .sort(ALIKE)
    )


def read_numbers(paths: Sequence[Path]) -> SideBySide:
    """Read comparisons of the same arms by other seeds as one."""
    read = [(path, *_read(path)) for path in paths]
    (first, about, _), *others = read
    for path, theirs, _ in others:
        for what in ("control", "seed", "claims"):
            mine, other = getattr(about, what), getattr(theirs, what)
            if mine != other:
                raise RFTError(
                    f"{path}: its {what} is not that of {first} ({clipped(other)}, {clipped(mine)})"
                    "; compare numbers of one recipe"
                )
    arms: dict[str, list[Measured]] = {}
    seen: dict[tuple[str, int], Path] = {}
    for path, theirs, frames in read:
        for told in theirs.runs:
            if before := seen.get((told.arm, told.seed)):
                raise RFTError(
                    f"{path}: {told.arm}, seed {told.seed} is in {before} too; give each run once"
                )
            seen[told.arm, told.seed] = path
            arms.setdefault(told.arm, []).append(_measured(told, frames))
    for arm, runs in arms.items():
        for line in told_unlike({arm: runs}, DRAWN):
            raise RFTError(f"evaluate.{line}; seeds add up only where they were drawn alike")
    hours = [HOURS] if any(HOURS in theirs.remarks for _, theirs, _ in read) else []
    remarks = [*remarks_on(arms), *hours] if others else about.remarks
    wanted = list(dict.fromkeys(pair for _, theirs, _ in read for pair in theirs.wanted))
    return SideBySide(about.name, about.control, arms, about.seed, wanted, about.claims, remarks)


def _read(path: Path) -> tuple[_About, Mapping[int, pl.DataFrame]]:
    """Read a file: what it says of itself, and its frames."""
    with damage_told(path, remedy=""):
        said = (pq.read_schema(path).metadata or {}).get(KEY)
    if said is None:
        raise RFTError(
            f"{path}: no numbers of a comparison; those are the {NUMBERS} that `rft compare` writes"
        )
    rows = read_file(path, list(KINDS))
    try:
        about = _About.model_validate_json(said)
        rows = rows.cast(dict(KINDS.items()))
        if not rows["count"].is_between(1, MOST).all() or rows["count"].sum() > MOST:
            raise ValueError("its counts are no counts")
        frames = {
            int(number): each.select(pl.col(COLUMNS).repeat_by("count").explode())
            for (number,), each in rows.partition_by("frame", as_dict=True).items()
        }
        for told in about.runs:
            there = {round for round, number in told.frames.items() if number in frames}
            if not {0, told.model} <= there or there != set(told.frames):
                raise ValueError(f"answers of {told.arm}, seed {told.seed} are missing")
    except (ValidationError, ValueError, TypeError, pl.exceptions.PolarsError) as error:
        reason = clipped((str(error).splitlines() or [""])[0])
        raise RFTError(
            f"{path}: not what `rft compare` writes ({reason}); fetch it again"
        ) from None
    return about, frames


def _measured(told: _Told, frames: Mapping[int, pl.DataFrame]) -> Measured:
    """Give a run as it was compared."""

    def way() -> Way:
        return {round: frames[number] for round, number in told.frames.items()}

    test = pl.col("split") == "test"
    return Measured(
        told.place,
        told.seed,
        told.model,
        way()[told.model].filter(test),
        way()[0].filter(test),
        way,
        told.ks,
        told.asked,
        told.began_with,
        told.sources,
    )
