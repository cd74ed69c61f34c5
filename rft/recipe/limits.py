"""The recipe's `stop` section: when a run ends by itself, before its rounds are done."""

import re
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from rft.errors import shown
from rft.recipe.section import Amount, Few, Section


def whole(given: Any) -> Any:
    """Read 5e7, which YAML makes a fraction, as the whole number that is meant."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


class Plateau(Section):
    """The end of a run whose dev metric rises no more."""

    metric: str = "pass@1"
    """pass@K on dev, K at most evaluate.dev_n."""
    rounds: Few = 3
    """How many models in a row have to fail to be surely better than the one before them."""

    @field_validator("metric")
    @classmethod
    def _metric_is_pass_at_k(cls, metric: str) -> str:
        if not re.fullmatch(r"pass@[1-9][0-9]{0,3}", metric):
            raise ValueError(
                f"{shown(metric)} is no metric of a plateau; write pass@1, pass@4, ..."
            )
        return metric

    @property
    def k(self) -> int:
        """Give the metric's k."""
        return int(self.metric.removeprefix("pass@"))


class Limits(Section):
    """When a run ends by itself: at the first of these that is reached."""

    rounds: Few | None = None
    """Rounds in all, however often --next is called."""
    hours: Amount | None = None
    """Hours of work, of all attempts together."""
    gpu_hours: Annotated[float, Field(gt=0, le=10**9)] | None = None
    """The same, times the GPUs that were visible."""
    tokens: Annotated[int, Field(ge=1, le=10**15), BeforeValidator(whole)] | None = None
    """Tokens sampled by the run, for training and evaluation."""
    plateau: Plateau | None = None
    """No gain on dev any more."""

    @model_validator(mode="after")
    def _something_is_limited(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError(
                "it limits nothing; give rounds, hours, gpu_hours, tokens or plateau, or null"
            )
        return self
