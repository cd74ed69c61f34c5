"""nll: make each token likelier, all alike."""

from typing import ClassVar

from rft.training.objectives.objective import Objective


class Nll(Objective):
    """Minimise the negative log-likelihood: -log p(y) of each token y. TRL's loss_type nll."""

    name: ClassVar[str] = "nll"
