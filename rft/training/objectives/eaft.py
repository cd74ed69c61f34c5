"""eaft: learn from tokens at which the policy is unsure."""

import math
from typing import TYPE_CHECKING, ClassVar

from rft.recipe.section import Amount
from rft.training.objectives.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor

# The entropy from which on a token counts in full: that of 20 tokens, all as likely.
FULL = math.log(20)


class Eaft(Objective):
    """Weigh the loss of each token by the entropy of the policy there.

    L = -w log p(y), w = min(1, H / ln 20)^alpha, with the entropy H of the policy at the token, as
    it is: no gradient goes through w. A token that the policy is sure of, and wrong about, teaches
    next to nothing.

    arXiv 2601.02151; default: alpha 1. Checked against the authors' page and their code in
    LLaMA-Factory, not against the paper's own pages. They take H over the 20 likeliest tokens,
    scaled to sum to 1, for speed, and divide by 3.0; here H is exact, over all tokens, and w ends
    at 1, beyond which theirs cannot go.
    """

    name: ClassVar[str] = "eaft"
    arxiv: ClassVar[str] = "2601.02151"

    alpha: Amount = 1.0
    """The power of the weight; above 1 learns still less from what the policy is sure of."""

    def loss(self, logps: "Tensor", entropies: "Tensor") -> "Tensor":
        # Rounding can make an entropy negative, and a power of it no number.
        weight = (entropies / FULL).clamp(0, 1) ** self.alpha
        return -weight * logps
