"""The problems that a model never solves: which they are, and whose are the same.

With n samples of each problem this is the n-rollout unsolvable set (arXiv 2508.07534 has n = 640).
It is a set of a measurement: a second one of the same model has another, and `support` tells how
many problems luck alone moves in and out.
"""

from collections import Counter
from collections.abc import Mapping

import polars as pl

from rft.measuring.pass_at_k import solved

# A problem of a benchmark: both names.
Problem = tuple[str, str]


def unsolved(evaluations: pl.DataFrame) -> frozenset[Problem]:
    """Give the problems of which no sample is correct."""
    rows = solved(evaluations).filter(pl.col("c") == 0).select("benchmark", "problem_id")
    return frozenset((benchmark, name) for benchmark, name in rows.iter_rows())


def newly(
    before: frozenset[Problem], after: frozenset[Problem]
) -> tuple[frozenset[Problem], frozenset[Problem]]:
    """Give what is newly solved and what is newly lost, of two models' unsolved problems."""
    return before - after, after - before


def overlaps(sets: Mapping[str, frozenset[Problem]]) -> dict[tuple[str, ...], int]:
    """Count the problems that just these models leave unsolved, the most frequent models first.

    These are the bars of an UpSet plot; their sum is the number that any of the models leaves.
    """
    owners = Counter(
        tuple(name for name, each in sets.items() if problem in each)
        for problem in frozenset().union(*sets.values())
    )
    places = {name: place for place, name in enumerate(sets)}
    ranked = sorted(owners.items(), key=lambda bar: (-bar[1], [places[name] for name in bar[0]]))
    return dict(ranked)
