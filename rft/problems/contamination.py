"""Training problems that have words in common with what is measured on: told of, or dropped.

A row is a problem as `prepare` has it, a mapping with a `reason` where it is set aside.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rft.problems.overlaps import NEAR, RUNS, References, near_duplicates
from rft.recipe.prepare import AGAINST, Decontaminate

Row = dict[str, Any]


def mark_near_duplicates(rows: Sequence[Row], threshold: float) -> None:
    """Set training problems aside that nearly repeat an earlier one, of whichever split."""
    usable = [row for row in rows if row["reason"] is None]
    texts = [row["question"] for row in usable]
    stays = [row["split"] != "train" for row in usable]
    for number, first in near_duplicates(texts, threshold, stays).items():
        row, like = usable[number], usable[first]
        same = like["split"] == row["split"]
        row["reason"] = (
            f"nearly repeated in {like['split']}" if same else f"nearly in {like['split']}"
        )


def overlaps(rows: Iterable[Row], measured: Iterable[Row]) -> list[Row]:
    """Tell of each training problem, and each benchmark, what it has most in common with."""
    given = [row for row in rows if row["split"] == "train" and row["reason"] is None]
    benchmarks: dict[tuple[str, str], list[Row]] = {}
    for row in measured:
        benchmarks.setdefault((row["split"], row["benchmark"]), []).append(row)
    return [
        told
        for place, those in sorted(benchmarks.items())
        for told in _overlaps_with(place, those, given)
    ]


def _overlaps_with(
    place: tuple[str, str], those: Sequence[Row], given: Iterable[Row]
) -> Iterator[Row]:
    references = References([row["question"] for row in those])
    for row in given:
        if (overlap := references.overlap(row["question"])) is None:
            continue
        other = those[overlap.other]
        yield {
            "problem_id": row["problem_id"],
            "benchmark": row["benchmark"],
            "other_split": place[0],
            "other_benchmark": place[1],
            "other_problem_id": other["problem_id"],
            "other_question": other["question"],
            **{f"runs_{n}": count for n, count in zip(RUNS, overlap.runs, strict=True)},
            "likeness": overlap.likeness,
            "example": overlap.example,
        }


def is_copy(overlap: Mapping[str, Any], words: int) -> bool:
    """Say whether a problem is dropped for what it has in common."""
    return bool(overlap[f"runs_{words}"]) or overlap["likeness"] >= NEAR


def mark_copies(rows: Iterable[Row], told: Iterable[Mapping[str, Any]], how: Decontaminate) -> None:
    """Set the training problems aside that have too much in common, where that is asked for."""
    if how.do != "drop":
        return
    where: dict[str, str] = {}
    for overlap in told:
        if is_copy(overlap, how.words):
            where.setdefault(overlap["problem_id"], place_of(overlap))
    for row in rows:
        if row["split"] == "train" and row["reason"] is None and row["problem_id"] in where:
            row["reason"] = f"overlaps {where[row['problem_id']]}"


def place_of(overlap: Mapping[str, Any]) -> str:
    """Name the benchmark that a problem has something in common with."""
    split, benchmark = overlap["other_split"], overlap["other_benchmark"]
    return str(benchmark) if split in (AGAINST, benchmark) else f"{split} {benchmark}"


def counted(told: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """Count the problems with 8 words in a row in common, with 12, and those nearly the same."""
    counts: dict[str, Counter[str]] = {}
    for overlap in told:
        here = counts.setdefault(place_of(overlap), Counter())
        for n in RUNS:
            here[f"runs_{n}"] += overlap[f"runs_{n}"] > 0
        here["near"] += overlap["likeness"] >= NEAR
    return {place: dict(here) for place, here in counts.items()}


def in_common(shared: Mapping[str, int], place: str) -> str:
    """Say how many problems have something in common with a benchmark."""
    return (
        f"{shared['runs_8']:,} training problems share 8 words in a row with {place}, "
        f"{shared['runs_12']:,} share 12, and {shared['near']:,} are nearly the same"
    )
