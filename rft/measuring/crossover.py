"""The crossover: from which k on the base solves more within k samples than the tuned model.

Tuning raises Pass@1 and may cost Pass@k; where the two curves cross is what it cost (Yue et al.,
arXiv 2504.13837, show such curves).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from rft.measuring.pass_at_k import CHUNK, RESAMPLES, SAME, TAIL, Numbers, pass_curves, solved


@dataclass(frozen=True)
class Crossover:
    """A k with its 95% interval; None stands for beyond `most`."""

    k: int | None
    low: int | None
    high: int | None
    most: int
    share: float
    """Of resamples in which the base overtakes up to `most`."""


def crossover(
    pairs: Sequence[tuple[pl.DataFrame, pl.DataFrame]], *, most: int, seed: int
) -> Crossover:
    """Find the smallest k from which on, up to `most`, the base's Pass@k is at or above the tuned
    model's, and somewhere above; the interval is a bootstrap over problems, and over seeds.

    There is a pair of models, base and tuned, for each seed: their curves are averaged, for answers
    of several models together are those of none. Of so few seeds a bootstrap alone is too narrow,
    by (seeds - 1) / seeds in variance, which their weights make up for (Rao and Wu 1988).
    Where both come to the same, as on problems that both always solve, nobody overtakes.
    """
    names = [solved(frame).select("benchmark", "problem_id") for pair in pairs for frame in pair]
    assert all(names[0].equals(each) for each in names), "models are compared on the same problems"
    ahead = np.array(
        [pass_curves(before, most) - pass_curves(after, most) for before, after in pairs]
    )
    source = np.random.default_rng(seed)
    resampled = np.concatenate(
        [first_ahead(_resampled(ahead, source)) for _ in range(RESAMPLES // CHUNK)]
    )
    value = first_ahead(ahead.mean((0, 1))[None])[0]
    ends = (
        np.percentile(resampled, TAIL, method="lower"),
        np.percentile(resampled, 100 - TAIL, method="higher"),
    )
    k, low, high = (
        int(each) if each <= most else None
        for each in (value, min(value, ends[0]), max(value, ends[1]))
    )
    return Crossover(k, low, high, most, float((resampled <= most).mean()))


def _resampled(ahead: Numbers, source: np.random.Generator) -> Numbers:
    """Average curves of seeds and problems over some of either, drawn with replacement."""
    seeds, problems = ahead.shape[:2]
    drawn = source.multinomial(problems, np.full(problems, 1 / problems), CHUNK) / problems
    if seeds == 1:
        return np.asarray(drawn @ ahead[0])
    often = source.multinomial(seeds, np.full(seeds, 1 / seeds), CHUNK)
    weights = (1 + (often - 1) * np.sqrt(seeds / (seeds - 1))) / seeds
    return np.asarray(
        sum(weights[:, place, None] * (drawn @ curves) for place, curves in enumerate(ahead))
    )


def first_ahead(ahead: Numbers) -> Numbers:
    """Give for each row the first k from which on it is at or above 0; one more than there are
    columns where there is none, or where it is never above from there.
    """
    most = ahead.shape[1]
    behind = ahead < -SAME
    # Counted from the end: up to the last k at which the base is behind.
    last = np.where(behind.any(1), most - behind[:, ::-1].argmax(1), 0)
    after = np.arange(1, most + 1) > last[:, None]
    above = ((ahead > SAME) & after).any(1)
    return np.where(above, last + 1, most + 1)
