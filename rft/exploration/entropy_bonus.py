"""entropy_bonus: a fixed reward for being unsure."""

from typing import Any, ClassVar

from rft.exploration.preset import Preset
from rft.recipe.section import Amount


class EntropyBonus(Preset):
    """Add the policy's entropy to what is maximised, with a fixed coefficient.

    loss = policy loss - coefficient * mean entropy of the tokens. TRL's entropy_coef.

    arXiv 2504.20571 (one-shot RLVR), which found gains from it even without a reward; default: its
    0.001.

    Needs nothing. Conflicts with entropy_target, which sets the same coefficient as it goes.

    Undecided in the literature: nothing.
    """

    name: ClassVar[str] = "entropy_bonus"
    arxiv: ClassVar[str] = "2504.20571"
    by_micro_batch: ClassVar[bool] = True
    conflicts: ClassVar[dict[str, str]] = {
        "entropy_target": "it sets the coefficient of the same bonus",
    }

    coefficient: Amount = 0.001
    """The weight of the entropy."""

    def options(self) -> dict[str, Any]:
        return {"entropy_coef": self.coefficient}
