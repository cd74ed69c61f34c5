"""What an arm solves at all against the models that it began with: each seed by itself, on average.

Seeds are models of their own. Taken together they would be several trained models against one base,
and solve more within k samples than any of them does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from rft.measuring.crossover import Crossover, crossover
from rft.measuring.pass_at_k import solved
from rft.measuring.support import support
from rft.measuring.unsolved import unsolved


@dataclass(frozen=True)
class Reach:
    """Numbers of problems, the average of an arm's seeds, and from which k the base is ahead."""

    seeds: int
    samples: tuple[int, int]
    """The fewest and the most answers of a seed to a problem."""
    never_solved: float
    by_no_seed: int
    """How many are not solved by any sample of any seed."""
    newly_solved: float
    newly_solved_by_luck: float
    newly_lost: float
    newly_lost_by_luck: float
    crossover: Crossover


def reach_of(pairs: Sequence[tuple[pl.DataFrame, pl.DataFrame]], *, most: int, seed: int) -> Reach:
    """Measure the reach of an arm by the answers of its base and its own, for each of its seeds."""
    moved = [support(base, own) for base, own in pairs]
    answers = [own for _, own in pairs]
    counts = [count for own in answers for count in solved(own)["n"]]
    return Reach(
        len(pairs),
        (min(counts), max(counts)),
        average(len(unsolved(own)) for own in answers),
        len(unsolved(pl.concat(answers))),
        average(each.expanded for each in moved),
        average(each.expanded_by_luck for each in moved),
        average(each.shrunk for each in moved),
        average(each.shrunk_by_luck for each in moved),
        crossover(pairs, most=most, seed=seed),
    )


def average(values: Iterable[float]) -> float:
    """Average over seeds."""
    every = list(values)
    return sum(every) / len(every)
