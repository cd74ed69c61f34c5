"""How often a model solves each problem, also where sampling stopped once it had solved it.

Stopping at success makes the plain share of correct answers too high: of a hard problem one sees
just the runs that end well. Waves are drawn alike, so the first one alone would be unbiased;
averaged over every order of the same waves that would have stopped at the same point, it stays so
and varies less (Rao-Blackwell; Girshick, Mosteller and Savage 1946 for single draws).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl


@dataclass(frozen=True)
class Wave:
    """What one wave of a problem drew: how many answers, how many correct, which accepted."""

    drawn: int
    correct: int
    accepted: frozenset[Any]
    """Names of what counts once, which equal texts share where a rule drops duplicates."""


def unbiased_rate(waves: Sequence[Wave], target: int) -> float:
    """Estimate the share of correct answers from waves that stopped at `target` accepted ones."""
    everything = frozenset().union(*(wave.accepted for wave in waves))
    if len(waves) == 1 or len(everything) < target:
        # Drawn to the end whatever came, in any order.
        return sum(wave.correct for wave in waves) / sum(wave.drawn for wave in waves)
    *before, last = waves
    may_be_last = [
        number
        for number, wave in enumerate(waves)
        if wave.drawn == last.drawn
        and last.drawn == waves[0].drawn
        and len(frozenset().union(*(w.accepted for w in waves if w is not wave))) < target
    ] or [len(before)]
    rate = 0.0
    for number, wave in enumerate(waves):
        orders = sum(number != end for end in may_be_last)
        rate += wave.correct / wave.drawn * orders / len(may_be_last) / len(before)
    return rate


def pass_rates(batches: Iterable[pl.DataFrame]) -> dict[str, float]:
    """Give the share of correct answers of each problem over all graded rollouts."""
    counts = {"known": pl.col("verdict").count(), "correct": (pl.col("verdict") == "correct").sum()}
    each = [batch.group_by("problem_id").agg(**counts) for batch in batches]
    sums = pl.concat(each).group_by("problem_id").agg(pl.sum("known", "correct"))
    rate = pl.when(pl.col("known") > 0).then(pl.col("correct") / pl.col("known"))
    return dict(sums.select("problem_id", rate=rate).iter_rows())


def pass_rates_in_waves(
    graded: pl.DataFrame, names: Mapping[str, Any], *, wave: int, target: int
) -> dict[str, float]:
    """Give the pass rate of each problem that was sampled in waves until `target` were accepted.

    `names` maps the rollouts that pass the rules by themselves to what they count as.
    """
    waves: dict[str, dict[int, list[tuple[str, str]]]] = {}
    columns = ("problem_id", "sample_index", "rollout_id", "verdict")
    for problem, index, rollout, verdict in graded.select(columns).iter_rows():
        waves.setdefault(problem, {}).setdefault(index // wave, []).append((rollout, verdict))
    return {
        problem: unbiased_rate([_wave(rows, names) for _, rows in sorted(each.items())], target)
        for problem, each in waves.items()
    }


def _wave(rows: Sequence[tuple[str, str]], names: Mapping[str, Any]) -> Wave:
    correct = [rollout for rollout, verdict in rows if verdict == "correct"]
    accepted = frozenset(names[rollout] for rollout in correct if rollout in names)
    return Wave(len(rows), len(correct), accepted)
