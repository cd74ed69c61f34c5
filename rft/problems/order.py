"""Which problems a round takes."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice

from rft.seeds import derive

NONE: Mapping[int, Sequence[str]] = {}


def problems_of_round(
    ids: Sequence[str],
    per_round: int,
    round: int,
    seed: int,
    arrivals: Mapping[int, Sequence[str]] = NONE,
) -> list[str]:
    """Pick a round's problems."""
    return next(islice(problems_of_rounds(ids, per_round, seed, arrivals), round - 1, None))


def problems_of_rounds(
    ids: Sequence[str], per_round: int, seed: int, arrivals: Mapping[int, Sequence[str]] = NONE
) -> Iterator[list[str]]:
    """Pick each round's problems: seeded, and none comes again until all have been used.

    `arrivals` are the problems that join in later rounds: they are shuffled into what is left.
    """
    there, left, cycle = list(ids), list[str](), 0

    def shuffled(names: Sequence[str]) -> list[str]:
        return sorted(names, key=lambda name: derive(seed, "problems", cycle, name))

    for round in count(1):
        if new := list(arrivals.get(round, ())):
            there += new
            left = shuffled([*left, *new])
        wanted = min(per_round, len(there))
        chosen, left = left[:wanted], left[wanted:]
        if len(chosen) < wanted:
            cycle += 1
            had = set(chosen)
            fresh = [name for name in shuffled(there) if name not in had]
            more = wanted - len(chosen)
            # Those of the new cycle that this round has had already stay at the cycle's end.
            left = fresh[more:] + [name for name in shuffled(there) if name in had]
            chosen += fresh[:more]
        yield chosen
