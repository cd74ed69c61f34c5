"""dft: learn less from tokens that the policy finds unlikely."""

from typing import ClassVar, Literal

from rft.training.objectives.objective import Objective


class Dft(Objective):
    """Weigh the loss of each token by its own probability, as it is.

    L = -sg(p(y)) log p(y), where sg lets no gradient through. Its gradient is that of -p(y): the
    1 / p(y) by which plain fine-tuning learns most from what is least likely is gone.

    arXiv 2508.05629 (dynamic fine-tuning). It has no parameters. TRL's loss_type dft.
    """

    name: ClassVar[str] = "dft"
    arxiv: ClassVar[str] = "2508.05629"
    loss_type: ClassVar[Literal["nll", "dft"]] = "dft"
