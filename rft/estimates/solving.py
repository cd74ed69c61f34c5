"""How many rollouts problems take, how long, and how many are accepted: told from a few probes.

Problems differ: each has a rate at which its answers are accepted. A few probes tell next to
nothing of the rate of one problem, so the rates of all are taken to be drawn from one Beta. Its
mean and spread are integrated over a grid, each node weighted by how likely it makes the probes;
the interval is where the sum over so many new problems lies. Nothing is drawn: integrals over rates
are sums over a grid.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from rft.measuring.shares import Z
from rft.measuring.student import reach
from rft.recipe import Until

Floats = NDArray[np.float64]

# The grid of rates is even in their log odds, in which a Beta is smooth; beyond the ends are 0, 1.
ODDS = np.arange(-13.9, 14, 0.2)
STEP, END = 0.2, 14.0
# The grid of Betas: means are even in arcsin of the root, which is Jeffreys' prior, and spreads in
# the correlation of two answers to the same problem.
MEANS, SPREADS = 40, 12
# What is thought of lengths before any is seen: an answer to a problem that is always solved is
# shorter or longer than one to a problem that never is, by so many mean lengths (a deviation).
SLOPE = 1.0
# With fewer problems nobody can tell how much lengths differ.
FEWEST = 5


@dataclass(frozen=True)
class Range:
    """An estimate with the 95% interval that the probes leave it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Courses:
    """What a problem of each rate of the grid takes and gives, on average."""

    least: int
    most: int
    drawn: Floats
    drawn_squared: Floats
    accepted: Floats
    accepted_squared: Floats
    taken: Floats
    """Accepted ones, counted up to a cap."""


@dataclass(frozen=True)
class Spent:
    """What problems take and give, all of them together."""

    rollouts: Range
    tokens: Range
    accepted: Range
    taken: float
    """Accepted ones, of no problem more than the cap."""


@cache
def rates() -> Floats:
    """Give the grid of rates, with both ends."""
    return np.concatenate([[0.0], 1 / (1 + np.exp(-ODDS)), [1.0]])


def beta(a: float, b: float) -> Floats:
    """Give the chances of the rates under Beta(a, b)."""
    inner = a * ODDS - (a + b) * np.logaddexp(0, ODDS) + math.log(STEP)
    # Beyond an end the density is a power of the rate, or of what it lacks of 1.
    logs = np.concatenate([[-a * END - math.log(a)], inner, [-b * END - math.log(b)]])
    return shares(logs)


def shares(logs: Floats) -> Floats:
    """Turn logarithms into shares of 1."""
    large = np.exp(logs - logs.max())
    return np.asarray(large / large.sum())


@cache
def betas() -> Floats:
    """Give the chances of the rates (columns) under each Beta of the grid (rows)."""
    means = np.sin(np.pi / 2 * (np.arange(MEANS) + 0.5) / MEANS) ** 2
    spreads = (np.arange(SPREADS) + 0.5) / SPREADS
    sizes = 1 / spreads - 1
    return np.stack([beta(mean * size, (1 - mean) * size) for mean in means for size in sizes])


@cache
def courses(until: Until | None, n: int, cap: int | None) -> Courses:
    """Follow problems of each rate through their waves, or through n answers at once."""
    until = until or Until(accepted=n, max=n, wave=n)
    rate = rates()[:, None]
    counts = np.arange(until.accepted + until.wave)
    # Chances of 0, 1, ... accepted: of those that go on, and of those that have ended.
    going, ended = np.zeros((2, len(rate), len(counts)))
    going[:, 0] = 1.0
    drawn, mean, squared = 0, np.zeros(len(rate)), np.zeros(len(rate))
    while drawn < until.max:
        wave = min(until.wave, until.max - drawn)
        drawn += wave
        for _ in range(wave):
            hit = going * rate
            going = going - hit
            going[:, 1:] += hit[:, :-1]
        ends = (counts >= until.accepted) | (drawn == until.max)
        done = going * ends
        going, ended = going - done, ended + done
        mean += drawn * done.sum(axis=1)
        squared += drawn**2 * done.sum(axis=1)
    capped = counts if cap is None else np.minimum(counts, cap)
    least = min(until.wave, until.max)
    return Courses(
        least, until.max, mean, squared, ended @ counts, ended @ counts**2, ended @ capped
    )


class Probed:
    """What probes tell of the problems that theirs are a sample of."""

    def __init__(self, accepted: Sequence[Sequence[bool]], lengths: Sequence[float]):
        self.lengths = np.array(lengths, dtype=float)
        made = np.array([(sum(each), len(each)) for each in accepted])
        # Problems whose probes came out alike are told apart by their lengths only.
        kinds, self.kind = np.unique(made, axis=0, return_inverse=True)
        solved, missed = kinds[:, :1], kinds[:, 1:] - kinds[:, :1]
        self.likely = rates() ** solved * (1 - rates()) ** missed
        """How likely each rate (columns) makes each kind of outcome (rows)."""
        self.evidence = np.maximum(betas() @ self.likely.T, 1e-300)
        """How likely each Beta (rows) makes each kind of outcome (columns)."""

    @cached_property
    def weights(self) -> Floats:
        """Give how likely each Beta is, now that the probes are seen."""
        logs = np.log(self.evidence) @ np.bincount(self.kind)
        return shares(logs)

    def spend(self, course: Courses, *, problems: int, longest: int) -> Spent:
        """Predict what so many problems take that are not sampled yet."""
        drawn, accepted = betas() @ course.drawn, betas() @ course.accepted
        return Spent(
            rollouts=self._sum(
                problems,
                drawn,
                betas() @ course.drawn_squared - drawn**2,
                within=(course.least, course.most),
            ),
            tokens=self._tokens(course, problems, longest),
            accepted=self._sum(
                problems,
                accepted,
                betas() @ course.accepted_squared - accepted**2,
                within=(0, course.most),
            ),
            taken=problems * float(self.weights @ betas() @ course.taken),
        )

    def _tokens(self, course: Courses, problems: int, longest: int) -> Range:
        """Predict tokens: hard problems take more rollouts, and their answers are longer.

        Lengths are a line over rates. It is fitted to the rates that are to be expected of the
        probed problems: over the shares of their probes, which are noisy, it would come out flat.
        """
        count, mean = len(self.lengths), float(self.lengths.mean())
        x = ((betas() * rates()) @ self.likely.T / self.evidence)[:, self.kind]
        middle = x.mean(axis=1)
        x, y = x - middle[:, None], self.lengths - mean
        across, along, every = (x**2).sum(axis=1), x @ y, float(y @ y)
        known = across + (every / max(count - 1, 1) + 1e-9) / (SLOPE * max(mean, 1.0)) ** 2
        slope = along / known
        length = np.clip(mean + slope[:, None] * (rates() - middle[:, None]), 0, longest)
        value = (betas() * length) @ course.drawn
        within = (0.0, float(course.most * longest))
        if count < FEWEST:
            total = problems * float(self.weights @ value)
            return Range(total, problems * within[0], problems * within[1])
        rest = np.maximum(every - 2 * slope * along + slope**2 * across, 0) / (count - 2)
        drawn, squared = betas() @ course.drawn, betas() @ course.drawn_squared
        # From problem to problem: its rate, its draws, and what of its length no rate explains.
        spread = (betas() * length**2) @ course.drawn_squared - value**2 + squared * rest
        lever = betas() @ (course.drawn * rates()) - middle * drawn
        error = rest * (drawn**2 / count + lever**2 / known) * (reach(0.05, count - 2) / Z) ** 2
        return self._sum(problems, value, spread, error=error, within=within)

    def _sum(
        self,
        problems: int,
        mean: Floats,
        spread: Floats,
        *,
        within: tuple[float, float],
        error: Floats | float = 0.0,
    ) -> Range:
        """Add up problems: by Beta, their mean, their variance, and how sure that mean is."""
        deviation = np.sqrt(np.maximum(problems * spread + problems**2 * error, 0))
        low, high = (
            float(np.clip(quantile(self.weights, problems * mean, deviation, share), *bounds))
            for bounds in [np.multiply(within, problems)]
            for share in (0.025, 0.975)
        )
        return Range(problems * float(self.weights @ mean), low, high)


def quantile(weights: Floats, means: Floats, deviations: Floats, share: float) -> float:
    """Give a quantile of a mixture of normal distributions."""
    kept = weights > 1e-6 * weights.max()
    weights, means = weights[kept] / weights[kept].sum(), means[kept]
    # Where there is no doubt at all the mixture is a step, and needs some width.
    deviations = np.maximum(deviations[kept], 1e-9)
    low, high = float((means - 6 * deviations).min()), float((means + 6 * deviations).max())
    for _ in range(30):
        middle = (low + high) / 2
        if weights @ np.interp((middle - means) / deviations, *normal()) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@cache
def normal() -> tuple[Floats, Floats]:
    """Tabulate the distribution function of the normal distribution."""
    at = np.linspace(-6, 6, 2401)
    return at, np.array([(1 + math.erf(each / math.sqrt(2))) / 2 for each in at])
