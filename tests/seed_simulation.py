"""Arms measured with several seeds, as numbers alone: known rates, and what one sees of them.

A problem has its own difficulty, alike in all arms; training moves it by something of the seed, the
same for all problems, and by something of the problem and the seed. All are in log-odds.
"""

from dataclasses import dataclass

import numpy as np

from rft.measuring.pass_at_k import Numbers, pass_at_k


@dataclass(frozen=True)
class World:
    """How much there is of each kind of luck, in standard deviations of log-odds."""

    problems: int
    seeds: int
    by_seed: float = 0.1
    by_both: float = 0.5
    by_problem: float = 0.0
    """How much an arm changes a problem whatever the seed."""
    samples: int = 16
    mean: float = -1.0
    spread: float = 2.0

    def difficulties(self, source: np.random.Generator, worlds: int) -> Numbers:
        return source.normal(self.mean, self.spread, (worlds, 1, self.problems))

    def rates(self, source: np.random.Generator, difficulties: Numbers) -> Numbers:
        """Train an arm in each world: the rate of every (world, seed, problem)."""
        worlds = len(difficulties)
        odds = (
            difficulties
            + source.normal(0, self.by_seed, (worlds, self.seeds, 1))
            + source.normal(0, self.by_problem, (worlds, 1, self.problems))
            + source.normal(0, self.by_both, (worlds, self.seeds, self.problems))
        )
        return 1 / (1 + np.exp(-odds))

    def measured(self, source: np.random.Generator, rates: Numbers, k: int) -> Numbers:
        """Measure Pass@k of every cell."""
        n = self.samples
        return pass_at_k([n] * (n + 1), list(range(n + 1)), k)[source.binomial(n, rates)]

    def truth(self, k: int) -> float:
        """Give Pass@k over all problems and seeds that there could be."""
        source = np.random.default_rng(0)
        much = np.hypot(
            np.hypot(self.by_seed, self.by_problem), np.hypot(self.by_both, self.spread)
        )
        odds = source.normal(self.mean, much, 1_000_000)
        return float((1 - (1 - 1 / (1 + np.exp(-odds))) ** k).mean())
