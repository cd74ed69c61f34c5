"""The crossover: from which k on the base solves more within k samples than the tuned model.

Tuning raises Pass@1 and may cost Pass@k; where the two curves cross is what it cost (Yue et al.,
arXiv 2504.13837, show such curves).
"""

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
    """Of resamples of the problems in which the base overtakes up to `most`."""


def crossover(before: pl.DataFrame, after: pl.DataFrame, *, most: int, seed: int) -> Crossover:
    """Find the smallest k from which on, up to `most`, the base's Pass@k is at or above the tuned
    model's, and somewhere above; the interval is a bootstrap over problems.

    Where both come to the same, as on problems that both always solve, nobody overtakes.
    """
    names = [solved(frame).select("benchmark", "problem_id") for frame in (before, after)]
    assert names[0].equals(names[1]), "two models are compared on the same problems"
    ahead = pass_curves(before, most) - pass_curves(after, most)
    source = np.random.default_rng(seed)
    problems = len(ahead)
    resampled = np.concatenate(
        [
            first_ahead(
                source.multinomial(problems, np.full(problems, 1 / problems), CHUNK)
                @ ahead
                / problems
            )
            for _ in range(RESAMPLES // CHUNK)
        ]
    )
    value = first_ahead(ahead.mean(0)[None])[0]
    ends = (
        np.percentile(resampled, TAIL, method="lower"),
        np.percentile(resampled, 100 - TAIL, method="higher"),
    )
    k, low, high = (
        int(each) if each <= most else None
        for each in (value, min(value, ends[0]), max(value, ends[1]))
    )
    return Crossover(k, low, high, most, float((resampled <= most).mean()))


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
