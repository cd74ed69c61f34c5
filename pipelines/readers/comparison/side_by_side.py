"""Arms or runs side by side: who was measured on what, and what can be said of the differences.

An arm has a run for each seed, a run that is named alone is an arm of one. A metric is a value for
each seed and problem; means and differences have intervals over both (rft/measuring/two_level.py),
differences those that hold for all arms at once as well. A difference is taken at the same seed and
problem, which the two arms have sampled with the same random numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from rft.errors import RFTError
from rft.measuring.diversity import answer_entropy, distinct_answers
from rft.measuring.gain import boxed_share
from rft.measuring.majority import majority
from rft.measuring.pass_at_k import Interval, Numbers, passes, solved
from rft.measuring.two_level import crossed_interval, crossed_intervals, holm, p_values
from rft.recipe import Claim
from rft.recipe.compare import BASE
from rft.runs.folder import Run
from rft.seeds import derive


@dataclass(frozen=True)
class Measured:
    """A model's answers to the test problems, and those of the base that its run began with."""

    run: Run
    seed: int
    model: int
    answers: pl.DataFrame
    base: pl.DataFrame


@dataclass(frozen=True)
class Metric:
    """What is compared: a value for each problem, from a model's answers to it."""

    name: str
    of: Callable[[pl.DataFrame], Numbers]


@dataclass(frozen=True)
class Row:
    """An arm on one metric: its mean, its change to the base, its difference to the control."""

    arm: str
    metric: Metric
    seeds: int
    mean: Interval
    change: Interval | None = None
    difference: Interval | None = None
    joint: Interval | None = None
    """The difference, with an interval that holds for all arms at once."""
    p: float | None = None
    """Of no difference, by Holm's procedure over all arms."""


@dataclass(frozen=True)
class Judged:
    """A claim, and what came of it."""

    name: str
    claim: Claim
    against: str
    difference: Interval | None
    """With an interval that holds for all claims at once; None where it could not be measured."""

    @property
    def verdict(self) -> str:
        """Say in a word or two what the interval allows to say."""
        if self.difference is None:
            return "not measured"
        sign = 1 if self.claim.direction == "higher" else -1
        low, high = sorted((sign * self.difference.low, sign * self.difference.high))
        return "supported" if low > 0 else "contradicted" if high < 0 else "cannot tell"


@dataclass(frozen=True)
class SideBySide:
    """What is compared, as far as it is measured."""

    name: str
    control: str
    arms: Mapping[str, Sequence[Measured]]
    seed: int
    wanted: int = 0
    """How many runs there are to be; 0 where runs were named."""
    claims: Mapping[str, Claim] | None = None

    @cached_property
    def benchmarks(self) -> list[str]:
        """List the benchmarks that all were measured on."""
        each = [
            set(one.answers["benchmark"].unique()) for runs in self.arms.values() for one in runs
        ]
        return sorted(set.intersection(*each)) if each else []

    @property
    def runs(self) -> int:
        """Count the runs that are measured."""
        return sum(len(runs) for runs in self.arms.values())

    @cached_property
    def on(self) -> "dict[str, OnBenchmark]":
        """Look at each benchmark."""
        return {name: OnBenchmark(self, name) for name in self.benchmarks}


class OnBenchmark:
    """A comparison on one benchmark."""

    def __init__(self, comparison: SideBySide, benchmark: str):
        self.whole, self.name = comparison, benchmark
        self.answers: dict[tuple[str, int], pl.DataFrame] = {}
        self._rows: dict[str, list[Row]] = {}
        for arm, runs in comparison.arms.items():
            for one in runs:
                self.answers[arm, one.seed] = self._here(one.answers)
                self.answers[f"{BASE} of {arm}", one.seed] = self._here(one.base)
        self._refuse_other_problems()

    def _here(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(pl.col("benchmark") == self.name)

    def _refuse_other_problems(self) -> None:
        problems = {
            place: solved(frame).select("problem_id") for place, frame in self.answers.items()
        }
        (first, _), *others = problems
        for arm, seed in others:
            if not problems[arm, seed].equals(next(iter(problems.values()))):
                raise RFTError(
                    f"{arm} was measured on other problems of {self.name} than {first} "
                    f"({len(problems[arm, seed])} and {len(next(iter(problems.values())))}); "
                    "evaluate them on the same ones"
                )

    @cached_property
    def problems(self) -> int:
        """Count the problems."""
        return len(solved(next(iter(self.answers.values()))))

    @cached_property
    def samples(self) -> int:
        """Count the answers to a problem, the fewest that any model gave."""
        return min(int(solved(frame)["n"].to_numpy().min()) for frame in self.answers.values())

    @cached_property
    def ks(self) -> list[int]:
        """List the k of Pass@k that all runs report and have the answers for."""
        given = [
            set(one.run.recipe.evaluate.k) for runs in self.whole.arms.values() for one in runs
        ]
        return sorted({1} | {k for k in set.intersection(*given) if k <= self.samples})

    @cached_property
    def metrics(self) -> list[Metric]:
        """List what is compared here, Pass@1 first."""
        metrics = [self.metric(f"pass@{k}") for k in self.ks]
        metrics.append(self.metric(f"maj@{self.samples}"))
        metrics.append(Metric("lenient", lambda frame: passes(lenient(frame), 1)))
        metrics.append(Metric("boxed", boxed_share))
        metrics.append(Metric("distinct", distinct_answers))
        metrics.append(Metric("answer entropy", answer_entropy))
        if not any(frame["mean_entropy"].null_count() for frame in self.answers.values()):
            metrics.append(Metric("entropy", mean_entropy))
        return metrics

    def metric(self, name: str) -> Metric:
        """Give pass@K or maj@K by name."""
        kind, _, number = name.partition("@")
        if kind == "pass":
            return Metric(name, lambda frame: passes(frame, int(number)))
        return Metric(name, lambda frame: majority(frame, int(number)))

    def values(self, arm: str, metric: Metric) -> Numbers:
        """Give an arm's metric: a row for each seed, a column for each problem."""
        if arm == BASE:
            arm = f"{BASE} of {self.whole.control}"
        return np.array([metric.of(self.answers[arm, seed]) for seed in self.seeds(arm)])

    def seeds(self, arm: str) -> list[int]:
        """List the seeds that an arm is measured with."""
        if arm == BASE:
            arm = self.whole.control
        return [seed for name, seed in self.answers if name == arm]

    def differences(self, arm: str, other: str, metric: Metric) -> Numbers | None:
        """Give an arm's metric less another's, at each seed that both have; None without any."""
        both = [seed for seed in self.seeds(arm) if seed in self.seeds(other)]
        if not both:
            return None
        rows = dict(zip(self.seeds(arm), self.values(arm, metric), strict=True))
        minus = dict(zip(self.seeds(other), self.values(other, metric), strict=True))
        return np.array([rows[seed] - minus[seed] for seed in both])

    @property
    def has_one_base(self) -> bool:
        """Say whether all began with the same model."""
        return len({base_of(one.run) for runs in self.whole.arms.values() for one in runs}) == 1

    def rows(self, metric: Metric) -> list[Row]:
        """Compare all arms on a metric; the base comes first if they have one in common."""
        if metric.name not in self._rows:
            self._rows[metric.name] = self._compared(metric)
        return self._rows[metric.name]

    def _compared(self, metric: Metric) -> list[Row]:
        source = derive(self.whole.seed, "compare", self.name, metric.name)
        others = {
            arm: rows
            for arm in self.whole.arms
            if arm != self.whole.control
            and (rows := self.differences(arm, self.whole.control, metric)) is not None
        }
        alone = {arm: scaled_interval(rows, source, change=True) for arm, rows in others.items()}
        joint = dict(zip(others, scaled_intervals([*others.values()], source), strict=True))
        chances = dict(
            zip(others, holm(p_values(scaled_together([*others.values()])[0])), strict=True)
        )
        made = []
        for arm in ([BASE] if self.has_one_base else []) + [*self.whole.arms]:
            values = self.values(arm, metric)
            changes = None if arm == BASE else self.differences(arm, f"{BASE} of {arm}", metric)
            made.append(
                Row(
                    arm,
                    metric,
                    len(values),
                    scaled_interval(values, source),
                    None if changes is None else scaled_interval(changes, source, change=True),
                    alone.get(arm),
                    joint.get(arm),
                    chances.get(arm),
                )
            )
        return made

    def judged(self) -> list[Judged]:
        """Judge the claims, all at once."""
        claims = self.whole.claims or {}
        made, measured = [], {}
        for name, claim in claims.items():
            against = claim.against or self.whole.control
            there = {BASE, *self.whole.arms}
            _, _, number = claim.metric.partition("@")
            if {claim.arm, against} <= there and int(number) <= self.samples:
                rows = self.differences(claim.arm, against, self.metric(claim.metric))
                if rows is not None:
                    measured[name] = rows
        source = derive(self.whole.seed, "claims", self.name)
        intervals = dict(zip(measured, scaled_intervals([*measured.values()], source), strict=True))
        for name, claim in claims.items():
            against = claim.against or self.whole.control
            made.append(Judged(name, claim, against, intervals.get(name)))
        return made

    def pooled(self, arm: str) -> pl.DataFrame:
        """Give an arm's answers of all seeds as if they were more samples of one model."""
        name = f"{BASE} of {self.whole.control}" if arm == BASE else arm
        return pl.concat([self.answers[name, seed] for seed in self.seeds(arm)])

    def base_of(self, arm: str) -> pl.DataFrame:
        """Give the answers of the model that an arm began with, of all its seeds."""
        return self.pooled(f"{BASE} of {arm}")


def lenient(frame: pl.DataFrame) -> pl.DataFrame:
    """Read answers leniently."""
    return frame.with_columns(verdict="verdict_lenient")


def mean_entropy(frame: pl.DataFrame) -> Numbers:
    """Give each problem's mean entropy of a token, in nats, in the order of `solved`."""
    means = frame.group_by("benchmark", "problem_id").agg(pl.col("mean_entropy").mean())
    ordered = means.sort("benchmark", "problem_id")["mean_entropy"]
    return np.asarray(ordered.to_numpy(), np.float64)


def scaled(values: Numbers) -> tuple[Numbers, float]:
    """Bring a metric that is no share within -1 to 1, for the intervals are made for that."""
    scale = max(1.0, float(np.abs(values).max()))
    return values / scale, scale


def scaled_interval(values: Numbers, source: int, *, change: bool = False) -> Interval:
    """Average a metric over seeds and problems, with its interval over both."""
    inside, scale = scaled(values)
    return times(crossed_interval(inside, seed=source, change=change), scale)


def scaled_together(differences: Sequence[Numbers]) -> tuple[list[Numbers], float]:
    """Bring several arms' differences within -1 to 1 by one scale: they are judged together."""
    scale = max((scaled(rows)[1] for rows in differences), default=1.0)
    return [rows / scale for rows in differences], scale


def scaled_intervals(differences: Sequence[Numbers], source: int) -> list[Interval]:
    """Average differences, with intervals that hold all at once."""
    inside, scale = scaled_together(differences)
    return [times(each, scale) for each in crossed_intervals(inside, seed=source)]


def times(interval: Interval, scale: float) -> Interval:
    """Multiply an interval."""
    return Interval(interval.value * scale, interval.low * scale, interval.high * scale)


def base_of(run: Run) -> str:
    """Give the digest of the model that a run began with."""
    manifest = run.manifest("evaluate", 0)
    return "" if manifest is None else manifest["inputs"]["model"]
