"""Arms or runs side by side: who was measured on what, and what can be said of the differences.

An arm has a run for each seed, a run that is named alone is an arm of one. A metric is a value for
each seed and problem; means and differences have intervals over both (rft/measuring/two_level.py),
differences those that hold for all arms at once as well. A difference is taken at the same seed and
problem, which the two arms have sampled with the same random numbers.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from pipelines.readers.comparison.reach import Reach, reach_of
from rft.errors import RFTError, clipped, listed
from rft.measuring.diversity import answer_entropy, distinct_answers
from rft.measuring.gain import boxed_share
from rft.measuring.majority import classes_known, majority
from rft.measuring.mean_entropy import mean_entropy
from rft.measuring.pass_at_k import Interval, Numbers, passes, solved
from rft.measuring.two_level import crossed_interval, crossed_intervals, holm, p_values
from rft.recipe import Claim
from rft.recipe.compare import BASE
from rft.runs.folder import Run
from rft.seeds import derive

# One run's answers by round, the base's as round 0.
Way = Mapping[int, pl.DataFrame]


@dataclass(frozen=True)
class Measured:
    """A model's answers to the test problems, and those of the base that its run began with."""

    place: str
    """Where its run is, or was."""
    seed: int
    model: int
    answers: pl.DataFrame
    base: pl.DataFrame
    by_round: Callable[[], Way]
    """Reads all that was measured of its run."""
    ks: Sequence[int]
    """The k of Pass@k that its recipe reports."""
    asked: Mapping[str, Any]
    """By which settings its answers were drawn and judged."""
    began_with: str
    """Stands for the base, and for how that was asked."""
    sources: Mapping[str, tuple[str, str]]
    """Of each source of problems: by which settings it was read, and what it held."""
    run: Run | None = None
    """Its run, which has the texts; None where only numbers are left."""


# Metrics that are no share of answers or problems: they begin at 0 and have a unit.
UNITS = ("distinct", "answer entropy", "entropy")


@dataclass(frozen=True)
class Metric:
    """What is compared: a value for each problem, from a model's answers to it."""

    name: str
    of: Callable[[pl.DataFrame], Numbers]

    @property
    def share(self) -> bool:
        """Say whether its values are shares, from 0 to 1."""
        return self.name not in UNITS


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
    wanted: Sequence[tuple[str, int]] = ()
    """The arm and the seed of each run that there is to be; none where runs were named."""
    claims: Mapping[str, Claim] | None = None
    remarks: Sequence[str] = ()
    """What has to be known to read it: where those that are compared are not alike."""

    @property
    def measured(self) -> list[Measured]:
        """List what is measured."""
        return [one for runs in self.arms.values() for one in runs]

    @cached_property
    def benchmarks(self) -> list[str]:
        """List the benchmarks that all were measured on."""
        each = [set(one.answers["benchmark"].unique()) for one in self.measured]
        return sorted(set.intersection(*each)) if each else []

    @cached_property
    def left_out(self) -> list[str]:
        """List the benchmarks that only some were measured on."""
        each = [set(one.answers["benchmark"].unique()) for one in self.measured]
        return sorted(set().union(*each) - set(self.benchmarks))

    def without(self, names: Collection[str]) -> "SideBySide":
        """Leave arms out, and the claims about them."""
        if not names:
            return self
        for name in names:
            if name not in self.arms:
                raise RFTError(
                    f"--without {clipped(name)}: no arm that is measured; those are "
                    f"{listed(self.arms)}"
                )
            if name == self.control:
                raise RFTError(f"--without {name}: all others are held against it")
        claims = self.claims and {
            name: claim
            for name, claim in self.claims.items()
            if claim.arm not in names and claim.against not in names
        }
        return replace(
            self,
            name=f"{self.name} without {listed(names)}",
            arms={arm: runs for arm, runs in self.arms.items() if arm not in names},
            wanted=[(arm, seed) for arm, seed in self.wanted if arm not in names],
            claims=claims,
        )

    @property
    def missing(self) -> int:
        """Count the runs that there are to be and that are not measured yet."""
        there = {(arm, one.seed) for arm, runs in self.arms.items() for one in runs}
        return len(set(self.wanted) - there)

    @property
    def runs(self) -> int:
        """Count the runs that are measured."""
        return len(self.measured)

    @cached_property
    def on(self) -> "dict[str, OnBenchmark]":
        """Look at each benchmark."""
        return {name: OnBenchmark(self, name) for name in self.benchmarks}


# An arm's answers with each of its seeds.
Answers = dict[int, pl.DataFrame]


class OnBenchmark:
    """A comparison on one benchmark."""

    def __init__(self, comparison: SideBySide, benchmark: str):
        self.whole, self.name = comparison, benchmark
        self.answers: dict[str, Answers] = {}
        self.bases: dict[str, Answers] = {}
        self._rows: dict[str, list[Row]] = {}
        self._values: dict[tuple[str, int], Numbers] = {}
        for arm, runs in comparison.arms.items():
            self.answers[arm] = {one.seed: self._here(one.answers) for one in runs}
            self.bases[arm] = {one.seed: self._here(one.base) for one in runs}
        self.frames = [
            frame for of in (self.answers, self.bases) for arm in of for frame in of[arm].values()
        ]
        self._refuse_other_problems()
        if self.has_one_base:
            # The control's where it has one: of a seed they are all the same.
            others = [self.bases[arm] for arm in reversed(list(comparison.arms))]
            merged: Answers = {}
            for each in (*others, self.bases.get(comparison.control, {})):
                merged |= each
            self.answers[BASE] = dict(sorted(merged.items()))
            self.bases = {arm: {one: merged[one] for one in of} for arm, of in self.bases.items()}

    def _here(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(pl.col("benchmark") == self.name)

    def _refuse_other_problems(self) -> None:
        """Refuse models that were measured on different problems: they are not alike."""
        places = [
            (f"{what}{arm}", solved(frame).select("problem_id"))
            for what, of in (("", self.answers), ("the base of ", self.bases))
            for arm, frames in of.items()
            for frame in frames.values()
        ]
        (first, problems), *others = places
        for who, theirs in others:
            if not theirs.equals(problems):
                raise RFTError(
                    f"{who} was measured on other problems of {self.name} than {first} "
                    f"({len(theirs)} and {len(problems)}); evaluate them on the same ones"
                )

    @cached_property
    def problems(self) -> int:
        """Count the problems."""
        return len(solved(self.frames[0]))

    @cached_property
    def samples(self) -> int:
        """Count the answers to a problem, the fewest that any model gave."""
        return min(int(solved(frame)["n"].to_numpy().min()) for frame in self.frames)

    @cached_property
    def ks(self) -> list[int]:
        """List the k of Pass@k that all runs report and have the answers for."""
        given = [set(one.ks) for one in self.whole.measured]
        return sorted({1} | {k for k in set.intersection(*given) if k <= self.samples})

    @cached_property
    def votes(self) -> list[str]:
        """Name the metric of majority votes; none where an earlier version told no classes."""
        return [f"maj@{self.samples}"] if all(map(classes_known, self.frames)) else []

    @cached_property
    def metrics(self) -> list[Metric]:
        """List what is compared here, Pass@1 first; what is not known of all is left out."""
        metrics = [self.metric(f"pass@{k}") for k in self.ks]
        metrics += [self.metric(name) for name in self.votes]
        if self._known("verdict_lenient"):
            metrics.append(Metric("lenient", lambda frame: passes(lenient(frame), 1)))
        metrics.append(Metric("boxed", boxed_share))
        # More samples have more distinct answers, of whatever model.
        alike = len({tuple(solved(frame)["n"]) for frame in self.frames}) == 1
        if alike and self.votes:
            metrics.append(Metric("distinct", distinct_answers))
            metrics.append(Metric("answer entropy", answer_entropy))
        if self._known("mean_entropy"):
            metrics.append(Metric("entropy", mean_entropy))
        return metrics

    def _known(self, column: str) -> bool:
        return not any(frame[column].null_count() for frame in self.frames)

    def metric(self, name: str) -> Metric:
        """Give pass@K or maj@K by name."""
        kind, _, number = name.partition("@")
        if kind == "pass":
            return Metric(name, lambda frame: passes(frame, int(number)))
        return Metric(name, lambda frame: majority(frame, int(number)))

    def differences(self, arm: str, other: str, metric: Metric) -> Numbers | None:
        """Give an arm's metric less another's (less its own base's), a row for each seed that both
        have, a column for each problem; None without any.
        """
        there, minus = self.answers.get(arm, {}), self.answers.get(other, {})
        if other == BASE:
            minus = self.bases.get(arm, {})
        both = [seed for seed in there if seed in minus]
        if not both:
            return None
        return np.array(
            [self._value(metric, there[seed]) - self._value(metric, minus[seed]) for seed in both]
        )

    def _value(self, metric: Metric, frame: pl.DataFrame) -> Numbers:
        """Give a metric of answers of ours, computed once: a base's is asked for by every arm."""
        place = (metric.name, id(frame))
        if place not in self._values:
            self._values[place] = metric.of(frame)
        return self._values[place]

    @cached_property
    def has_one_base(self) -> bool:
        """Say whether all began with the same model, which was asked in the same way."""
        return len({one.began_with for one in self.whole.measured}) == 1

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
        # What seeds do is told by all arms in both, or the second could come out narrower.
        apart, share = [*others.values()], metric.share
        alone, joint = (
            dict(zip(others, told, strict=True))
            for told in (
                scaled_intervals(apart, source, share=share, at_once=each) for each in (False, True)
            )
        )
        inside, _ = scaled_together(apart, share=share)
        chances = dict(zip(others, holm(p_values(inside)), strict=True))
        made = []
        for arm in ([BASE] if self.has_one_base else []) + [*self.whole.arms]:
            values = np.array([self._value(metric, each) for each in self.answers[arm].values()])
            changes = None if arm == BASE else self.differences(arm, BASE, metric)
            made.append(
                Row(
                    arm,
                    metric,
                    len(values),
                    scaled_interval(values, source, share=share),
                    None
                    if changes is None
                    else scaled_interval(changes, source, share=share, change=True),
                    alone.get(arm),
                    joint.get(arm),
                    chances.get(arm),
                )
            )
        return made

    def judged(self) -> list[Judged]:
        """Judge the claims, all that can be measured at once.

        What seeds do is told by all arms on a claim's metric, as in the table of differences.
        """
        claims = self.whole.claims or {}
        families = {}
        for name, claim in claims.items():
            if claim.k > self.samples or (claim.metric.startswith("maj") and not self.votes):
                continue
            against, metric = claim.against or self.whole.control, self.metric(claim.metric)
            family = {
                arm: rows
                for arm in self.whole.arms
                if arm != against and (rows := self.differences(arm, against, metric)) is not None
            }
            if claim.arm in family:
                families[name] = family
        source = derive(self.whole.seed, "claims", self.name)
        made = []
        for name, claim in claims.items():
            interval = None
            if family := families.get(name, {}):
                # By this level each of the family has that which holds for all claims at once.
                level = 1 - 0.95 ** (len(family) / len(families))
                told = scaled_intervals([*family.values()], source, level, share=True)
                interval = dict(zip(family, told, strict=True))[claim.arm]
            made.append(Judged(name, claim, claim.against or self.whole.control, interval))
        return made

    @cached_property
    def reached(self) -> dict[str, Reach]:
        """Say what each arm solves at all against its base; thousands of resamples, so once."""
        return {
            arm: reach_of(
                [(self.bases[arm][seed], own) for seed, own in self.answers[arm].items()],
                most=self.samples,
                seed=derive(self.whole.seed, "compare", "crossover", self.name, arm),
            )
            for arm in self.whole.arms
        }


def lenient(frame: pl.DataFrame) -> pl.DataFrame:
    """Read answers leniently."""
    return frame.with_columns(verdict="verdict_lenient")


def scale_of(values: Iterable[Numbers], *, share: bool) -> float:
    """Give what a metric's values are divided by, for the intervals are made for -1 to 1."""
    if share:
        return 1.0
    # How wide they are must not hang on the unit.
    return max((float(np.abs(each).max()) for each in values), default=0.0) or 1.0


def scaled_interval(values: Numbers, source: int, *, share: bool, change: bool = False) -> Interval:
    """Average a metric over seeds and problems, with its interval over both."""
    scale = scale_of([values], share=share)
    return times(crossed_interval(values / scale, seed=source, change=change), scale)


def scaled_together(differences: Sequence[Numbers], *, share: bool) -> tuple[list[Numbers], float]:
    """Bring several arms' differences within -1 to 1 by one scale: they are judged together."""
    scale = scale_of(differences, share=share)
    return [rows / scale for rows in differences], scale


def scaled_intervals(
    differences: Sequence[Numbers],
    source: int,
    level: float = 0.05,
    *,
    share: bool,
    at_once: bool = True,
) -> list[Interval]:
    """Average differences, with intervals that hold all at once, or each by itself."""
    inside, scale = scaled_together(differences, share=share)
    made = crossed_intervals(inside, seed=source, level=level, at_once=at_once)
    return [times(each, scale) for each in made]


def times(interval: Interval, scale: float) -> Interval:
    """Multiply an interval."""
    return Interval(interval.value * scale, interval.low * scale, interval.high * scale)
