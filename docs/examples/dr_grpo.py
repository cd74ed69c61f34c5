"""A plug-in: advantages and lengths as in Dr. GRPO (arXiv 2503.20783).

GRPO divides a group's advantages by their standard deviation, so that problems which are nearly
always or nearly never solved count most, and each answer's loss by its length, so that long wrong
answers are pushed away less per token. Dr. GRPO does neither. TRL has it as `loss: dr_grpo` with
`scale: none`; written as a plug-in of one's own it shows two hooks, and the tests hold it against
TRL's.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from rft.exploration.plugin import Batch, Plugin, Tokens
from rft.recipe.section import TokenCount

if TYPE_CHECKING:
    from torch import Tensor


class DrGrpo(Plugin):
    """Advantages that are not scaled, and losses that are not divided by an answer's length.

    A_i = r_i - mean r over the group; each token's loss is divided by the constant `longest`.

    Goes with grpo.loss: grpo, which divides by the length that is multiplied back here.
    """

    arxiv: ClassVar[str] = "2503.20783"
    owns_advantage: ClassVar[bool] = True

    longest: TokenCount
    """What the sum over an answer's tokens is divided by: grpo.max_tokens."""

    def refuse(self, grpo: Any) -> str | None:
        if grpo.loss != "grpo":
            return f"grpo.loss is {grpo.loss}, which divides by other lengths; set it to grpo"
        return None

    def advantage(self, batch: Batch) -> "Tensor":
        # What could not be verified is not known, and teaches nothing.
        return (batch.rewards - batch.mean_of_group(batch.rewards)).nan_to_num(0.0)

    def weight(self, tokens: Tokens) -> "Tensor":
        return tokens.mask * tokens.mask.sum(1, keepdim=True) / self.longest


PLUGINS = {"dr_grpo": DrGrpo}

EXAMPLES = {"dr_grpo": {"longest": 24}}
