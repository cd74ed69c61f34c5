"""entropy_advantage: a bonus on the advantage of uncertain tokens."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from rft.exploration.plugin import Plugin, Tokens
from rft.recipe.section import Amount

if TYPE_CHECKING:
    from torch import Tensor


class EntropyAdvantage(Plugin):
    """Raise the advantage of tokens that the policy was unsure of, never past a sign change.

    A'_t = A_t + min(alpha * H_t, |A_t| / kappa), with H_t the policy's entropy as a constant.

    arXiv 2506.14758. Right tokens gain up to half of their advantage, wrong ones lose up to half of
    their blame, and where A is 0 it stays 0. The bonus has no gradient: it goes away by itself
    where the policy becomes sure, unlike an entropy loss.

    Defaults: the paper's for GRPO (0.1 for PPO). The paper rewards with +1 and -1; GRPO's division
    by the group's deviation hides the difference, without it (nsr, psr, w_reinforce) it is visible.

    Needs nothing: H comes with the loss. Conflicts with response_entropy, which does the opposite.

    Undecided in the literature: kappa is 2 in the paper and 1 in the copy that SIREN compared with,
    which takes all blame from unsure tokens; it has to be above 1 here. H is of the policy as it is
    now; on the first update that is the one that sampled.
    """

    name: ClassVar[str] = "entropy_advantage"
    arxiv: ClassVar[str] = "2506.14758"
    keeps_sign: ClassVar[bool] = True
    conflicts: ClassVar[dict[str, str]] = {
        "response_entropy": "one rewards uncertainty, the other takes the reward back",
    }

    alpha: Amount = 0.4
    """What a nat of entropy adds to the advantage."""
    kappa: Annotated[float, Field(gt=1, le=10**6)] = 2.0
    """The bonus is at most |A| / kappa."""

    def shape(self, advantages: "Tensor", tokens: Tokens) -> "Tensor":
        # Rounding leaves an entropy a hair below 0 here and there, and A = 0 has to stay 0.
        bonus = self.alpha * tokens.entropies.clamp(min=0)
        return advantages + bonus.minimum(advantages.abs() / self.kappa)
