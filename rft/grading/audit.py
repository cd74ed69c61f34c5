"""A sample of verdicts, given again by two other ways: numbers at random points, and math-verify.

The first is `probing.py`, which shares nothing with the verifier. The second is math-verify as most
use it, on the whole text: where it differs we read another answer, or decided otherwise on purpose.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from rft.foreign_text import one_line
from rft.grading.judgement import AnswerKey
from rft.grading.probing import same
from rft.grading.verifier_pool import Comparison, Pool
from rft.measuring.shares import share_of
from rft.seeds import derive

# A text of more characters is not read whole by math-verify: most of its time would go there.
LONGEST = 20_000
SHOWN = 10
WAYS = {"probed": "numbers at random points", "plain": "plain math-verify on the whole text"}
_SCHEMA: dict[str, Any] = {
    "rollout_id": pl.String,
    "problem_id": pl.String,
    "gold": pl.List(pl.String),
    "answer": pl.String,
    "verdict": pl.String,
    "verdict_path": pl.String,
    "probed": pl.Boolean,
    "plain": pl.Boolean,
}


def audit(
    graded: pl.DataFrame,
    completions: Mapping[str, str],
    keys: Mapping[str, AnswerKey],
    *,
    number: int,
    seed: int,
    deadline: float,
) -> pl.DataFrame:
    """Judge a seeded sample of graded rows again, by rollout id; null is what a way cannot tell."""
    names = sorted(graded["rollout_id"], key=lambda name: derive(seed, "audit", name))[:number]
    rows = graded.filter(pl.col("rollout_id").is_in(names)).sort("rollout_id")
    asked = [(keys[row["problem_id"]].golds, row) for row in rows.iter_rows(named=True)]
    whole = plainly(
        [(gold, completions[row["rollout_id"]]) for golds, row in asked for gold in golds], deadline
    )
    seen = [
        (
            row["rollout_id"],
            row["problem_id"],
            list(golds),
            row["answer"],
            row["verdict"],
            row["verdict_path"],
            any_of([same(gold, row["answer"]) if row["answer"] else None for gold in golds]),
            any_of([whole.get((gold, completions[row["rollout_id"]])) for gold in golds]),
        )
        for golds, row in asked
    ]
    return pl.DataFrame(seen, schema=_SCHEMA, orient="row")


def any_of(opinions: Sequence[bool | None]) -> bool | None:
    """Combine what was found by several golds: one match decides, a doubt leaves it open."""
    if True in opinions:
        return True
    return None if None in opinions else False


def plainly(pairs: Sequence[tuple[str, str]], deadline: float) -> dict[tuple[str, str], bool]:
    """Ask math-verify about whole texts, in a process that may be killed; the lost are absent."""
    pool = Pool(deadline=deadline, workers=1, memory_gb=4)
    jobs = [
        Comparison(gold, [text], plain=True)
        for gold, text in dict.fromkeys(pairs)
        if len(text) <= LONGEST
    ]
    try:
        return {
            (outcome.gold, outcome.answer): outcome.word == "correct"
            for outcome in pool.run(jobs)
            if outcome.answer is not None and outcome.word is not None
        }
    finally:
        pool.close()


def disagreeing(audited: pl.DataFrame, way: str) -> pl.DataFrame:
    """Pick the rows to which another way gives another verdict: right, or not."""
    told = audited.filter(pl.col(way).is_not_null())
    return told.filter(pl.col(way) != (pl.col("verdict") == "correct"))


def in_words(audited: pl.DataFrame) -> list[str]:
    """Say how often each way disagrees, with its interval, and show the pairs."""
    lines = []
    for way, about in WAYS.items():
        told = audited[way].count()
        if not told:
            lines.append(f"audit, {about}: could tell none of {len(audited)}")
            continue
        others = disagreeing(audited, way)
        rate = share_of(len(others), told)
        lines.append(
            f"audit, {about}: {len(others)} of {told} differ, "
            f"{rate.value:.1%} [{rate.low:.1%}, {rate.high:.1%}]"
            + (f" ({len(audited) - told} it cannot tell)" if told < len(audited) else "")
        )
        for row in others.head(SHOWN).iter_rows(named=True):
            gold = one_line(" | ".join(row["gold"]), 40)
            answer = "none" if row["answer"] is None else one_line(row["answer"], 40)
            word = "right" if row[way] else "not right"
            lines.append(
                f"  {row['rollout_id']}: gold {gold}, answer {answer}: {row['verdict']} "
                f"({row['verdict_path']}), by this way {word}"
            )
        if len(others) > SHOWN:
            lines.append(f"  and {len(others) - SHOWN} more")
    return lines
