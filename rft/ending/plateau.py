"""Whether a run still gains: its last models against the one before them, on the dev split.

It is a plateau when none of the last R models is surely better than the model before them. The R
comparisons are judged at once, so that looking R times is no way to see a gain that is not there:
a run whose models are all alike is held for gaining in at most LEVEL of looks. What is a loss is
the gate's to say.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from rft.measuring.joint_intervals import joint_intervals
from rft.measuring.pass_at_k import Interval, passes, solved
from rft.recipe.limits import Plateau
from rft.runs.folder import Run
from rft.runs.models import adopted
from rft.seeds import derive

LEVEL = 0.05


@dataclass(frozen=True)
class Rise:
    """The best of the last models against the one before them."""

    metric: str
    before: int
    """The model that the last ones go back to."""
    models: tuple[int, ...]
    """The models that were compared with it."""
    change: Interval

    @property
    def sure(self) -> bool:
        """Say whether it is surely better."""
        return self.change.low > 0

    def in_words(self) -> str:
        """Say what was seen, in points."""
        change = f"{self.change.told('+.1f')} points of {self.metric.capitalize()} on dev"
        first, last = self.models[0], self.models[-1]
        which = f"model {last}" if first == last else f"the best of models {first} to {last}"
        sure = "surely" if self.sure else "not surely"
        return f"{which} is {sure} above model {self.before}, by {change}"


def rise(run: Run, last: int, wanted: Plateau) -> Rise | None:
    """Compare the last models, up to model `last`; None where there are too few to say."""
    if last < wanted.rounds or not all(
        run.manifest("evaluate", number) for number in range(last - wanted.rounds, last + 1)
    ):
        return None
    before = adopted(run, last - wanted.rounds)
    numbers = list(range(last - wanted.rounds + 1, last + 1))
    answers = {number: on_dev(run, number) for number in (before, *numbers)}
    first, *others = (solved(each).select("benchmark", "problem_id") for each in answers.values())
    # By an older recipe they may have been measured on other problems.
    if first.is_empty() or not all(each.equals(first) for each in others):
        return None
    base = passes(answers[before], wanted.k)
    changes = np.array([passes(answers[number], wanted.k) - base for number in numbers])
    seed = derive(run.recipe.seed, "plateau", last)
    intervals = joint_intervals(changes, level=LEVEL, seed=seed)
    return Rise(wanted.metric, before, tuple(numbers), max(intervals, key=lambda each: each.low))


def on_dev(run: Run, number: int) -> pl.DataFrame:
    """Read what decides of a model's answers."""
    columns = ["split", "benchmark", "problem_id", "verdict", "mean_entropy"]
    return run.read("evaluations", number, columns).filter(pl.col("split") == "dev")
