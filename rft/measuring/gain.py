"""What a gain in Pass@1 consists of: format, the habit of boxing an answer, and skill.

Strict Pass@1 asks for an answer in a box. With b the share of answers in a box and a the share of
those that are right, it is a x b, and a change of b alone is no better reasoning:

    format = (b_after - b_before) x a_before    what boxing alone would have brought
    skill  = the whole change - format          better answers, where there are any

This is one side of a Kitagawa-Oaxaca-Blinder decomposition; it takes answers that were not boxed
before for as good as those that were.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from rft.measuring.pass_at_k import CHUNK, RESAMPLES, TAIL, Interval, Numbers, solved


@dataclass(frozen=True)
class Gain:
    """A change of Pass@1 in its two parts, each with its interval over problems."""

    whole: Interval
    form: Interval
    skill: Interval


def boxed_share(evaluations: pl.DataFrame) -> Numbers:
    """Give each problem's share of answers in a box, in the order of `solved`."""
    return np.asarray(
        evaluations.group_by("benchmark", "problem_id")
        .agg(share=pl.col("answer").is_not_null().mean())
        .sort("benchmark", "problem_id")["share"]
        .to_numpy(),
        np.float64,
    )


def gain_of(before: pl.DataFrame, after: pl.DataFrame, *, seed: int) -> Gain | None:
    """Part the change between two models on the same problems; None if the first boxed nothing."""
    rates = []
    for frame in (before, after):
        counts = solved(frame)
        rates += [(counts["c"] / counts["n"]).to_numpy(), boxed_share(frame)]
    # Columns: right before, boxed before, right after, boxed after.
    values = np.column_stack(rates)
    if values[:, 1].sum() == 0:
        return None
    source = np.random.default_rng(seed)
    means = np.concatenate(
        [
            values[source.integers(len(values), size=(CHUNK, len(values)))].mean(1)
            for _ in range(RESAMPLES // CHUNK)
        ]
    )
    means = means[means[:, 1] > 0]

    def part(of: Callable[[Numbers], Numbers]) -> Interval:
        low, high = np.percentile(of(means), [TAIL, 100 - TAIL])
        return Interval(float(of(values.mean(0)[None])[0]), float(low), float(high))

    def form(mean: Numbers) -> Numbers:
        return np.asarray((mean[:, 3] - mean[:, 1]) * mean[:, 0] / mean[:, 1])

    return Gain(
        part(lambda mean: mean[:, 2] - mean[:, 0]),
        part(form),
        part(lambda mean: mean[:, 2] - mean[:, 0] - form(mean)),
    )


def in_words(gain: Gain) -> str:
    """Say in a sentence what a gain consists of."""
    whole, _, _ = gain.whole.told("+.1f").partition(" [")
    return (
        f"of {whole} points of Pass@1, {gain.form.told('+.1f')} are format (more answers in a box, "
        f"each as good as the base's) and {gain.skill.told('+.1f')} are skill"
    )
