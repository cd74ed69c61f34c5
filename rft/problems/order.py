"""Which problems a round takes."""

from collections.abc import Iterator, Sequence
from itertools import islice

from rft.seeds import derive


def problems_of_round(ids: Sequence[str], per_round: int, round: int, seed: int) -> list[str]:
    """Pick a round's problems."""
    return next(islice(problems_of_rounds(ids, per_round, seed), round - 1, None))


def problems_of_rounds(ids: Sequence[str], per_round: int, seed: int) -> Iterator[list[str]]:
    """Pick each round's problems: seeded, and none comes again until all have been used."""
    count = min(per_round, len(ids))
    left: list[str] = []
    at = cycle = 0
    while True:
        chosen = left[at : at + count]
        at += count
        if len(chosen) < count:
            cycle += 1
            order = sorted(ids, key=lambda name: derive(seed, "problems", cycle, name))
            had = set(chosen)
            fresh = [name for name in order if name not in had]
            wanted = count - len(chosen)
            # Those of the new cycle that this round has had already stay at the cycle's end.
            left, at = fresh[wanted:] + [name for name in order if name in had], 0
            chosen += fresh[:wanted]
        yield chosen
