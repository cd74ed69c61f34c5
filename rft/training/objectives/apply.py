"""The objective of a recipe: made from its parameters, and put where TRL has its loss."""

import functools
from typing import Any

from rft.errors import RFTError, suggestion
from rft.recipe import Sft
from rft.recipe.parameters import read_parameters
from rft.training.objectives import OBJECTIVES
from rft.training.objectives.nll import Nll
from rft.training.objectives.objective import Objective


def objective_of(sft: Sft) -> Objective:
    """Make the recipe's objective, or say what is wrong with it."""
    ((name, parameters),) = sft.objective.items()
    if name not in OBJECTIVES:
        advice = suggestion(name, OBJECTIVES, otherwise=f"there are {', '.join(OBJECTIVES)}")
        raise RFTError(f'sft.objective: there is no "{name}"; {advice}')
    made = read_parameters(OBJECTIVES[name], parameters, f"sft.objective.{name}")
    if sft.args.get("label_smoothing_factor") and not isinstance(made, Nll):
        raise RFTError(
            f"sft.args.label_smoothing_factor: it smooths plain likelihood, and sft.objective is "
            f"{name}; remove one of the two"
        )
    return made


def put_in_place(objective: Objective, trainer: Any) -> None:
    """Have TRL's trainer add up an objective's losses in place of its own.

    TRL sums the log-probabilities that its fused head gives for the tokens; the head is where the
    objective goes, and all that TRL does with them stays.
    """
    if objective.loss is None:
        return
    from trl.trainer.utils import add_fused_lm_head

    model = trainer.model
    if hasattr(model, "get_base_model"):  # with adapters
        model = model.get_base_model()
    if objective.temperature != 1:
        outputs = ("log_probs", "entropy", "is_top1")
        add_fused_lm_head(model, temperature=objective.temperature, outputs=outputs)
    forward = model.forward

    @functools.wraps(forward)
    def minimised(*args: Any, **kwargs: Any) -> Any:
        outputs = forward(*args, **kwargs)
        if kwargs.get("fused_lm_head"):
            outputs.log_probs = -objective.loss(outputs.log_probs, outputs.entropy.detach())
        return outputs

    model.forward = minimised
