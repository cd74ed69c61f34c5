"""The recipe's `sft` section: what is trained, and how."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from rft.errors import RFTError, shown
from rft.recipe.section import (
    Amount,
    Auto,
    Count,
    Few,
    Name,
    Open,
    Section,
    TokenCount,
    one_method,
)

# SFTConfig keys that the sft stage sets itself -> the recipe key that decides them, if any does.
OWN_ARGUMENTS = {
    "seed": "seed",
    "data_seed": "seed",
    "trust_remote_code": "model.trust_remote_code",
    "eos_token": "prompt.end",
    "chat_template_path": "prompt.style",
    "num_train_epochs": "sft.epochs",
    "per_device_train_batch_size": "sft.micro_batch",
    "gradient_accumulation_steps": "sft.batch",
    "auto_find_batch_size": "sft.micro_batch",
    "learning_rate": "sft.learning_rate",
    "lr_scheduler_type": "sft.schedule",
    "warmup_steps": "sft.warmup",
    "warmup_ratio": "sft.warmup",
    "max_length": "sft.max_length",
    "packing": "sft.packing",
    "bf16": "sft.bf16",
    "save_steps": "sft.save_every",
    "save_strategy": "sft.save_every",
    "save_total_limit": "keep.optimizer",
    "save_only_model": "keep.optimizer",
    "report_to": "track",
    "accelerator_config": None,
    "output_dir": None,
    "do_train": None,
    "max_steps": None,
    "completion_only_loss": None,
    "assistant_only_loss": None,
    "truncation_mode": None,
    "dataset_text_field": None,
    "dataset_kwargs": None,
    "remove_unused_columns": None,
    "model_init_kwargs": None,
    "resume_from_checkpoint": None,
    "ignore_data_skip": None,
    "load_best_model_at_end": None,
    "eval_strategy": None,
    "do_eval": None,
    "push_to_hub": None,
}

# TRL's keys that spread training over several accelerators: our trainers see the first GPU only.
SPREADING = ("deepspeed", "fsdp", "fsdp_config", "parallelism_config")


def refuse_arguments(
    args: Mapping[str, Any], own: Mapping[str, str | None], stage: str, bf16: bool | str
) -> None:
    """Refuse keys of TRL's that a stage sets itself, and two kinds of half precision."""
    for name in args:
        if name in SPREADING:
            raise ValueError(
                f"args.{name} spreads training over several accelerators, and the {stage} stage "
                f"trains on one; remove it, and use {stage}.lora where memory is short"
            )
        if name in own or name.startswith("hub_"):
            key = own.get(name)
            advice = f"set {key} instead" if key else "remove it"
            raise ValueError(f"args.{name} is set by the {stage} stage itself; {advice}")
    if args.get("fp16") and bf16 is not False:
        raise ValueError(f"args.fp16 and bf16 ({bf16}) exclude each other; set bf16: false")


class Lora(Section):
    """Low-rank adapters in place of full fine-tuning."""

    r: Few
    """The rank."""
    alpha: Amount
    """The scale: an update is multiplied by alpha / r."""
    targets: Name | Annotated[tuple[Name, ...], Field(strict=False, min_length=1)] = "all-linear"
    """The modules to adapt: all-linear, or their names."""


Delta = Annotated[float, Field(gt=0, le=1)]


def a_delta(given: Any) -> Any:
    """Read a number as the delta of a blend."""
    number = isinstance(given, int | float) and not isinstance(given, bool)
    return {"delta": given} if number else given


class Blend(Section):
    """What becomes of the trained weights: a step back towards those of an earlier model."""

    delta: Delta | None = None
    """The new model is anchor + delta * (trained - anchor), weight by weight; 1 is the trained."""
    search: (
        Annotated[tuple[Delta, ...], Field(strict=False, min_length=2, max_length=99)] | None
    ) = None
    """Or the candidates for delta, of which the best on the dev split is taken."""
    on: str | None = None
    """What is the best: pass@K on dev, of evaluate.dev_n samples; ties go to the larger delta."""
    anchor: Literal["parent", "base"] = "parent"
    """The model that training started from, or the base."""

    @property
    def k(self) -> int:
        """Give the K of the Pass@K that decides."""
        assert self.on is not None, "it is given with candidates"
        return int(self.on.removeprefix("pass@"))

    @model_validator(mode="after")
    def _one_way_to_delta(self) -> Self:
        if (self.delta is None) == (self.search is None):
            raise ValueError("it needs delta, or search, and not both; give one of the two")
        if (self.search is None) != (self.on is None):
            raise ValueError(
                "search needs the metric that decides, such as on: pass@4, and delta has none"
            )
        if self.on is not None and not re.fullmatch(r"pass@[1-9][0-9]{0,3}", self.on):
            raise ValueError(f"on is {shown(self.on)}; write pass@K, such as pass@4")
        if self.search is not None and list(self.search) != sorted(set(self.search)):
            raise ValueError(f"search is {shown(self.search)}; list each delta once, rising")
        return self


class Sft(Section):
    """How the selected samples are trained on."""

    start: Literal["previous", "base"] = "previous"
    """Train the model that was sampled from, or the base again."""
    data: Literal["round", "all"] = "round"
    """Train on this round's selection, or on all rounds'."""
    objective: Annotated[
        dict[Name, Open], BeforeValidator(one_method), Field(min_length=1, max_length=1)
    ] = {"nll": {}}  # noqa: RUF012  pydantic copies it
    """What is minimised: nll, dft, gem or eaft, as a word or as name -> parameters."""
    epochs: Few = 1
    """How often each sample is seen."""
    batch: Count = 32
    """Samples per optimizer step."""
    micro_batch: Count | Auto = "auto"
    """Samples per forward pass; auto fits them into 16k tokens."""
    learning_rate: Amount
    """The peak learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """What becomes of the learning rate after the warm-up."""
    warmup: Annotated[float, Field(ge=0, le=10**9)] = 0.0
    """The warm-up: a number of steps, or below 1 a share of them."""
    max_length: TokenCount
    """The longest prompt + response + end; longer samples are dropped by name, never cut."""
    packing: bool = False
    """Put the samples of a forward pass into one row, none seeing another, in place of padding."""
    lora: Lora | None = None
    """Adapters; null is full fine-tuning."""
    blend: Annotated[Blend, BeforeValidator(a_delta)] | None = None
    """Blend the trained weights with those of an earlier model; a number is delta."""
    bf16: bool | Auto = "auto"
    """Compute in bfloat16; auto does where the device can."""
    save_every: Count = 20
    """Steps between training checkpoints, which is all that a kill can cost."""
    args: Open = Field(default_factory=dict)
    """Further keys of TRL's SFTConfig."""

    @property
    def longest(self) -> int:
        """Count the tokens of the longest row, the prompt included."""
        return self.max_length

    def refuse_other_packing(self) -> None:
        """Refuse TRL's other ways of packing, by which a batch is no number of samples.

        Not while a recipe is read: an older run that was trained so can still be read.
        """
        for name in ("packing_strategy", "padding_free"):
            if name in self.args:
                raise RFTError(f"sft.args.{name}: set sft.packing instead, which decides it")

    def refuse_other_losses(self) -> None:
        """Refuse TRL's own word for the objective, which an older run may still have."""
        if "loss_type" in self.args:
            raise RFTError("sft.args.loss_type: set sft.objective instead, which decides it")

    @model_validator(mode="after")
    def _arguments_are_not_ours(self) -> Self:
        refuse_arguments(self.args, OWN_ARGUMENTS, "sft", self.bf16)
        return self

    @model_validator(mode="after")
    def _batch_divides(self) -> Self:
        if self.micro_batch != "auto" and self.batch % self.micro_batch:
            raise ValueError(
                f"batch is {self.batch}, no multiple of the {self.micro_batch} samples of a "
                "forward pass (micro_batch); change one"
            )
        return self

    @model_validator(mode="after")
    def _warmup_is_a_number_of_steps(self) -> Self:
        if self.warmup >= 1 and self.warmup % 1:
            raise ValueError(f"warmup is {self.warmup}; give whole steps, or a share below 1")
        return self
