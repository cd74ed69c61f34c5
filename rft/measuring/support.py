"""What a model can solve at all, its support: kept, gained and lost by another model.

The measures of The Invisible Leash (arXiv 2507.14843). A problem is in a model's empirical support
if at least one of its n samples is right (or a given share of them, the paper's threshold). With P
preserved, E expanded and S shrunk problems of two models,

    SRR  = P / (P + S)                 retained of the base's support
    NDR  = E / (P + E)                 new in the other's
    SDS  = 2 SRR NDR / (SRR + NDR)     the harmonic mean of both
    NSCR = (E - S) / (P + E + S)       net change

A problem that a model solves once in 64 samples is often not solved in the next 64 of the same
model: it is lost and nothing has happened. So it is told how many would be lost and gained if both
models were equal: of a problem's right samples of both together each is then as likely to lie among
the first model's n as chance has it (hypergeometric), which needs no rate to be known.
"""

import math
from dataclasses import dataclass

import polars as pl

from rft.measuring.pass_at_k import SAME, solved


@dataclass(frozen=True)
class Support:
    """How many problems are in the support of both models, of one, and of none."""

    preserved: int
    expanded: int
    shrunk: int
    outside: int
    expanded_by_luck: float
    """How many two equal models would gain on average, by what was measured of both."""
    shrunk_by_luck: float

    @property
    def retained(self) -> float | None:
        """Give the support retention rate, SRR; None where the base has no support."""
        return _share(self.preserved, self.preserved + self.shrunk)

    @property
    def discovered(self) -> float | None:
        """Give the net discovery rate, NDR; None where the other model has no support."""
        return _share(self.expanded, self.preserved + self.expanded)

    @property
    def dynamic(self) -> float | None:
        """Give the support dynamic score, SDS, of both rates; 0 where both are."""
        if self.retained is None or self.discovered is None:
            return None
        both = self.retained + self.discovered
        return 2 * self.retained * self.discovered / both if both else 0.0

    @property
    def net(self) -> float | None:
        """Give the net support change rate, NSCR; None where neither model has support."""
        return _share(self.expanded - self.shrunk, self.preserved + self.expanded + self.shrunk)


def support(before: pl.DataFrame, after: pl.DataFrame, *, share: float = 0.0) -> Support:
    """Compare two models' support on the same problems.

    In it is what at least one sample solves, and at least the given share of the samples.
    """
    keys = ["benchmark", "problem_id"]
    counts = solved(before).join(solved(after), on=keys, how="full", suffix="_after")
    assert not counts["n"].null_count() + counts["n_after"].null_count(), "the same problems"
    kinds = {(True, True): 0, (False, True): 0, (True, False): 0, (False, False): 0}
    gained = lost = 0.0
    for n, c, n_after, c_after in counts.select("n", "c", "n_after", "c_after").iter_rows():
        least, least_after = _least(n, share), _least(n_after, share)
        kinds[c >= least, c_after >= least_after] += 1
        more, fewer = _by_luck(n, n_after, c + c_after, least, least_after)
        gained, lost = gained + more, lost + fewer
    return Support(
        kinds[True, True],
        kinds[False, True],
        kinds[True, False],
        kinds[False, False],
        gained,
        lost,
    )


def _least(n: int, share: float) -> int:
    return max(1, math.ceil(share * n - SAME))


def _by_luck(n: int, n_after: int, right: int, least: int, least_after: int) -> tuple[float, float]:
    """Give the chances to be gained, and to be lost, if the right samples fall as chance has it."""
    ways = [0, 0]
    for first in range(max(0, right - n_after), min(n, right) + 1):
        inside, inside_after = first >= least, right - first >= least_after
        if inside != inside_after:
            ways[inside] += math.comb(n, first) * math.comb(n_after, right - first)
    every = math.comb(n + n_after, right)
    return ways[0] / every, ways[1] / every


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
