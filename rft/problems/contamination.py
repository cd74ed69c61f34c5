"""Training problems that have words in common with what is measured on: told of, or dropped.

A row is a problem as `prepare` has it, a mapping with a `reason` where it is set aside.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rft.problems.overlaps import FINDING, NEAR, RUNS, Overlap, References, near_duplicates
from rft.recipe.prepare import AGAINST, Decontaminate, Prepare

Row = dict[str, Any]
Shared = dict[str, int]


def looked_for(prepare: Prepare) -> dict[str, Any]:
    """Give what decides which copies are found, and which are dropped.

    It is nothing where all is left at its default: such a run drops nothing.
    """
    how, told = prepare.decontaminate, dict[str, Any]()
    if prepare.near_duplicates is not None:
        told["near_duplicates"] = prepare.near_duplicates
    if how.do == "drop":
        told["drops"] = how.words
    if how.against:
        given = how.against.items()
        told["against"] = {
            name: source.model_dump(mode="json", exclude={"license"}) for name, source in given
        }
    if told:
        told["finding"] = FINDING
    return told | ({"looks": False} if how.do == "off" else {})


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


def overlaps(train: Sequence[Row], measured: Iterable[Row]) -> tuple[list[Row], dict[str, int]]:
    """Tell of each training problem, and each benchmark, what it has most in common with.

    Of those that only share turns of phrase with a benchmark, how many there are.
    """
    benchmarks: dict[tuple[str, str], list[Row]] = {}
    for row in measured:
        benchmarks.setdefault((row["split"], row["benchmark"]), []).append(row)
    told: list[Row] = []
    phrases = {}
    for place, those in sorted(benchmarks.items()):
        references = References([row["question"] for row in those])
        found = references.overlaps([row["question"] for row in train])
        pairs = [(row, each) for row, each in zip(train, found, strict=True) if each is not None]
        told += [_told(row, each, place, those) for row, each in pairs if each.telling]
        phrases[_called(*place)] = sum(not each.telling for _, each in pairs)
    return told, phrases


def _told(row: Row, overlap: Overlap, place: tuple[str, str], those: Sequence[Row]) -> Row:
    other = those[overlap.other]
    return {
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
        if row["reason"] is None and row["problem_id"] in where:
            row["reason"] = f"overlaps {where[row['problem_id']]}"


def place_of(overlap: Mapping[str, Any]) -> str:
    """Name the benchmark that a problem has something in common with."""
    return _called(overlap["other_split"], overlap["other_benchmark"])


def _called(split: str, benchmark: str) -> str:
    return benchmark if split in (AGAINST, benchmark) else f"{split} {benchmark}"


def counted(told: Iterable[Mapping[str, Any]], phrases: Mapping[str, int]) -> dict[str, Shared]:
    """Count the problems with 8 words in a row in common, with 12, and those nearly the same; and
    those with turns of phrase only.
    """
    counts = {place: dict.fromkeys(("runs_8", "runs_12", "near"), 0) for place in phrases}
    for overlap in told:
        here = counts[place_of(overlap)]
        for n in RUNS:
            here[f"runs_{n}"] += overlap[f"runs_{n}"] > 0
        here["near"] += overlap["likeness"] >= NEAR
    return {place: here | {"phrases": phrases[place]} for place, here in counts.items()}


def in_common(shared: Mapping[str, int], place: str, dropped: str = "") -> str:
    """Say how many problems have something in common with a benchmark, and what becomes of them."""
    if not any(shared.values()):
        return f"no training problem shares 8 words in a row with {place}"
    return (
        f"{shared['runs_8']:,} training problems share 8 words in a row with {place}, "
        f"{shared['runs_12']:,} share 12, {shared['near']:,} are nearly the same{dropped}"
        + f"; {shared['phrases']:,} more share turns of phrase only"
        * bool(shared["phrases"])
    )
