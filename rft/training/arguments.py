"""What TRL is told: refused before anything is spent, where TRL would not take it."""

from rft.errors import RFTError, suggestion
from rft.recipe import Recipe
from rft.training.policy import micro_batch


def refuse_lone_packing(recipe: Recipe) -> None:
    """Refuse to pack where one sample goes through the model at once."""
    if recipe.maker == "sft" and recipe.sft.packing and micro_batch(recipe.sft) == 1:
        raise RFTError(
            "sft.packing: one sample goes through the model at once (sft.micro_batch), and there "
            "is nothing to put beside it; raise sft.micro_batch, or set sft.packing: false"
        )


def check_trainer_arguments(recipe: Recipe) -> None:
    """Refuse what TRL does not know or cannot do here, hours before it would be used."""
    if recipe.grpo and recipe.grpo.vllm == "colocate":
        import torch

        if not torch.cuda.is_available():
            raise RFTError(
                "grpo.vllm: colocate, but there is no GPU, and vLLM's CPU build takes no new "
                "weights; set grpo.vllm: null"
            )
    args = recipe.trains.args
    if not args:
        return
    from dataclasses import fields
    from typing import get_type_hints

    import trl
    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticUserError

    config = trl.GRPOConfig if recipe.grpo else trl.SFTConfig
    known = {field.name for field in fields(config)}
    hints = get_type_hints(config)
    for name, value in args.items():
        if name not in known:
            advice = suggestion(name, known, otherwise="remove it")
            raise RFTError(
                f'{recipe.maker}.args: TRL\'s {config.__name__} has no "{name}"; {advice}'
            )
        try:
            TypeAdapter(hints[name]).validate_python(value)
        except ValidationError as error:
            why = error.errors()[0]["msg"]
            raise RFTError(
                f"{recipe.maker}.args.{name} is {value!r}, which TRL cannot use: {why}"
            ) from None
        except PydanticUserError:  # a type that only TRL understands
            continue
