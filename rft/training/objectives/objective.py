"""What an objective of fine-tuning is: the loss of a token, with its parameters."""

from typing import Any, ClassVar, Literal

from rft.recipe.section import Section


class Objective(Section):
    """The loss of a token that is learnt from.

    TRL adds the losses up and divides them by the tokens of the whole batch, so that neither the
    size of a micro-batch nor packing changes what is learnt.
    """

    name: ClassVar[str]
    arxiv: ClassVar[str] = ""
    """The paper's number; empty for what needs none."""
    loss_type: ClassVar[Literal["nll", "dft"]] = "nll"
    """TRL's own loss, which is the objective itself where there is no `loss`."""

    loss: ClassVar[Any] = None
    """(log-probabilities of the tokens, detached entropies) -> losses; zero where both are, since
    padding is there. Both are those of the logits divided by `temperature`.
    """

    @property
    def temperature(self) -> float:
        """Give what logits are divided by before `loss` sees what comes of them."""
        return 1.0
