"""Answers in strata: fifths by perplexity, and problems in tenths by how often they are solved."""

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rft.measuring.pass_at_k import Numbers

FIFTHS = 5
# Problems that nothing solved are apart: no right answer of theirs can be kept.
TENTHS = ("0", *(f"{10 * i + 1}-{10 * (i + 1)}" for i in range(10)))


def fifths(values: Numbers) -> NDArray[np.int64]:
    """Give each value's fifth, 0 the lowest, by rank; equal values are in the same one."""
    below = np.searchsorted(np.sort(values), values)
    return (below * FIFTHS // max(1, len(values))).astype(np.int64)


def tenth(rate: float) -> int:
    """Give the place in TENTHS of a share: above one tenth's end, and at most the next one's."""
    # 0.3 is 3/10 of a float that is a little less.
    return 0 if rate <= 0 else min(10, max(1, math.ceil(10 * rate - 1e-9)))


def by_difficulty(rates: dict[str, float], samples: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Tell of each tenth which share of problems, and of each kind of samples, is of such problems.

    Gives a row for each kind and tenth: `what`, `tenth`, `count`, `share` and `per_problem`, which
    is null where there is no problem.
    """
    problems = np.bincount([tenth(rate) for rate in rates.values()], minlength=11)
    counts = {"problems": problems}
    for what, frame in samples.items():
        places = [tenth(rates[name]) for name in frame["problem_id"]]
        counts[what] = np.bincount(np.array(places, np.int64), minlength=11)
    rows = [
        {
            "what": what,
            "tenth": TENTHS[place],
            "count": int(each[place]),
            "share": float(each[place] / each.sum()) if each.sum() else None,
            "per_problem": float(each[place] / problems[place]) if problems[place] else None,
        }
        for what, each in counts.items()
        for place in range(11)
    ]
    return pl.DataFrame(rows, schema_overrides={"share": pl.Float64, "per_problem": pl.Float64})
