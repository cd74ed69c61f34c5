"""How often intervals over seeds and problems hold, and how often equal arms differ.

Simulated worlds whose truth is known (make bench-coverage); two to four standard errors of a share
near 0.95 of 1000 worlds are 0.014 to 0.028.
"""

import sys
from collections.abc import Sequence

import numpy as np

from rft.measuring.pass_at_k import Interval
from rft.measuring.two_level import crossed_interval, crossed_intervals
from tests.seed_simulation import World

WORLDS = 1000
ARMS = 8
# What seeds do to the control, to the first arm, and to each of the others.
LUCKS = ((0.1, 0.1, 0.1), (0.3, 0.3, 0.3), (0.2, 0.5, 0.2), (0.1, 0.6, 0.1), (0.5, 0.2, 0.2))


def held(world: World, k: int, worlds: int, source: np.random.Generator) -> tuple[float, float]:
    """Give how often an arm's interval holds its truth, and that of a change of nothing holds 0."""
    difficulties, truth = world.difficulties(source, worlds), world.truth(k)
    arm, control = (world.measured(source, world.rates(source, difficulties), k) for _ in range(2))
    shares = [crossed_interval(values, seed=0) for values in arm]
    changes = [crossed_interval(values, seed=0, change=True) for values in arm - control]
    return (
        float(np.mean([each.low <= truth <= each.high for each in shares])),
        float(np.mean([each.low <= 0 <= each.high for each in changes])),
    )


def alarms(
    control: World, arms: Sequence[World], k: int, worlds: int, source: np.random.Generator
) -> tuple[float, float, float, float]:
    """Compare equal arms with a control: how often any differs, how often the first does then, and
    how often the first and each of the others do by their own intervals.
    """
    difficulties = control.difficulties(source, worlds)
    base, *others = (
        world.measured(source, world.rates(source, difficulties), k) for world in (control, *arms)
    )
    together: list[list[bool]] = []
    by_itself: list[list[bool]] = []
    for place in range(worlds):
        changes = [arm[place] - base[place] for arm in others]
        for made, at_once in ((together, True), (by_itself, False)):
            intervals = crossed_intervals(changes, seed=0, at_once=at_once)
            made.append([differs(each) for each in intervals])
    hits, own = np.array(together), np.array(by_itself)
    any_of_them, first, alone = hits.any(1), hits[:, 0], own[:, 0]
    return (
        float(any_of_them.mean()),
        float(first.mean()),
        float(alone.mean()),
        float(own[:, 1:].mean()),
    )


def differs(change: Interval) -> bool:
    """Say whether an interval leaves 0 out."""
    return not change.low <= 0 <= change.high


def intervals(worlds: int) -> None:
    """Print how often intervals hold."""
    source = np.random.default_rng(0)
    print(f"{worlds} worlds each; luck of seeds and of an arm on a problem in log-odds")
    print("problems seeds  seed-luck  arm-luck  mean  k   an arm's holds  of a change of nothing")
    floors = [(40, 3, 0.1, 0.0, -7.0), (40, 3, 0.1, 0.0, 7.0), (300, 5, 0.1, 0.0, -7.0)]
    usual = [
        (problems, seeds, by_seed, by_problem, -1.0)
        for problems in (30, 40, 300)
        for seeds in (3, 5)
        for by_seed in (0.0, 0.1, 0.3)
        for by_problem in (0.0, 0.7)
    ]
    for problems, seeds, by_seed, by_problem, mean in [*usual, *floors]:
        world = World(problems, seeds, by_seed=by_seed, by_problem=by_problem, mean=mean)
        for k in (1, 8):
            of_arm, of_change = held(world, k, worlds, source)
            print(
                f"{problems:8} {seeds:5} {by_seed:10} {by_problem:9} {mean:5.0f}  {k}"
                f"   {of_arm:14.3f}  {of_change:.3f}"
            )


def comparisons(worlds: int) -> None:
    """Print how often equal arms differ."""
    source = np.random.default_rng(1)
    print(
        f"\n{ARMS} equal arms, whose seeds differ as said: the control's, the first's, the others'"
    )
    print("problems seeds  seed-luck      arm-luck  any  the first  the first by itself  others")
    for problems, seeds in ((100, 3), (300, 3), (300, 5)):
        for lucks in LUCKS:
            for by_problem in (0.0, 0.7):
                of_control, first, *others = (
                    World(problems, seeds, by_seed=luck, by_problem=by_problem) for luck in lucks
                )
                arms = [first, *others * (ARMS - 1)]
                shares = alarms(of_control, arms, 1, worlds, source)
                told = "  ".join(f"{share:.3f}" for share in shares)
                print(f"{problems:8} {seeds:5}  {lucks!s:15} {by_problem:7}  {told}", flush=True)


if __name__ == "__main__":
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else WORLDS
    intervals(asked)
    comparisons(asked)
