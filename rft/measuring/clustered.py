"""Means of what comes in clusters, answers of one problem, with 95% intervals over the clusters.

Answers of one problem are alike, so that problems and not answers are what there are many of. The
mean of a group is a ratio, all its values over all their number; its variance is that of the ratio
to first order (Cochran, Sampling Techniques, 6.4): c/(c-1) * sum over clusters of
(sum_c - mean * number_c)^2 / number^2, with Student's t of c-1 degrees.
"""

import numpy as np
from numpy.typing import NDArray

from rft.measuring.pass_at_k import Interval, Numbers
from rft.measuring.student import reach

LEVEL = 0.05  # of intervals of 95%
FEWEST = 5  # clusters: of fewer, how they vary is not known


def gathered(
    values: Numbers, clusters: NDArray[np.int64], groups: NDArray[np.int64], number: int
) -> tuple[Numbers, Numbers]:
    """Add values, and count them, by cluster and group; groups are 0 to `number` - 1."""
    rows = int(clusters.max(initial=-1)) + 1
    place = clusters * number + groups
    sums: Numbers = np.bincount(place, weights=values, minlength=rows * number).astype(np.float64)
    counts = np.bincount(place, minlength=rows * number).astype(np.float64)
    return sums.reshape(rows, number), counts.reshape(rows, number)


def clustered_means(sums: Numbers, counts: Numbers) -> list[Interval]:
    """Average each column over all its values; what is not known of it is nan."""
    columns = range(sums.shape[1])
    return [_interval(*_influence(sums[:, i], counts[:, i]), counts[:, i] > 0) for i in columns]


def clustered_levels(sums: Numbers, counts: Numbers) -> list[Interval]:
    """Average columns of what is never below zero, say entropies; nor is an interval's end."""
    means = clustered_means(sums, counts)
    # In this order nan stays nan.
    return [Interval(each.value, max(each.low, 0.0), each.high) for each in means]


def clustered_shares(sums: Numbers, counts: Numbers) -> list[Interval]:
    """Average columns of zeros and ones, with intervals that have a width at none and at all too.

    As for Pass@k, one cluster of ones and one of zeros, of the usual size, are added for them.
    """
    usual = counts.sum(0) / np.maximum(1, (counts > 0).sum(0))
    more = np.stack([usual, usual])
    ends = clustered_means(np.vstack([sums, usual, 0 * usual]), np.vstack([counts, more]))
    means = clustered_means(sums, counts)
    return [
        Interval(
            mean.value, max(0.0, min(end.low, mean.value)), min(1.0, max(end.high, mean.value))
        )
        if np.isfinite(mean.low)
        else mean
        for mean, end in zip(means, ends, strict=True)
    ]


def clustered_difference(sums: Numbers, counts: Numbers, first: int, second: int) -> Interval:
    """Take the mean of one column from that of another, of the same clusters."""
    one, ones = _influence(sums[:, first], counts[:, first])
    other, others = _influence(sums[:, second], counts[:, second])
    known = (counts[:, first] > 0) | (counts[:, second] > 0)
    return _interval(one - other, ones - others, known)


def _influence(sums: Numbers, counts: Numbers) -> tuple[float, Numbers]:
    """Give a mean, and how far each cluster moves it."""
    whole = counts.sum()
    if not whole:
        return float("nan"), np.zeros(len(sums))
    mean = float(sums.sum() / whole)
    return mean, (sums - mean * counts) / whole


def _interval(mean: float, influence: Numbers, known: NDArray[np.bool_]) -> Interval:
    clusters = int(known.sum())
    if clusters < FEWEST:
        return Interval(mean, float("nan"), float("nan"))
    variance = clusters / (clusters - 1) * float((influence**2).sum())
    far = reach(LEVEL, clusters - 1) * variance**0.5
    return Interval(mean, mean - far, mean + far)
