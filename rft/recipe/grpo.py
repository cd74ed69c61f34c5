"""The recipe's `grpo` section: training online, on answers drawn as it goes."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from rft.errors import RFTError, shown
from rft.recipe.section import (
    Amount,
    Auto,
    Count,
    Few,
    Number,
    Open,
    Section,
    Steps,
    Temperature,
    TokenCount,
    Weight,
    empty_is_nothing,
)
from rft.recipe.sft import Lora, refuse_arguments

# GRPOConfig keys that the grpo stage sets itself -> the recipe key that decides them, if any does.
OWN_ARGUMENTS = {
    "seed": "seed",
    "data_seed": "seed",
    "trust_remote_code": "model.trust_remote_code",
    "chat_template_path": "prompt.style",
    "chat_template_kwargs": "prompt.chat_kwargs",
    "max_steps": "grpo.steps",
    "num_train_epochs": "grpo.steps",
    "num_generations": "grpo.n",
    "generation_batch_size": "grpo.problems",
    "steps_per_generation": "grpo.updates",
    "gradient_accumulation_steps": "grpo.updates",
    "num_iterations": "grpo.updates",
    "per_device_train_batch_size": "grpo.micro_batch",
    "auto_find_batch_size": "grpo.micro_batch",
    "temperature": "grpo.temperature",
    "top_p": "grpo.top_p",
    "max_completion_length": "grpo.max_tokens",
    "reward_weights": "grpo.reward",
    "loss_type": "grpo.loss",
    "scale_rewards": "grpo.scale",
    "epsilon": "grpo.clip",
    "epsilon_high": "grpo.plugins.clip_higher",
    "top_entropy_quantile": "grpo.plugins.high_entropy_tokens",
    "mask_truncated_completions": "grpo.plugins.overlong_mask",
    "entropy_coef": "grpo.plugins.entropy_bonus",
    "use_adaptive_entropy": "grpo.plugins.entropy_target",
    "beta": "grpo.beta",
    "learning_rate": "grpo.learning_rate",
    "lr_scheduler_type": "grpo.schedule",
    "warmup_steps": "grpo.warmup",
    "warmup_ratio": "grpo.warmup",
    "bf16": "grpo.bf16",
    "use_vllm": "grpo.vllm",
    "vllm_mode": "grpo.vllm",
    "save_steps": "grpo.save_every",
    "save_strategy": "grpo.save_every",
    "save_total_limit": "keep.optimizer",
    "save_only_model": "keep.optimizer",
    "report_to": "track",
    "logging_steps": None,
    "output_dir": None,
    "do_train": None,
    "shuffle_dataset": None,
    "remove_unused_columns": None,
    "model_init_kwargs": None,
    "resume_from_checkpoint": None,
    "ignore_data_skip": None,
    "load_best_model_at_end": None,
    "eval_strategy": None,
    "do_eval": None,
    "push_to_hub": None,
    "multi_objective_aggregation": None,
    "max_tool_calling_iterations": None,
}


# What changes the distribution that vLLM draws from -> values with which it does not. vLLM tells
# probabilities after the change, TRL computes those before it, and would train on their ratio.
UNCHANGED: dict[str, tuple[Any, ...]] = {
    "temperature": (),
    "top_p": (1,),
    "top_k": (0, -1),
    "min_p": (0, None),
    "repetition_penalty": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "min_tokens": (0,),
    "logit_bias": (None,),
    "allowed_token_ids": (None,),
    "bad_words": (None,),
    "structured_outputs": (None,),
    "vllm_structured_outputs_regex": (None,),
}


class Length(Section):
    """A penalty for what comes near the limit, as DAPO's (arXiv 2503.14476)."""

    buffer: TokenCount
    """Tokens before the limit over which the penalty grows from 0 to 1."""
    factor: Amount = 1.0
    """What a penalty of 1 takes from the reward."""


class Reward(Section):
    """What an answer is worth; one that cannot be verified is not trained on."""

    right: Number = 1.0
    """For the right answer in the first box."""
    wrong: Number = 0.0
    """For any other, and for none."""
    format: Weight = 0.0
    """Added where a completion closes a box and ends by itself."""
    length: Length | None = None
    """The penalty for length; null is none."""

    @model_validator(mode="after")
    def _right_is_better(self) -> Self:
        if self.right <= self.wrong:
            raise ValueError(
                f"right is {self.right} and wrong is {self.wrong}; a right answer has to be worth "
                "more"
            )
        return self


class Grpo(Section):
    """How the model is trained online."""

    steps: Count
    """Steps: each draws answers, grades them, and learns from them."""
    problems: Count
    """Problems per step, without repetition until all were used."""
    n: Annotated[int, Field(ge=2, le=9_999)] = 8
    """Answers per problem, the group that an answer is compared with."""
    updates: Few = 1
    """Optimizer steps on the answers of one step; the ratio moves away from 1 after the first."""
    temperature: Annotated[Temperature, Field(gt=0)] = 1.0
    """Softmax temperature, of sampling and of the trained distribution alike."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus mass; below 1 the probabilities that are trained are not those that were drawn, which
    vllm refuses.
    """
    max_tokens: TokenCount
    """The longest completion."""
    reward: Reward = Reward()
    """What an answer is worth."""
    plugins: Annotated[dict[str, Open], BeforeValidator(empty_is_nothing)] = Field(
        default_factory=dict
    )
    """Exploration methods in the order in which they act: name -> parameters."""
    loss: Literal["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo"] = "grpo"
    """TRL's loss_type; grpo averages over each completion's tokens, then over completions."""
    scale: Literal["group", "batch", "none"] = "group"
    """What advantages are divided by: the group's standard deviation, the batch's, or nothing."""
    clip: Amount = 0.2
    """The ratio to the policy that sampled is clipped this far below and above 1; in cispo only
    above.
    """
    beta: Weight = 0.0
    """Weight of the KL divergence from the reference, the model that training starts from."""
    learning_rate: Amount
    """The peak learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """What becomes of the learning rate after the warm-up."""
    warmup: Steps = 0
    """The warm-up, in steps."""
    micro_batch: Count | Auto = "auto"
    """Completions per forward pass; auto fits them into 16k tokens."""
    lora: Lora | None = None
    """Adapters; null is full fine-tuning."""
    bf16: bool | Auto = "auto"
    """Compute in bfloat16; auto does where the device can."""
    vllm: Literal["colocate", "server"] | None = None
    """Draw answers with TRL's vLLM, in this process or on `trl vllm-serve`; null: transformers."""
    save_every: Count = 10
    """Steps between training checkpoints, which is all that a kill can cost."""
    args: Open = Field(default_factory=dict)
    """Further keys of TRL's GRPOConfig."""

    @property
    def batch(self) -> int:
        """Count the completions of one optimizer step."""
        return self.problems * self.n // self.updates

    @property
    def longest(self) -> int:
        """Count the tokens of the longest completion; what a prompt has, nobody knows yet."""
        return self.max_tokens

    def refuse_few(self, problems: int) -> None:
        """Refuse a step of more problems than there are to learn from."""
        if problems < self.problems:
            raise RFTError(
                f"grpo.problems is {self.problems}, and there are {problems} problems to learn "
                "from; lower it, or add problems to prepare.train"
            )

    def refuse_cut_distributions(self) -> None:
        """Refuse vLLM where its distribution is not the one that TRL corrects for (trl#6789).

        Not while a recipe is read: an older run that was trained so can still be read.
        """
        if self.vllm is None:
            return
        if "vllm_importance_sampling_cap" in self.args:
            raise RFTError(
                "grpo.args.vllm_importance_sampling_cap is TRL's older name; set "
                "vllm_importance_sampling_clip_max instead"
            )
        own = self.args.get("generation_kwargs") or {}
        if not isinstance(own, dict):
            raise RFTError(f"grpo.args.generation_kwargs is {shown(own)}; write a mapping")
        given = {
            "top_p": self.top_p,
            **{f"args.{name}": value for name, value in self.args.items()},
            **{f"args.generation_kwargs.{name}": value for name, value in own.items()},
        }
        for place, value in given.items():
            name = place.rpartition(".")[2]
            if name in UNCHANGED and value not in UNCHANGED[name]:
                raise RFTError(
                    f"grpo.{place} is {shown(value)}, and grpo.vllm is {self.vllm}: vLLM would "
                    "draw from another distribution than TRL corrects for; remove it, or set "
                    "grpo.vllm: null"
                )

    @model_validator(mode="after")
    def _arguments_are_not_ours(self) -> Self:
        refuse_arguments(self.args, OWN_ARGUMENTS, "grpo", self.bf16)
        return self

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        drawn = self.problems * self.n
        if drawn % self.updates:
            raise ValueError(
                f"updates is {self.updates}, which does not divide the {drawn} answers of a step "
                f"(problems {self.problems} x n {self.n}); change one of them"
            )
        if self.micro_batch != "auto" and self.batch % self.micro_batch:
            raise ValueError(
                f"micro_batch is {self.micro_batch}, which does not divide the {self.batch} "
                "answers of an optimizer step (problems x n / updates); change one of them"
            )
        return self

    @model_validator(mode="after")
    def _length_has_room(self) -> Self:
        if self.reward.length and self.reward.length.buffer > self.max_tokens:
            raise ValueError(
                f"reward.length.buffer is {self.reward.length.buffer}, more than max_tokens "
                f"({self.max_tokens}); lower it"
            )
        return self
