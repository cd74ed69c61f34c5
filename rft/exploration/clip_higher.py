"""clip_higher: more room for a token to become likelier than to become less likely."""

from typing import Any, ClassVar, Self

from pydantic import model_validator

from rft.exploration.preset import Preset
from rft.recipe.section import Amount, Inside


class ClipHigher(Preset):
    """Clip the ratio further above 1 than below, so that unlikely tokens can become likely.

    The ratio is clipped to [1 - low, 1 + high]. TRL's epsilon and epsilon_high.

    arXiv 2503.14476 (DAPO); defaults: its 0.2 and 0.28. They take the place of grpo.clip.

    Needs a ratio that moves. Conflicts with kl_cov, which clips nothing. The losses cispo, whose
    epsilon_high bounds the ratio itself and not its distance from 1, and sapo, which does not clip,
    are refused.

    Undecided in the literature: nothing.
    """

    name: ClassVar[str] = "clip_higher"
    arxiv: ClassVar[str] = "2503.14476"
    needs: ClassVar[frozenset[str]] = frozenset({"ratio"})
    conflicts: ClassVar[dict[str, str]] = {
        "kl_cov": "kl_cov clips nothing, so its range would count for nothing",
    }

    low: Inside = 0.2
    """How far below 1."""
    high: Amount = 0.28
    """How far above 1."""

    @model_validator(mode="after")
    def _high_is_higher(self) -> Self:
        if self.high <= self.low:
            raise ValueError(
                f"high is {self.high} and low is {self.low}; high has to be above, or set "
                "grpo.clip instead"
            )
        return self

    def options(self) -> dict[str, Any]:
        return {"epsilon": self.low, "epsilon_high": self.high}

    def refuse(self, grpo: Any) -> str | None:
        if grpo.loss in ("cispo", "sapo"):
            return f"grpo.loss: {grpo.loss} has no such range; remove one of the two"
        return None
