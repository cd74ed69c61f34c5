"""high_entropy_tokens: learn from the tokens at which the policy is least sure."""

from typing import Any, ClassVar

from rft.exploration.preset import Preset
from rft.recipe.section import Inside


class HighEntropyTokens(Preset):
    """Learn only from the tokens with the highest entropy, where a text forks.

    Tokens below the (1 - share) quantile of entropy have no policy loss; the loss's denominator
    stays. TRL's top_entropy_quantile.

    arXiv 2506.01939; default: its 20 %, with clip_higher and token_level_loss, and no KL.

    Needs nothing, conflicts with nothing. The target of entropy_target is then for these tokens.

    Undecided in the literature: over what the quantile is taken. TRL takes it over each micro-batch
    (of all processes), so it depends on grpo.micro_batch.
    """

    name: ClassVar[str] = "high_entropy_tokens"
    arxiv: ClassVar[str] = "2506.01939"
    by_micro_batch: ClassVar[bool] = True

    share: Inside = 0.2
    """Tokens to learn from, as a share of all."""

    def options(self) -> dict[str, Any]:
        return {"top_entropy_quantile": self.share}
