"""What a run will take, told before it is spent: tokens, hours, disk and accepted samples.

Pure arithmetic over what a few probe rollouts showed. Intervals are of round 1, whose model was
probed; of later rounds nobody knows yet how much better their models are, nor of the run's speed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rft.estimates.model_size import Shape
from rft.estimates.solving import Probed, Range, courses
from rft.recipe import Recipe
from rft.selection.budget import split_budget
from rft.training.policy import micro_batch

# Of each token ids, text and three statistics, compressed; a second time while compacting.
BYTES_PER_TOKEN = 11
# Share of a device's matrix speed that training reaches, and seconds a step costs besides.
TRAINING_SHARE, STEP_SECONDS = 0.3, 0.03
# Forward and backward: 2 + 4 operations for each weight and token.
OPERATIONS = 6


@dataclass(frozen=True)
class Probes:
    """What the probe rollouts showed."""

    tokens: list[list[int]]
    """By problem: of each rollout."""
    responses: list[list[int]]
    """By problem: tokens of each rollout that are left when it is trimmed."""
    accepted: list[list[bool]]
    """By problem: of each rollout whether it was correct and passed the rules."""
    evaluated: list[int]
    """Tokens of answers sampled as the run evaluates; none where it samples to learn likewise."""
    tokens_per_second: float
    """Of one engine that is warm."""
    timed: int
    """How many rollouts it had for that."""
    grading_seconds: float
    """For one rollout."""
    prompt_tokens: float
    matrix_speed: float
    """Operations per second of a matrix product, where training runs."""
    on_gpu: bool | None = None
    """Whether that is a GPU; None where that was not noted."""


@dataclass(frozen=True)
class Speed:
    """How many tokens per second all engines of a run sample together, and how that is known."""

    tokens_per_second: float
    source: str
    rough: bool
    """Whether it is of fewer answers at once than the run has, and so too low if anything."""


@dataclass(frozen=True)
class Forecast:
    """What the rounds and measurements that a recipe asks for will take."""

    probes: int
    rounds: int
    rollouts: Range
    """In round 1, as tokens and accepted are."""
    tokens: Range
    accepted: Range
    speed: Speed
    sampling_hours: float
    """In all rounds, at round 1's rates, as all that follows."""
    grading_hours: float
    training_tokens: float
    training_hours: float
    accepted_lengths: bool
    """Whether training tokens are told from accepted probes; if there were none, from all."""
    evaluation_tokens: float
    evaluation_hours: float
    disk_gb: float
    training_gb: float

    @property
    def hours(self) -> float:
        """Add up the hours."""
        return (
            self.sampling_hours + self.grading_hours + self.training_hours + self.evaluation_hours
        )


def candidates(recipe: Recipe) -> int:
    """Count the blends of a round's weights that are measured on dev before one is chosen."""
    search = recipe.sft.blend.search if recipe.sft.blend else None
    return len(search or ())


def forecast(
    recipe: Recipe,
    probes: Probes,
    *,
    problems: int,
    measured: dict[str, int],
    model: Shape,
    speed: Speed,
) -> Forecast:
    """Predict a run; `problems` there are to learn from, `measured` maps splits to answers each."""
    rounds, sample = recipe.rounds, recipe.sample
    # By problem: answers to the same one are alike, and say less than as many to different ones.
    lengths = [mean(each) for each in probes.tokens]
    asked = min(sample.problems, problems)
    spent = Probed(probes.accepted, lengths).spend(
        courses(sample.until, sample.n, recipe.select.per_problem),
        problems=asked,
        longest=sample.max_tokens,
    )
    each = max(speed.tokens_per_second, 1e-9) * 3600
    tokens = rounds * spent.tokens.value
    answers = measured["dev"] * (rounds * (1 + candidates(recipe)) + 1) + measured["test"] * (
        rounds + 1 if recipe.evaluate.test == "every_round" else min(rounds, 1) + 1
    )
    measuring = answers * mean(probes.evaluated or lengths)
    # Samples that each round trains on: with `data: all` those of the rounds before it as well.
    roles = split_budget(recipe.select.budget, recipe.select.noise)
    # Wrong ones are taken not to be scarce; where correct ones are, both roles shrink alike.
    unchecked = recipe.select.verdicts == "any"
    cap = recipe.select.per_problem or math.inf
    taken = min(spent.rollouts.value, cap * asked) if unchecked else spent.taken
    part = min(1.0, taken / roles["positive"]) if roles["positive"] else 1.0
    trained = [
        recipe.select.budget * part * (number if recipe.sft.data == "all" else 1)
        for number in range(1, rounds + 1)
    ]
    learnt = recipe.sft.epochs * sum(trained) * mean_row(probes, roles, unchecked=unchecked)
    steps = recipe.sft.epochs * sum(math.ceil(rows / recipe.sft.batch) for rows in trained)
    work = OPERATIONS * (model.parameters or model.weights) * learnt
    work /= TRAINING_SHARE * probes.matrix_speed
    return Forecast(
        probes=sum(map(len, probes.tokens)),
        rounds=rounds,
        rollouts=spent.rollouts,
        tokens=spent.tokens,
        accepted=spent.accepted,
        speed=speed,
        sampling_hours=tokens / each,
        grading_hours=rounds * spent.rollouts.value * probes.grading_seconds / 3600,
        training_tokens=learnt,
        training_hours=(work + steps * STEP_SECONDS) / 3600,
        accepted_lengths=any(map(any, probes.accepted)),
        evaluation_tokens=measuring,
        evaluation_hours=measuring / each,
        disk_gb=((2 * tokens + measuring) * BYTES_PER_TOKEN + model.disk_bytes(recipe)) / 1e9,
        training_gb=model.training_bytes(
            recipe, micro_batch(recipe.trains), size=4, on_gpu=probes.on_gpu
        )
        / 1e9,
    )


def mean_row(probes: Probes, roles: dict[str, int], *, unchecked: bool = False) -> float:
    """Predict the tokens of a training row: prompt, trimmed response, end."""
    by_role: dict[str, list[int]] = {"positive": [], "noise": []}
    for lengths, verdicts in zip(probes.responses, probes.accepted, strict=True):
        for length, accepted in zip(lengths, verdicts, strict=True):
            by_role["positive" if accepted or unchecked else "noise"].append(length)
    every = by_role["positive"] + by_role["noise"]
    response = sum(count * mean(by_role[role] or every) for role, count in roles.items())
    return probes.prompt_tokens + response / sum(roles.values()) + 1


def mean(values: Sequence[float]) -> float:
    """Average numbers."""
    return sum(values) / len(values)


def described(ahead: Forecast) -> list[tuple[str, str]]:
    """Write a forecast in words: what, and how much."""
    sampling = sampling_time(ahead, ahead.sampling_hours)
    if ahead.rounds > 1:
        tokens, rollouts, accepted = (
            f"{ahead.rounds * each.value:,.0f}"
            for each in (ahead.tokens, ahead.rollouts, ahead.accepted)
        )
        sampling = (
            f"{tokens} tokens in {rollouts} rollouts, {accepted} accepted, if all {ahead.rounds} "
            f"rounds are like round 1; {sampling}"
        )
    lengths = "" if ahead.accepted_lengths else " (no probe was accepted: as long as the others)"
    faster = "; more answers at once, as in a long run, go faster" if ahead.speed.rough else ""
    return [
        ("round 1", f"{amount(ahead.tokens)} tokens in {amount(ahead.rollouts)} rollouts"),
        ("accepted", f"{amount(ahead.accepted)} of these, correct and passing the rules"),
        ("sampling", sampling),
        ("grading", f"about {span(ahead.grading_hours)}"),
        (
            "training",
            f"{ahead.training_tokens:,.0f} tokens{lengths}, about {span(ahead.training_hours)}, "
            f"at least {ahead.training_gb:.1f} GB of memory",
        ),
        (
            "evaluation",
            f"{ahead.evaluation_tokens:,.0f} tokens, "
            f"{sampling_time(ahead, ahead.evaluation_hours)}",
        ),
        (
            "in all",
            f"{sampling_time(ahead, ahead.hours)} besides loading, {ahead.disk_gb:.2f} GB of disk",
        ),
        ("speed", f"{ahead.speed.tokens_per_second:,.0f} tokens/s, {ahead.speed.source}{faster}"),
    ]


def sampling_time(ahead: Forecast, hours: float) -> str:
    """Write a time that hangs on the speed of sampling, of which the probes give the least."""
    return f"{'up to' if ahead.speed.rough else 'about'} {span(hours)}"


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
    if estimate.low == estimate.high:
        return f"{estimate.value:,.0f}"
    return f"{estimate.value:,.0f} [{estimate.low:,.0f}, {estimate.high:,.0f}]"


def span(hours: float) -> str:
    """Write a time in the unit that it needs."""
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.0f} min" if hours >= 1 / 30 else f"{hours * 3600:.0f} s"
