"""token_level_loss: every token counts the same, however long its rollout is."""

from typing import Any, ClassVar

from rft.exploration.preset import Preset


class TokenLevelLoss(Preset):
    """Average the loss over all tokens, so that those of long answers count as much as others.

    loss = sum over tokens / number of tokens of the batch, where GRPO takes the mean over each
    rollout first. TRL's loss_type dapo.

    arXiv 2503.14476 (DAPO). It has no parameters.

    Needs nothing, conflicts with nothing; grpo.loss has to be grpo, which it takes the place of.

    Undecided in the literature: nothing.
    """

    name: ClassVar[str] = "token_level_loss"
    arxiv: ClassVar[str] = "2503.14476"

    def options(self) -> dict[str, Any]:
        return {"loss_type": "dapo"}

    def refuse(self, grpo: Any) -> str | None:
        if grpo.loss == "dapo":
            return "grpo.loss: dapo is the same, and it would change nothing; remove one of the two"
        if grpo.loss != "grpo":
            return f"it would take the place of grpo.loss: {grpo.loss}; remove one of the two"
        return None
