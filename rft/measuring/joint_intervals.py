"""Several comparisons judged at once, so that looking often is no way to see what is not there.

A row holds one comparison's change of each problem. Were the new model no worse, the sign of a
problem's change would be a coin's; turning the signs at random, of a problem in all rows together,
shows how low the lowest of the rows comes by luck alone. For two equal models that is exact, at the
floor and the ceiling and for a handful of problems too, where a bootstrap has to be helped.
"""

from statistics import NormalDist

import numpy as np

from rft.measuring.pass_at_k import SAME, Interval, Numbers

TURNS = 4000  # random choices of signs
CHUNK = 500  # choices at a time, so that memory stays small


def joint_intervals(changes: Numbers, *, level: float, seed: int) -> list[Interval]:
    """Average each row of changes, with intervals of which any lies wrongly below 0 in at most
    `level` of cases, and any above as often.
    """
    reach = reach_of(changes, level=level, seed=seed) * sizes(changes) / changes.shape[1]
    means = changes.mean(1)
    return [
        Interval(float(mean), float(mean - far), float(mean + far))
        for mean, far in zip(means, reach, strict=True)
    ]


def sizes(changes: Numbers) -> Numbers:
    """Give the size of each row: what its sum is divided by, whatever the signs are.

    Where no problem changed, how much one may is unknown, so it is all: 1.
    """
    size = np.sqrt((changes**2).sum(-1))
    return np.where(size > SAME, size, 1.0)


def reach_of(changes: Numbers, *, level: float, seed: int) -> float:
    """Give how many sizes the largest row comes to by luck, in all but `level` of cases."""
    assert changes.size, "at least one comparison, of at least one problem"
    source = np.random.default_rng(seed)
    rows = (changes / sizes(changes)[:, None]).T
    largest = np.concatenate(
        [
            ((2.0 * source.integers(2, size=(CHUNK, len(rows)), dtype=np.int8) - 1) @ rows).max(1)
            for _ in range(TURNS // CHUNK)
        ]
    )
    reach = float(np.quantile(largest, 1 - level, method="higher")) * (1 + SAME)
    # A few changed problems have few sums: a width that one comparison of many would have.
    return max(reach, NormalDist().inv_cdf(1 - level))
