"""What the two stages that train share: precision, checkpoints, and the model folder."""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rft.estimates.model_size import UNREADABLE, shape_of
from rft.model_folders.loading import load_config, load_weights
from rft.prompt import Prompter
from rft.recipe import Grpo, Lora, Sft
from rft.runs.models import ModelRef

if TYPE_CHECKING:
    pass


# Defaults of transformers that decide what is learnt, by name: an upgrade must not change them
# behind a key's back. `sft.args` and `grpo.args` may replace any.
DEFAULTS = {
    "optim": "adamw_torch_fused",
    "weight_decay": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "dataloader_drop_last": False,
}


def training_dtype(lora: Lora | None) -> str:
    """Name the precision of the weights in training.

    A bfloat16 weight is a multiple of steps far wider than an update at 1e-5: trained in it, 19 of
    20 weights never move. So all that is trained is float32, and computed in bfloat16 where asked.
    """
    return "float32" if lora is None else "auto"


def first_device() -> None:
    """Show the trainer one GPU only: TRL refuses several without a launcher."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = "0" if visible is None else visible.split(",")[0]


def load_policy(model: ModelRef, lora: Lora | None) -> Any:
    """Load the model to train."""
    loaded = load_weights(model, training_dtype(lora))
    try:
        loaded.generation_config.validate(strict=True)
    except ValueError:
        # A base whose generation config contradicts itself could not be saved.
        loaded.generation_config.do_sample = True
    return loaded


def is_large(model: ModelRef, tokens: int) -> bool:
    """Say whether what the layers make of so many tokens at a time is better made twice than kept.

    Where a config does not tell its sizes it is kept.
    """
    with contextlib.suppress(*UNREADABLE):
        return shape_of(Path(model.path)).recomputes(tokens)
    return False


def device_arguments(bf16: bool | str, *, large: bool) -> dict[str, Any]:
    """Give the trainer's arguments that depend on what it runs on."""
    import torch

    cuda = torch.cuda.is_available()
    if bf16 == "auto":
        bf16 = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    return {
        "bf16": bf16,
        "fp16": False,
        "use_cpu": not cuda,
        # On a CPU to the same bit: what is computed twice comes out the same.
        "gradient_checkpointing": cuda or large,
        "dataloader_pin_memory": cuda,
    }


def schedule(name: str, warmup: float) -> str:
    """Name the schedule as transformers does, whose plain `constant` would ignore a warm-up."""
    return "constant_with_warmup" if name == "constant" and warmup else name


def micro_batch(how: Sft | Grpo) -> int:
    """Choose how many rows go through the model at once; the batch is a multiple of it."""
    if how.micro_batch != "auto":
        return how.micro_batch
    # Within 16k padded tokens, which a 24 GB card and a laptop both take.
    fit = max(1, 16384 // how.longest)
    return max(size for size in range(1, how.batch + 1) if how.batch % size == 0 and size <= fit)


def saved_dtype(model: ModelRef) -> str:
    """Name the precision that a model is stored in."""
    return str(load_config(model).dtype or "float32").removeprefix("torch.")


def adapters(lora: Lora | None) -> Any:
    """Give the adapters to train in PEFT's terms."""
    if lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        task_type="CAUSAL_LM",
    )


def save(trainer: Any, prompts: Prompter, folder: Path, dtype: str) -> None:
    """Save weights (LoRA merged, its adapter beside), tokenizer and generation config."""
    import torch

    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        model.save_pretrained(folder / "adapter")
        # The adapter is float32 whatever its base is: PEFT adds its product to the weights in one
        # operation, which computes in float32 and rounds once.
        model = model.merge_and_unload()
    eos = getattr(model.generation_config, "eos_token_id", None)
    others = [] if eos is None else eos if isinstance(eos, list) else [eos]
    stops = list(dict.fromkeys([prompts.end_id, *others]))
    model.generation_config.eos_token_id = stops if len(stops) > 1 else stops[0]
    # The trainer turns the cache off for itself, and trains in float32; the model is as its base.
    model.config.use_cache = True
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer = prompts.tokenizer
    tokenizer.eos_token = prompts.end
    tokenizer.save_pretrained(folder)
