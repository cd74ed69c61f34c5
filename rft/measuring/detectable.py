"""Which difference a comparison can show: told from problems, samples and seeds before it is run.

Comparisons are simulated in which every arm is better or worse than the control by one true
difference, and it is looked how much larger that would have to be for the interval of `two_level`
to leave 0 out in 80% of them; with that difference it is simulated again, until it stays.

What makes the cases differ: samples (binomial, at rates that are drawn given the base's counts),
and seeds (`spread_at`). Both luck and difference move all problems' rates by one amount in
log-odds, so that no problem is solved more than always. How unevenly an arm changes the problems is
not known beforehand and left out, so that a comparison shows at best what is told here.
"""

import math

import numpy as np

from rft.measuring.pass_at_k import Numbers, pass_at_k
from rft.measuring.power import SHORTEST, rates_of
from rft.measuring.two_level import estimates, simultaneous

# The standard deviation over seeds of the true difference of two arms at one seed. Measured in
# docs/evidence, net of samples: 1.2 points of Pass@1 and 2.0 of Pass@64 over five seeds of
# table3-mini, 1.1 and 3.8 over three of table3-mini-online without nsr, whose seeds went far apart.
SPREAD, DOUBLED_AT = 0.015, 64

# Rates of a base of which nothing is known: the quickstart's, of which 0.3 are solved.
SHAPE = (0.6, 1.4)

CASES, LEAST_CASES, ROUNDS = 400, 50, 4
# By how much in log-odds rates are moved at most: then a problem is solved always or never.
FURTHEST = 30.0


def spread_at(k: int) -> float:
    """Give what seeds are taken to do to a difference in Pass@k: more, the larger k."""
    return SPREAD * (1 + math.log(k) / math.log(DOUBLED_AT))


def detectable(
    counts: Numbers,
    n: int,
    *,
    k: int,
    seeds: int,
    comparisons: int,
    spread: float | None = None,
    level: float = 0.05,
    power: float = 0.8,
    seed: int = 0,
) -> float:
    """Give the true difference in Pass@k between an arm and the control that shows so often.

    `counts` are the base's correct answers of n to each problem, `comparisons` the arms that are
    compared with the control. It is 1 where none shows: where the base has no so many points to
    lose, or to gain if that is more. Of one seed the interval is over problems alone and says
    nothing of another seed, however small the difference is that it shows.
    """
    assert k <= n, f"Pass@{k} needs {k} samples of each problem"
    source = np.random.default_rng(seed)
    luck = (spread_at(k) if spread is None else spread) / 2**0.5
    rates = rates_of(counts, n, source)[: max(CASES // comparisons, LEAST_CASES)]
    cases = [Case(of, n, k, source.normal(0, luck, (comparisons + 1, seeds))) for of in rates]
    mean = float(np.mean([case.mean for case in cases]))
    room = max(mean, 1 - mean)
    sign = 1 if mean < 1 - mean else -1
    each, size, sizes = simultaneous(level, comparisons), 0.0, []
    for _ in range(ROUNDS):
        needed = []
        for case in cases:  # one by one: arms x seeds x problems may be many
            control, *arms = case.measured(sign * size, source)
            # Beyond what was put in: the error and what luck made of this case.
            needed += [
                size + estimate.reach(each) * estimate.error - sign * estimate.centre
                for estimate in estimates([arm - control for arm in arms])
            ]
        size = float(np.quantile(needed, power))
        if size >= room:
            return 1.0
        sizes.append(size)
    return float(np.mean(sizes[-2:]))


class Case:
    """Problems with their true rates, and models that differ from the base by chance."""

    def __init__(self, rates: Numbers, n: int, k: int, luck: Numbers):
        inside = np.clip(rates, SHORTEST, 1 - SHORTEST)
        self.odds, self.n, self.luck = np.log(inside / (1 - inside)), n, luck
        # What the mean comes to when all are moved by an amount.
        self.amounts = np.linspace(-FURTHEST, FURTHEST, 241)
        self.means = (1 - (1 - self.moved(self.amounts)) ** k).mean(1)
        self.mean = float((1 - (1 - inside) ** k).mean())
        self.passed = pass_at_k([n] * (n + 1), list(range(n + 1)), k)

    def moved(self, amounts: Numbers) -> Numbers:
        """Give the rates moved by each amount in log-odds."""
        return np.asarray(1 / (1 + np.exp(-(self.odds + amounts[..., None]))))

    def measured(self, difference: float, source: np.random.Generator) -> Numbers:
        """Measure control and arms, which differ by so much: model x seed x problem."""
        wanted = self.mean + self.luck
        wanted[1:] += difference
        rates = self.moved(np.interp(wanted, self.means, self.amounts))
        return np.asarray(self.passed[source.binomial(self.n, rates)])


def assumed_counts(problems: int, n: int, *, seed: int = 0) -> Numbers:
    """Draw correct answers of a base that was not measured yet, like the quickstart's."""
    source = np.random.default_rng(seed)
    return source.binomial(n, source.beta(*SHAPE, problems)).astype(np.float64)
