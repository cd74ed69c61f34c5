"""Means over seeds and problems at once, with intervals that hold over both.

A value for each seed and problem (Pass@k of an arm, or its difference to a control's at the same
seed and problem) is taken as X_sp = mean + seed_s + problem_p + rest_sp: crossed random effects,
one value per cell. With the mean squares of that two-way layout,

    Var(mean) = (MS_seeds + MS_problems - MS_rest) / (seeds x problems)

is unbiased (Searle, Casella and McCulloch, Variance Components, 1992, chapter 4); MS_rest is taken
off since each of the others contains it. It is held at no less than what either margin alone gives:
by luck MS_rest can exceed one of them. How many errors an interval reaches is Cochran's average
(Biometrics 20, 1964) of Student's for seeds and for problems, weighted by what each margin gives.
Satterthwaite's degrees of freedom would reach less far, and too little: where three seeds happen to
agree, they are few just where their variance is told too low, so that in A/A comparisons of eight
arms up to 15% find a difference at a level of 5%. tests/bench/coverage.py measures both questions:
how often an interval holds, and how often equal arms differ.

Seeds are few, so a seed effect as large as the rest costs a wide interval: that is the truth of
it, and more seeds are the remedy, not more problems. Several arms that are compared with one
control tell together how much seeds do, as in Dunnett's comparisons (JASA 50, 1955): an arm's
variance over seeds is then its own or the mean of all, whichever is larger, so that an arm whose
seeds agree by luck is not believed and one that is less stable than the others is not hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rft.measuring.pass_at_k import SAME, Interval, Numbers, mean_interval, paired_interval
from rft.measuring.student import reach

LEAST = 1e-12  # p-values below this are all alike

# How alike the variances over seeds of two differences to one control are: the differences
# correlate with 1/2, where arms and control vary alike, and squares with the square of that.
ALIKE = 0.25


@dataclass(frozen=True)
class Estimate:
    """A mean, pulled a little towards the middle as pseudo-problems do, and how sure it is."""

    centre: float
    error: float
    weight: float
    """Of seeds in the error; the rest is the problems'."""
    freedom: float
    """Degrees of freedom of what seeds do; of problems there is one less than of them."""
    problems: int
    """With the pseudo-problems."""

    def reach(self, level: float) -> float:
        """Give how many errors the interval of a level reaches to each side."""
        # Without a second seed anywhere the weight is 0, and there is no freedom to ask for.
        of_seeds = self.weight * reach(level, self.freedom) if self.weight else 0.0
        return of_seeds + (1 - self.weight) * reach(level, self.problems - 1)

    def interval(self, level: float, mean: float, lowest: float) -> Interval:
        """Give the interval of a level about a mean of values from the lowest possible to 1."""
        low, high = (self.centre + sign * self.reach(level) * self.error for sign in (-1, 1))
        return Interval(mean, max(min(low, mean), lowest), min(max(high, mean), 1.0))

    def p_value(self) -> float:
        """Give the level at which the interval touches 0."""
        errors = abs(self.centre) / self.error
        if not errors:
            return 1.0
        low, high = LEAST, 1.0
        while high - low > 1e-4 * low:
            middle = (low * high) ** 0.5
            low, high = (middle, high) if self.reach(middle) > errors else (low, middle)
        return high


def crossed_interval(
    values: Numbers, *, seed: int, level: float = 0.05, change: bool = False
) -> Interval:
    """Average over seeds (rows) and problems (columns), with an interval over both.

    `change` says that the values are differences, of -1 to 1, and not shares, of 0 to 1. With one
    seed nothing is known of what another would give: the interval is that over problems alone,
    which `mean_interval` or `paired_interval` gives (`seed` is for their bootstrap, nothing else).
    """
    _check(values, change)
    if len(values) == 1:
        if change:
            return paired_interval(np.zeros(values.shape[1]), values[0], seed=seed, level=level)
        return mean_interval(values[0], seed=seed, level=level)
    estimate = _estimate(values, change, _variance(values), len(values) - 1)
    return estimate.interval(level, float(values.mean()), -1.0 if change else 0.0)


def crossed_intervals(
    differences: Sequence[Numbers], *, seed: int, level: float = 0.05, at_once: bool = True
) -> list[Interval]:
    """Average each arm's differences to one control, with intervals that hold all at once, or each.

    Where no arm has a second seed they are over problems alone, as `crossed_interval`'s.
    """
    if not differences:
        return []
    each = simultaneous(level, len(differences)) if at_once else level
    if max(map(len, differences)) == 1:
        return [crossed_interval(rows, seed=seed, level=each, change=True) for rows in differences]
    return [
        estimate.interval(each, float(rows.mean()), -1.0)
        for rows, estimate in zip(differences, estimates(differences), strict=True)
    ]


def p_values(differences: Sequence[Numbers]) -> list[float]:
    """Give the two-sided p-value of each arm's mean difference of 0 to one control, by itself.

    It is the level at which the arm's interval among these touches 0; `holm` adjusts them. Of one
    seed it is that of Student's interval over problems, which hardly differs from the bootstrap's.
    """
    return [estimate.p_value() for estimate in estimates(differences)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number, step by step (Holm, Scand. J. Statist. 6, 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def simultaneous(level: float, comparisons: int) -> float:
    """Give the level of each of so many comparisons that hold all at once (Sidak, JASA 62, 1967).

    Arms that share a control differ from it alike, which only makes wrong intervals coincide.
    """
    return float(1 - (1 - level) ** (1 / comparisons))


def estimates(differences: Sequence[Numbers]) -> list[Estimate]:
    """Estimate each arm's mean difference to one control, with what seeds do told by all arms."""
    for rows in differences:
        _check(rows, change=True)
    several = [rows for rows in differences if len(rows) > 1]
    if not several:
        return [_estimate(rows, True, 0.0, 0) for rows in differences]
    free = sum(len(rows) - 1 for rows in several)
    pooled = sum((len(rows) - 1) * _variance(rows) for rows in several) / free
    freedom = free / (1 + (len(several) - 1) * ALIKE)
    return [
        _estimate(rows, True, max(pooled, _variance(rows) if len(rows) > 1 else 0.0), freedom)
        for rows in differences
    ]


def _variance(values: Numbers) -> float:
    """Give the variance over seeds of their means over problems."""
    return float(values.mean(1).var(ddof=1))


def _estimate(values: Numbers, change: bool, variance: float, freedom: float) -> Estimate:
    """Estimate the mean with two pseudo-problems, as `mean_interval` and `paired_interval` have.

    `variance` is that over seeds. The pseudo-problems are alike with every seed, so what seeds do
    is told by the problems that there are.
    """
    seeds, problems = values.shape
    by_problem, by_seed = values.mean(0), values.mean(1)
    most = float(np.abs(by_problem).max()) if change else 1.0
    most = most if most > SAME else 1.0
    more = np.concatenate([by_problem, [-most if change else 0.0, most]])
    # Each as the part of Var(mean) that its mean square gives.
    of_problems, of_seeds = float(more.var(ddof=1)) / len(more), variance / seeds
    rest = values - by_problem - by_seed[:, None] + values.mean()
    left = max(seeds - 1, 1) * max(problems - 1, 1)
    of_rest = float((rest**2).sum()) / left / values.size
    whole = max(of_seeds + of_problems - of_rest, of_problems, of_seeds)
    weight = of_seeds / (of_seeds + of_problems)
    return Estimate(float(more.mean()), whole**0.5, weight, freedom, len(more))


def _check(values: Numbers, change: bool) -> None:
    assert values.ndim == 2, "a row for each seed, a column for each problem"
    assert values.size, "at least one seed and one problem"
    low, high = (-1 if change else 0) - SAME, 1 + SAME
    assert np.all((values >= low) & (values <= high)), (
        "shares, or (change=True) differences of them"
    )
