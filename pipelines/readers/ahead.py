"""How long what is left of a round takes: from what the run has measured, else from its forecast.

Of a stage it is the last earlier round's time; in the first round, the base's of `evaluate`, and
what the preflight foresaw of others. Where a stage that takes long is in none of these, nothing is
told. It is read from manifests alone, so that it can be told at any time and at once.
"""

from typing import Any

import polars as pl

from pipelines import evaluate
from pipelines.perform import LIGHT
from pipelines.run import walk
from rft.runs.folder import Run

# What of a forecast is a stage's time; hours, of all rounds.
FORECAST = {
    "sample": "sampling_hours",
    "grade": "grading_hours",
    "sft": "training_hours",
    "train": "training_hours",
}


def left_of_round(run: Run, round: int, stage: str, left: float | None) -> float | None:
    """Estimate the seconds left of a round whose stage has so many left; None where unknown.

    Of a round that is done already, and of which a stage is done again, nobody says how much is.
    """
    names = [each.name for number, each in walk(run, round) if number == round]
    done = left is None or not round or stage not in names or run.manifest(names[-1], round)
    if left is None or done:
        return None
    later = [expected(run, round, name) for name in names[names.index(stage) + 1 :]]
    known = [each for each in later if each is not None]
    return left + sum(known) if len(known) == len(later) else None


def expected(run: Run, round: int, stage: str) -> float | None:
    """Estimate the seconds that a whole stage takes; None where nothing tells."""
    for earlier in range(round - 1, -1, -1):
        if (made := run.manifest(stage, earlier)) is not None and (earlier or stage == "evaluate"):
            return took(made) * (like(run, round, earlier) if stage == "evaluate" else 1)
    return 0.0 if stage in LIGHT else foreseen(run, stage)


def took(made: dict[str, Any]) -> float:
    """Give the seconds of a finished stage, those of its earlier attempts as well."""
    names = ("seconds", "sampling_seconds", "step_seconds")
    return max(_amount(made.get(name)) or 0.0 for name in names)


def like(run: Run, round: int, earlier: int) -> float:
    """Give how many times as many answers are measured as in an earlier round."""
    now, then = (answers_wanted(run, "evaluate", each) for each in (round, earlier))
    return now / then if now is not None and then else 1.0


def answers_wanted(run: Run, stage: str, round: int) -> int | None:
    """Count the answers that a sampling stage asks for; None where that depends on them."""
    problems = run.problems(["split", "benchmark"], upto=round)
    recipe = run.recipe
    if stage == "sample" and recipe.sample.until:
        return None
    if stage == "sample":
        train = len(problems.filter(pl.col("split") == "train"))
        return min(train, recipe.sample.problems) * recipe.sample.n
    measured = problems.filter(pl.col("split").is_in(evaluate.splits(run, round)))
    return sum(
        recipe.evaluate.dev_n if split == "dev" else recipe.evaluate.samples(benchmark)
        for split, benchmark in measured.iter_rows()
    )


def foreseen(run: Run, stage: str) -> float | None:
    """Give the seconds that the preflight foresaw for a stage, at the speed that the base had."""
    ahead = (run.manifest("preflight", 0) or {}).get("forecast")
    if not isinstance(ahead, dict) or stage not in FORECAST:
        return None
    if stage == "sft" and run.recipe.searches:  # trained before, and only written down
        return 0.0
    hours, rounds = _amount(ahead.get(FORECAST[stage])), _amount(ahead.get("rounds"))
    if hours is None or not rounds:
        return None
    seconds = 3600 * hours / rounds
    base = run.manifest("evaluate", 0) or {}
    if stage == "sample":  # it goes as fast as the base's evaluation did
        speed = ahead.get("speed")
        probed = _amount(speed.get("tokens_per_second")) if isinstance(speed, dict) else None
        reached = _amount(base.get("tokens_per_second"))
        seconds *= probed / reached if probed and reached else 1
    if stage != "grade":  # a process of its own, which loads the model as that one did
        seconds += max(took(base) - (_amount(base.get("sampling_seconds")) or took(base)), 0)
    return seconds


def _amount(value: Any) -> float | None:
    """Read a number that another may have written."""
    return float(value) if isinstance(value, (int, float)) and value >= 0 else None
