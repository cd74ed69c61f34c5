"""Which problems a round takes: shuffled, or by what earlier rounds came to.

`adaptive` is AdaSTaR (arXiv 2505.16322): problems lie in a heap by the round that they last moved
on in, and among those by the share of right answers in it, both lowest first. A round takes from
the top. Of its m problems the first floor(m a^2) move on, a being the share of right answers in the
round; the others stay where they were and come again, the easier ones of them therefore the more
often the weaker the model is.

What differs from the paper: a round asks a fixed number of problems, where theirs samples until a
batch of right answers is full; a is measured without hints; shares are over the n answers of a
round; what ties is shuffled, so that the first round takes the same problems as `shuffled` does.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
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


# How many answers of a round to a problem were right, and how many there were.
Solved = Mapping[str, tuple[int, int]]


def adaptive_problems(
    ids: Sequence[str], per_round: int, seed: int, rounds: Iterable[Solved]
) -> list[str]:
    """Pick the problems of the round after those that are given, from the first on.

    Depends on nothing but what those rounds recorded: no state is kept.
    """
    moved: dict[str, tuple[int, Fraction]] = {}

    def priority(name: str) -> tuple[int, Fraction, int, str]:
        return (*moved.get(name, (0, Fraction(0))), derive(seed, "problems", 1, name), name)

    for round, solved in enumerate(rounds, 1):
        right = sum(count for count, _ in solved.values())
        answers = sum(count for _, count in solved.values())
        # Exact: of 0.3 ** 2 * 100 floating point makes 8.
        moving = len(solved) * right**2 // max(1, answers) ** 2
        for name in sorted(solved, key=priority)[:moving]:
            moved[name] = (round, Fraction(*solved[name]))
    return sorted(ids, key=priority)[:per_round]
