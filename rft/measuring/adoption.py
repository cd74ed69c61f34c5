"""Whether a new model is adopted: compared with every adopted model, on every metric, at once.

Compared with the last adopted model alone, a slow decline is never seen: each step is too small.
So all adopted models are references, the base among them. The best of them is as well: it need not
be picked, and what picking it would distort (the best of many looks better than it is) does not
arise, since the intervals are joint: rft/measuring/joint_intervals.py. A model that is as good as
every adopted one is refused in at most `level` of decisions, whatever their number.

The comparisons are one-sided and of paired problems: that, and all past measurements in place of
one, is where the power comes from; tests/bench/gate.py measures it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from rft.errors import RFTError
from rft.measuring.joint_intervals import joint_intervals
from rft.measuring.mean_entropy import mean_entropy
from rft.measuring.pass_at_k import Interval, Numbers, passes, solved
from rft.recipe import Gate

# Metric -> the value of each problem, in the order of `solved`.
Values = Mapping[str, Numbers]


@dataclass(frozen=True)
class Comparison:
    """A new model against an adopted one, on one metric."""

    metric: str
    against: int
    """The adopted model: 0 is the base."""
    roles: tuple[str, ...]
    """What that model is: last, best (on this metric), base; none of them, or several."""
    change: Interval
    """New less adopted; of `entropy`: new less the share of the base's that has to be left."""

    @property
    def refuses(self) -> bool:
        """Say whether the new model is surely worse."""
        return self.change.high < 0

    def noted(self) -> dict[str, Any]:
        """Give what a manifest says of it."""
        return {
            "metric": self.metric,
            "against": self.against,
            "roles": list(self.roles),
            "difference": [self.change.value, self.change.low, self.change.high],
            "refuses": self.refuses,
        }


def noted_comparisons(manifest: Mapping[str, Any]) -> list[Comparison]:
    """Read a gate's comparisons; one of before 0.2 made a single one, with the last model."""
    if "comparisons" not in manifest:
        change = Interval(*manifest["difference"])
        return [Comparison(manifest["metric"], manifest["compared_with"], ("last",), change)]
    return [
        Comparison(
            each["metric"], each["against"], tuple(each["roles"]), Interval(*each["difference"])
        )
        for each in manifest["comparisons"]
    ]


def told(comparison: Comparison, floor: float) -> str:
    """Write a comparison: points of Pass@k, nats of entropy."""
    change, metric = comparison.change, comparison.metric
    points = change.told("+.3f", 1) if metric == "entropy" else change.told("+.1f")
    roles = f" ({', '.join(comparison.roles)})" if comparison.roles else ""
    what = f" nats above {floor:g} of" if metric == "entropy" else " points against"
    name = metric.replace("pass", "Pass")
    return f"{name} {points}{what} model {comparison.against}{roles}"


def values_of(evaluations: pl.DataFrame, gate: Gate, whose: str) -> Values:
    """Take from a model's answers what the metrics compare."""
    return {
        metric: entropies(evaluations, whose) if k is None else passes(evaluations, k)
        for metric, k in gate.metrics.items()
    }


def entropies(evaluations: pl.DataFrame, whose: str) -> Numbers:
    """Give each problem's mean entropy over its answers, in the order of `solved`."""
    means = mean_entropy(evaluations)
    if unknown := int(np.isnan(means).sum()):
        raise RFTError(
            f"gate.metric: entropy, but the answers of {whose} to {unknown} of {len(means)} dev "
            "problems have none recorded (engine.kind: server may give none); measure on an "
            "engine with statistics, or take entropy out of gate.metric"
        )
    return means


def refuse_other_problems(models: Mapping[int, pl.DataFrame]) -> None:
    """Refuse to compare models that were measured on different problems."""
    names = {
        number: solved(frame).select("benchmark", "problem_id") for number, frame in models.items()
    }
    first = min(names)
    for number, each in names.items():
        if not each.equals(names[first]):
            raise RFTError(
                f"models {first} and {number} were measured on different problems "
                f"({len(names[first])} and {len(each)}); evaluate them again on the same ones"
            )


def compare(
    adopted: Mapping[int, Values], new: Values, gate: Gate, *, seed: int
) -> list[Comparison]:
    """Make every comparison: on Pass@k with each adopted model, on entropy with the base."""
    made: list[tuple[str, int, tuple[str, ...], Numbers]] = []
    for metric in gate.metrics:
        if metric == "entropy":
            left = gate.entropy_floor * adopted[0][metric]
            made.append((metric, 0, ("base",), new[metric] - left))
            continue
        best = max(adopted, key=lambda number: (adopted[number][metric].mean(), number))
        places = {"base": 0, "last": max(adopted), "best": best}
        for number, values in adopted.items():
            roles = tuple(role for role, place in places.items() if place == number)
            made.append((metric, number, roles, new[metric] - values[metric]))
    changes = np.array([change for *_, change in made])
    intervals = joint_intervals(changes, level=gate.level, seed=seed)
    return [
        Comparison(metric, number, roles, interval)
        for (metric, number, roles, _), interval in zip(made, intervals, strict=True)
    ]
