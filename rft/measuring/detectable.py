"""Which difference a comparison can show: told from problems, samples and seeds before it is run.

Of a comparison in which arm and control are equal, `two_level` tells how far its interval reaches
below 0; a true difference that is larger than that would have shown. The difference that shows in
80% of cases is so the 80th percentile of these, over simulated cases: no search, and no formula.

What makes the cases differ: samples (binomial, at rates that are drawn given the base's counts),
and seeds (`spread`). How unevenly an arm changes the problems is not known beforehand and left out,
so that a comparison shows at best what is told here.
"""

import numpy as np

from rft.measuring.pass_at_k import Numbers, pass_at_k
from rft.measuring.power import rates_of
from rft.measuring.two_level import estimates, simultaneous

# The standard deviation over seeds of the true difference of two arms at one seed. In BENCHMARKS.md
# the differences of arms to the quickstart as shipped, and of plain GRPO to the entropy advantage,
# have 1.1, 1.7 and 2.1 points over three seeds, of which 100 problems x 16 make about 1.1.
SPREAD = 0.015

# Rates of a base of which nothing is known: the quickstart's, of which 0.3 are solved.
SHAPE = (0.6, 1.4)

CASES, LEAST_CASES = 400, 100


def detectable(
    counts: Numbers,
    n: int,
    *,
    k: int,
    seeds: int,
    comparisons: int,
    spread: float = SPREAD,
    level: float = 0.05,
    power: float = 0.8,
    seed: int = 0,
) -> float:
    """Give the true difference in Pass@k between an arm and the control that shows so often.

    `counts` are the base's correct answers of n to each problem, `comparisons` the arms that are
    compared with the control. Of one seed the interval is over problems alone and says nothing of
    another seed, however small the difference is that it shows.
    """
    assert k <= n, f"Pass@{k} needs {k} samples of each problem"
    source = np.random.default_rng(seed)
    cases = max(CASES // comparisons, LEAST_CASES)
    rates = rates_of(counts, n, source)
    rates = rates[np.arange(cases) % len(rates), None, None]
    passed = pass_at_k([n] * (n + 1), list(range(n + 1)), k)
    each, needed = simultaneous(level, comparisons), []
    for case in rates:  # one by one: arms x seeds x problems may be many
        measured = passed[source.binomial(n, case, (comparisons + 1, seeds, len(counts)))]
        # What a seed adds to a model, it adds to each problem: arms and control vary alike.
        measured += source.normal(0, spread / 2**0.5, (comparisons + 1, seeds))[..., None]
        control, *arms = measured
        needed += [
            estimate.reach(each) * estimate.error - estimate.centre
            for estimate in estimates([np.clip(arm - control, -1, 1) for arm in arms])
        ]
    return float(np.quantile(needed, power))


def assumed_counts(problems: int, n: int, *, seed: int = 0) -> Numbers:
    """Draw correct answers of a base that was not measured yet, like the quickstart's."""
    source = np.random.default_rng(seed)
    return source.binomial(n, source.beta(*SHAPE, problems)).astype(np.float64)
