"""Train the bundled model online for a step or two, and look at what was learnt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import torch
from transformers import TrainerCallback

from pipelines import grpo as stage
from rft.exploration.plugin import Plugin
from rft.grading.judgement import AnswerKey
from rft.processes.stopping import Stop
from rft.prompt import load_tokenizer, prompter
from rft.recipe import Recipe
from rft.recipe.loading import load_recipe
from rft.runs.models import resolve

# Sums that small models get right now and then, so that a step has right and wrong answers.
PROBLEMS = [("What is 2 + 3?", "5"), ("What is 4 + 4?", "8"), ("What is 9 - 3?", "6")]
PROBLEMS += [("What is 7 + 1?", "8"), ("What is 3 + 6?", "9"), ("What is 8 - 5?", "3")]

# What makes each plug-in do something within a step or two of a tiny model, beside its own name.
AT_WORK = {
    "position_advantage": {"start": 0},
    "pass_at_k": {"k": 2},
    "clip_cov": {"low": 0.01, "share": 0.2},
    "kl_cov": {"share": 0.2},
    "entropy_gate": {"high": 1e-3, "low": 1e-4},
    "reference_reset": {"every": 1},
    "clip_higher": {"low": 1e-6, "high": 0.5},
    "entropy_bonus": {"coefficient": 0.5},
    "entropy_target": {"target": 5.0, "delta": 0.5},
}


class Judge:
    """A verifier that compares texts; golds that begin with ? cannot be read."""

    def verdicts(self, pairs: Mapping[tuple[str, str], None]) -> dict[tuple[str, str], Any]:
        from rft.grading.judgement import Judgement

        judged = {}
        for gold, answer in pairs:
            known = "correct" if gold == answer.strip() else "wrong"
            judged[gold, answer] = Judgement("bad_gold" if gold[0] == "?" else known, "exact")
        return judged


class Grads(TrainerCallback):
    """Keep the gradient of each optimizer step."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def on_pre_optimizer_step(self, *_: Any, model: Any, **__: Any) -> None:
        grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        self.seen.append(torch.cat(grads).clone())


@dataclass(frozen=True)
class Learnt:
    """What a short training did."""

    grads: list[torch.Tensor]
    rows: list[dict[str, Any]]
    weights: torch.Tensor
    trainer: Any


def recipe_for(plugins: Mapping[str, Any] | None = None, **settings: Any) -> Recipe:
    """Make a recipe of one short online training."""
    wanted = {
        "steps": 1,
        "problems": 3,
        "n": 4,
        "max_tokens": 24,
        "learning_rate": 1e-3,
        "plugins": dict(plugins or {}),
        # Two completions per forward pass: micro-batches, and groups torn apart.
        "micro_batch": 2,
        # Gradients are compared, so they are not scaled down.
        "args": {"max_grad_norm": 1e9},
    }
    shipped = quickstart()
    return shipped.model_copy(update={"grpo": type(shipped.grpo).model_validate(wanted | settings)})


@cache
def quickstart() -> Recipe:
    """Load the shipped recipe once."""
    return load_recipe("grpo-quickstart")


def trainer_for(
    recipe: Recipe,
    folder: Path,
    *,
    problems: Sequence[tuple[str, str]] = PROBLEMS,
    hooks: Sequence[Plugin] = (),
    stop: Stop | None = None,
) -> Any:
    """Build the trainer of a recipe; hooks are plug-ins that no recipe knows."""
    folder.mkdir(parents=True, exist_ok=True)
    model = resolve(recipe.model)
    prompts = prompter(load_tokenizer(model.path), recipe.prompt)
    names = [f"{index:016x}" for index in range(len(problems))]
    trainer = stage.make_trainer(
        recipe,
        model=model,
        prompts=prompts,
        problems=pl.DataFrame({"problem_id": names, "question": [q for q, _ in problems]}),
        keys={name: AnswerKey([gold]) for name, (_, gold) in zip(names, problems, strict=True)},
        verifier=Judge(),  # type: ignore[arg-type]
        seed=7,
        checkpoints=folder / "checkpoints",
        stop=stop or Stop(),
        say=lambda _text: None,
        journal=folder / "dynamics.jsonl",
    )
    trainer.plugins += hooks
    return trainer


def learn(
    folder: Path,
    plugins: Mapping[str, Any] | None = None,
    *,
    problems: Sequence[tuple[str, str]] = PROBLEMS,
    hooks: Sequence[Plugin] = (),
    **settings: Any,
) -> Learnt:
    """Train."""
    recipe = recipe_for(plugins, **settings)
    trainer = trainer_for(recipe, folder, problems=problems, hooks=hooks)
    grads = Grads()
    trainer.add_callback(grads)
    trainer.dynamics.take_over([])
    trainer.dynamics.start()
    trainer.train()
    return Learnt(grads.seen, trainer.dynamics.rows, weights_of(trainer), trainer)


def weights_of(trainer: Any) -> torch.Tensor:
    """Give all weights in one row."""
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])
