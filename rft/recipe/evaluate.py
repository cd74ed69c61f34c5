"""The recipe's `evaluate` and `gate` sections: what is measured, and what follows from it."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from rft.errors import shown
from rft.recipe.section import Few, Inside, Section, Temperature, TokenCount, refuse_equal_samples

Percent = Annotated[float, Field(ge=0, le=100)]


class Evaluate(Section):
    """How each model is measured on the dev and test problems."""

    n: Few | dict[str, Few]
    """Samples per test problem: a number, or benchmark -> number."""
    k: Annotated[tuple[Few, ...], Field(strict=False, min_length=1)]
    """The k of Pass@k; on dev, those above dev_n are left out."""
    dev_n: Few = 4
    """Samples per dev problem."""
    test: Literal["every_round", "end"] = "every_round"
    """Measure the test problems each round, or the base and the last model only."""
    temperature: Temperature = 1.0
    """Softmax temperature; 0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus mass; 1 is no cut."""
    max_tokens: TokenCount
    """The longest completion."""
    reference: dict[str, Percent] = Field(default_factory=dict)
    """Published Pass@1 of the base in percent, by benchmark; a base far off it is warned about."""

    def samples(self, benchmark: str) -> int:
        """Give the number of samples per problem of a test benchmark."""
        return self.n[benchmark] if isinstance(self.n, dict) else self.n

    @model_validator(mode="after")
    def _n_suffices(self) -> Self:
        if list(self.k) != sorted(set(self.k)):
            raise ValueError(f"k is {shown(self.k)}; list each k once, rising")
        wanted = self.n.items() if isinstance(self.n, dict) else [("", self.n)]
        for benchmark, n in wanted:
            name = f"n.{benchmark}" if benchmark else "n"
            refuse_equal_samples(self.temperature, name, n)
            if self.k[-1] > n:
                raise ValueError(
                    f"k has {self.k[-1]} and {name} is {n}, but Pass@k needs at least k samples; "
                    f"raise {name} or shorten k"
                )
        for benchmark, percent in self.reference.items():
            if 0 < percent < 1:
                raise ValueError(
                    f"reference.{benchmark} is {percent}, which reads like a share; "
                    f"write percent, {percent * 100:g}"
                )
        return self


def one_or_more(given: Any) -> Any:
    """Read a single metric as a list of one."""
    return [given] if isinstance(given, str) else given


class Gate(Section):
    """When a new model is adopted."""

    on: Literal["dev"] = "dev"
    """The split that decides; a benchmark must not."""
    metric: Annotated[
        tuple[str, ...], BeforeValidator(one_or_more), Field(strict=False, min_length=1)
    ] = ("pass@1",)
    """What must not be surely worse than an adopted model's: pass@K, entropy, or several."""
    level: Annotated[float, Field(ge=0.001, le=0.2)] = 0.05
    """The most often that a model as good as every adopted one is refused, per decision."""
    entropy_floor: Inside = 0.5
    """For `entropy`: the share of the base's mean entropy that has to be left."""

    @property
    def metrics(self) -> dict[str, int | None]:
        """Give each metric's K; entropy has none."""
        return {
            name: None if name == "entropy" else int(name.removeprefix("pass@"))
            for name in self.metric
        }

    @field_validator("metric")
    @classmethod
    def _metrics_are_known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name != "entropy" and not re.fullmatch(r"pass@[1-9][0-9]{0,3}", name):
                raise ValueError(f"it names {shown(name)}; a metric is pass@K or entropy")
        if len(set(names)) < len(names):
            raise ValueError(f"it is {shown(names)}; list each metric once")
        return names
