"""Pass@k without bias, and 95% intervals over problems that hold at the floor and the ceiling."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rft.errors import RFTError

Numbers = NDArray[np.float64]

RESAMPLES = 10_000
CHUNK = 500  # resamples at a time, so that memory stays small
TAIL = 2.5  # percent on each side
SAME = 1e-9  # Pass@k of equal shares of different n differs by rounding


@dataclass(frozen=True)
class Interval:
    """A value with its interval, of 95% where nothing else is said."""

    value: float
    low: float
    high: float

    def told(self, form: str, scale: float = 100) -> str:
        """Write it by a form such as +.1f, in percent or points where no other scale is given."""
        digits = int(form.partition(".")[2].rstrip("f"))
        # Adding 0 to a rounded number makes no zero negative.
        parts = (round(scale * part, digits) + 0.0 for part in (self.value, self.low, self.high))
        return "{} [{}, {}]".format(*(format(part, form) for part in parts))


def pass_at_k(
    n: Sequence[int] | NDArray[np.int64], c: Sequence[int] | NDArray[np.int64], k: int
) -> Numbers:
    """Estimate each problem's Pass@k from c correct of n samples: 1 - C(n-c, k) / C(n, k).

    The ratio is taken as the product of 1 - k/i for i in n-c+1..n (Chen et al., arXiv 2107.03374),
    which neither overflows nor cancels. Pass@1 is the mean over samples, avg@n in other papers.
    """
    total, correct = np.asarray(n, np.int64), np.asarray(c, np.int64)
    assert np.all((correct >= 0) & (correct <= total)), "more correct samples than samples"
    assert np.all(total >= k), f"Pass@{k} needs {k} samples of each problem"
    result = np.ones(len(total))
    for index, (samples, right) in enumerate(zip(total, correct, strict=True)):
        if samples - right >= k:
            steps = np.arange(samples - right + 1, samples + 1)
            result[index] = 1.0 - np.prod(1.0 - k / steps)
    return result


def mean_interval(values: Numbers, *, seed: int, level: float = 0.05) -> Interval:
    """Average over problems, with a bootstrap interval.

    One solved and one unsolved pseudo-problem are added before resampling: where all problems are
    solved the plain percentile bootstrap has width 0 and covers nothing.
    """
    assert len(values) > 0, "no problem to average over"
    low, high = _bootstrap(np.concatenate([values, [0.0, 1.0]]), seed, level)
    mean = float(values.mean())
    return Interval(mean, min(low, mean), max(high, mean))


def paired_interval(before: Numbers, after: Numbers, *, seed: int, level: float = 0.05) -> Interval:
    """Average the change of each problem, with a bootstrap interval.

    Two pseudo-problems are added before resampling: one gained and one lost as much as the problem
    that changed most. Where none changed, how much one may is unknown, so it is all: 1.
    """
    assert len(before) == len(after) > 0, "pairs of problems are compared, and at least one"
    change = after - before
    # Always adding -1 and 1 doubles the width at 100 problems whose Pass@1 moves by little.
    most = float(np.abs(change).max())
    most = most if most > SAME else 1.0
    low, high = _bootstrap(np.concatenate([change, [-most, most]]), seed, level)
    mean = float(change.mean())
    return Interval(mean, min(low, mean), max(high, mean))


def _bootstrap(values: Numbers, seed: int, level: float) -> tuple[float, float]:
    source = np.random.default_rng(seed)
    means = np.concatenate(
        [
            values[source.integers(len(values), size=(CHUNK, len(values)))].mean(1)
            for _ in range(RESAMPLES // CHUNK)
        ]
    )
    low, high = np.percentile(means, [50 * level, 100 - 50 * level])
    return float(low), float(high)


def solved(evaluations: pl.DataFrame) -> pl.DataFrame:
    """Count samples and correct ones of each problem, sorted by benchmark and problem."""
    return (
        evaluations.group_by("benchmark", "problem_id")
        .agg(n=pl.len(), c=(pl.col("verdict") == "correct").sum())
        .sort("benchmark", "problem_id")
    )


def passes(evaluations: pl.DataFrame, k: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Give each problem's Pass@k, in the order of `solved`."""
    counts = solved(evaluations)
    return pass_at_k(counts["n"].to_numpy(), counts["c"].to_numpy(), k)


def pass_curves(evaluations: pl.DataFrame, most: int) -> Numbers:
    """Give each problem's Pass@1 to Pass@`most` as a row, in the order of `solved`."""
    counts = solved(evaluations).select(pl.col("n", "c").cast(pl.Int64))
    n, c = (counts[column].to_numpy()[:, None] for column in ("n", "c"))
    assert np.all(n >= most), f"Pass@{most} needs {most} samples of each problem"
    drawn = np.arange(most)
    # One after the other is drawn, and wrong: C(n-c, k) / C(n, k) once more.
    return np.asarray(1 - np.cumprod(np.maximum(n - c - drawn, 0) / (n - drawn), axis=1))


def pass_interval(evaluations: pl.DataFrame, *, k: int, seed: int) -> Interval:
    """Give Pass@k over problems with its interval."""
    return mean_interval(passes(evaluations, k), seed=seed)


def paired_difference_of(
    before: pl.DataFrame, after: pl.DataFrame, *, k: int, seed: int
) -> Interval:
    """Give the change in Pass@k between two models on the same problems."""
    names = [solved(frame).select("benchmark", "problem_id") for frame in (before, after)]
    if not names[0].equals(names[1]):
        raise RFTError(
            f"two models were measured on different problems ({len(names[0])} and {len(names[1])});"
            " evaluate them again on the same ones"
        )
    return paired_interval(passes(before, k), passes(after, k), seed=seed)
