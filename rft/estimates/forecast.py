"""What a run will take, told before it is spent: tokens, hours, disk and accepted samples.

Pure arithmetic over what a few probe rollouts showed; every figure is for the whole run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from rft.estimates.model_size import Shape
from rft.recipe import Recipe, Until

# Of each token ids, text and three statistics, compressed; a second time while compacting.
BYTES_PER_TOKEN = 11
# Share of a device's matrix speed that training reaches, and seconds a step costs besides.
TRAINING_SHARE, STEP_SECONDS = 0.3, 0.03
# Forward and backward: 2 + 4 operations for each weight and token.
OPERATIONS = 6
Z = 1.959963984540054


@dataclass(frozen=True)
class Probes:
    """What the probe rollouts showed."""

    tokens: list[list[int]]
    """By problem: of each rollout."""
    tokens_per_second: float
    """Of one engine that is warm."""
    accepted: list[list[bool]]
    """By problem: of each rollout whether it was correct and passed the rules."""
    grading_seconds: float
    """For one rollout."""
    prompt_tokens: float
    matrix_speed: float
    """Operations per second of a matrix product, where training runs."""


@dataclass(frozen=True)
class Range:
    """An estimate with the 95% interval that the probes leave it; none for plain arithmetic."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Forecast:
    """What the rounds and measurements that a recipe asks for will take, all of them together."""

    probes: int
    rollouts: Range
    tokens: Range
    accepted: Range
    sampling_hours: Range
    grading_hours: Range
    training_tokens: Range
    training_hours: Range
    evaluation_tokens: Range
    evaluation_hours: Range
    disk_gb: float
    training_gb: float

    @property
    def hours(self) -> float:
        """Add up the hours."""
        parts = (self.sampling_hours, self.grading_hours, self.training_hours)
        return sum(part.value for part in parts) + self.evaluation_hours.value


def forecast(
    recipe: Recipe,
    probes: Probes,
    *,
    problems: int,
    measured: dict[str, int],
    model: Shape,
    engines: int = 1,
) -> Forecast:
    """Predict a run; `problems` there are to learn from, `measured` maps splits to answers each.

    The probes had one engine; the run has so many.
    """
    rounds, count = recipe.rounds, sum(map(len, probes.tokens))
    each = min(recipe.sample.problems, problems)
    drawn, solved = per_problem(recipe.sample.until, recipe.sample.n, probes.accepted)
    rollouts, accepted = times(drawn, rounds * each), times(solved, rounds * each)
    # By problem: answers to the same one are alike, and say less than as many to different ones.
    lengths = [sum(each) / len(each) for each in probes.tokens]
    mean = average(lengths, 0, recipe.sample.max_tokens)
    length = mean.value
    tokens = product(rollouts, mean)
    speed = engines * max(probes.tokens_per_second, 1e-9)
    answers = measured["dev"] * (rounds + 1) + measured["test"] * (
        rounds + 1 if recipe.evaluate.test == "every_round" else min(rounds, 1) + 1
    )
    measuring = times(mean, answers)
    budget = min(recipe.select.budget, accepted.value / max(rounds, 1))
    learnt = budget * rounds * recipe.sft.epochs * (length + probes.prompt_tokens)
    steps = rounds * recipe.sft.epochs * math.ceil(budget / recipe.sft.batch)
    work = OPERATIONS * (model.parameters or model.weights) * learnt
    work /= TRAINING_SHARE * probes.matrix_speed
    return Forecast(
        probes=count,
        rollouts=rollouts,
        tokens=tokens,
        accepted=accepted,
        sampling_hours=times(tokens, 1 / speed / 3600),
        grading_hours=times(rollouts, probes.grading_seconds / 3600),
        training_tokens=Range(learnt),
        training_hours=Range((work + steps * STEP_SECONDS) / 3600),
        evaluation_tokens=measuring,
        evaluation_hours=times(measuring, 1 / speed / 3600),
        disk_gb=(tokens.value * BYTES_PER_TOKEN * 2 + model.disk_bytes(recipe)) / 1e9,
        training_gb=model.training_bytes(recipe, rows=0, size=4) / 1e9,
    )


def per_problem(
    until: Until | None, n: int, accepted: Sequence[Sequence[bool]]
) -> tuple[Range, Range]:
    """Predict how many rollouts a problem takes, and how many of them are accepted.

    Of a problem that was accepted a times in m probes the rate is Beta(a + 1/2, m - a + 1/2); under
    a stopping rule both are averaged over that for each probed problem, then over problems: hard
    ones take more rollouts, so that mean times mean would promise too much.
    """
    if until is None:
        rate = share(sum(map(sum, accepted)), sum(map(len, accepted)))
        return Range(float(n)), times(rate, n)
    source = np.random.default_rng(0)
    drawn, solved = [], []
    for problem in accepted:
        rates = source.beta(sum(problem) + 0.5, len(problem) - sum(problem) + 0.5, 64).round(2)
        each = np.array([expected_draws(float(rate), until) for rate in rates])
        drawn.append(float(each.mean()))
        solved.append(float((each * rates).mean()))
    return average(drawn, until.wave, until.max), average(solved, 0, until.max)


def average(values: Sequence[float], low: float, high: float) -> Range:
    """Average over problems, with an interval inside what is possible."""
    mean, count = float(np.mean(values)), len(values)
    if count == 1:
        return Range(mean, low, high)
    margin = student(count - 1) * float(np.std(values, ddof=1)) / math.sqrt(count)
    return Range(mean, max(mean - margin, low), min(mean + margin, high))


@cache
def expected_draws(rate: float, until: Until) -> float:
    """Give the mean number of draws of a problem whose answers are accepted at a rate."""
    # Chances of 0, 1, ... accepted so far, of those that go on.
    going = np.zeros(until.accepted)
    going[0] = 1.0
    drawn, mean = 0, 0.0
    while drawn < until.max and going.sum() > 1e-12:
        wave = min(until.wave, until.max - drawn)
        mean += float(going.sum()) * wave
        drawn += wave
        for _ in range(wave):
            going = going * (1 - rate) + np.concatenate([[0.0], going[:-1]]) * rate
    return mean


def student(freedom: int) -> float:
    """Give the 97.5% quantile of Student's t (Cornish-Fisher; within 2% from 3 degrees on)."""
    z, n = Z, freedom
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3


def share(successes: int, trials: int) -> Range:
    """Give a share with its Wilson interval."""
    rate = successes / trials
    centre = (rate + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z * math.sqrt(rate * (1 - rate) / trials + Z**2 / (4 * trials**2)) / (1 + Z**2 / trials)
    return Range(rate, max(centre - half, 0.0), min(centre + half, 1.0))


def times(estimate: Range, factor: float) -> Range:
    """Scale an estimate."""
    low = None if estimate.low is None else estimate.low * factor
    high = None if estimate.high is None else estimate.high * factor
    return Range(estimate.value * factor, low, high)


def product(first: Range, second: Range) -> Range:
    """Multiply estimates; the ends of one with the ends of the other, which is on the wide side."""
    lows = [first.value if first.low is None else first.low]
    lows += [second.value if second.low is None else second.low]
    highs = [first.value if first.high is None else first.high]
    highs += [second.value if second.high is None else second.high]
    return Range(first.value * second.value, math.prod(lows), math.prod(highs))


def described(ahead: Forecast) -> list[tuple[str, str]]:
    """Write a forecast in words: what, and how much."""
    learning = f"{amount(ahead.training_tokens)} tokens, {duration(ahead.training_hours)}"
    return [
        (
            "sampling",
            f"{amount(ahead.tokens)} tokens in {amount(ahead.rollouts)} rollouts, "
            f"{duration(ahead.sampling_hours)}",
        ),
        ("accepted", f"{amount(ahead.accepted)} rollouts correct and passing the rules"),
        ("grading", duration(ahead.grading_hours)),
        ("training", f"{learning}, {ahead.training_gb:.2f} GB of memory"),
        (
            "evaluation",
            f"{amount(ahead.evaluation_tokens)} tokens, {duration(ahead.evaluation_hours)}",
        ),
        ("in all", f"{span(ahead.hours)} besides loading, {ahead.disk_gb:.2f} GB of disk"),
    ]


def at_most(recipe: Recipe, why: str) -> str:
    """Write what plain arithmetic can say where nothing can be probed."""
    sample = recipe.sample
    most = recipe.rounds * sample.problems * (sample.until.max if sample.until else sample.n)
    return (
        f"  at most {most:,} rollouts and {most * sample.max_tokens:,} tokens to learn from; more "
        f"cannot be said without probes ({why})"
    )


def amount(estimate: Range) -> str:
    """Write an estimated number with its interval, if there is any doubt."""
    if estimate.low is None or estimate.low == estimate.high:
        return f"{estimate.value:,.0f}"
    return f"{estimate.value:,.0f} [{estimate.low:,.0f}, {estimate.high:,.0f}]"


def duration(hours: Range) -> str:
    """Write an estimated time."""
    return f"about {span(hours.value)}"


def span(hours: float) -> str:
    """Write a time in the unit that it needs."""
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.0f} min" if hours >= 1 / 30 else f"{hours * 3600:.0f} s"
