"""entropy_target: as much reward for being unsure as holds the entropy."""

from typing import Any, ClassVar, Self

from pydantic import model_validator

from rft.exploration.preset import Preset
from rft.recipe.section import Amount, Weight


class EntropyTarget(Preset):
    """Add the policy's entropy to what is maximised while it is low, and adapt the coefficient.

    After each update, with H the mean entropy of its tokens: c <- c + delta if H <= target, else
    c - delta, within [0, most]. Where H was at most the target, loss = policy loss - c * H.
    TRL's use_adaptive_entropy.

    arXiv 2505.22312 (Skywork-OR1); defaults: TRL's, which are after the paper. Choose a target near
    the entropy at the start of your training: 0.2 nats may never be reached, and then it does
    nothing.

    Needs nothing. Conflicts with entropy_bonus, the same with a fixed coefficient.

    Undecided in the literature: nothing.
    """

    name: ClassVar[str] = "entropy_target"
    arxiv: ClassVar[str] = "2505.22312"
    by_micro_batch: ClassVar[bool] = True
    conflicts: ClassVar[dict[str, str]] = {
        "entropy_bonus": "it fixes the coefficient that entropy_target adapts",
    }

    target: Amount = 0.2
    """The entropy to hold, in nats."""
    delta: Amount = 0.005
    """What an update adds to the coefficient, or takes from it."""
    initial: Weight = 0.0
    """The coefficient at the start."""
    most: Amount = 1.0
    """The largest coefficient."""

    @model_validator(mode="after")
    def _starts_in_range(self) -> Self:
        if self.initial > self.most:
            raise ValueError(f"initial is {self.initial}, above most ({self.most}); lower it")
        return self

    def options(self) -> dict[str, Any]:
        return {
            "use_adaptive_entropy": True,
            "entropy_target": self.target,
            "entropy_coef_delta": self.delta,
            "entropy_coef": self.initial,
            "entropy_coef_min": 0.0,
            "entropy_coef_max": self.most,
        }
