"""Checks of plug-ins, objectives and engines: a step of real training, a few real answers."""

import inspect
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from pipelines import grpo
from rft.engines import file_of
from rft.errors import nearest
from rft.exploration import PLUGINS
from rft.exploration.plugin import Plugin
from rft.grading.judgement import AnswerKey
from rft.grading.verifiers import PlainVerifier, text_of
from rft.processes.stopping import Stop
from rft.prompt import load_tokenizer, prompter
from rft.recipe import Recipe
from rft.recipe.engine import ENGINES
from rft.recipe.loading import load_recipe
from rft.runs.models import resolve
from rft.training.objectives import OBJECTIVES

Checks = Iterator[tuple[str, str | None]]
# Sums that the bundled model gets right now and then, so that a step has right and wrong answers.
PROBLEMS = [("What is 2 + 3?", "5"), ("What is 4 + 4?", "8"), ("What is 9 - 3?", "6")]
PROBLEMS += [("What is 7 + 1?", "8"), ("What is 3 + 6?", "9"), ("What is 8 - 5?", "3")]
HOOKS = ["reward", "advantage", "adjust", "columns", "shape", "weight", "clip", "replace", "extra"]
HOOKS += ["on_step"]
# What may be in a plug-in besides its hooks.
OTHERS = ("active", "options", "refuse", "state_dict", "load_state_dict", "model_post_init")


def plugin(name: str, parameters: dict[str, Any]) -> Checks:
    """Try a plug-in in a step of training."""
    kind = PLUGINS[name]
    yield "hooks that are called", misnamed(kind)
    made = kind.model_validate(parameters)
    works = any(getattr(made, hook) is not None for hook in HOOKS) or bool(made.options())
    yield "does something", None if works else f"it has none of the hooks {', '.join(HOOKS)}"
    if not works:
        return
    with tempfile.TemporaryDirectory() as folder:
        plain = learnt(Path(folder) / "without", {})
        shaped = learnt(Path(folder) / "with", {name: parameters})
    sound = bool(shaped.isfinite().all())
    yield "a finite gradient", None if sound else "the gradient is not a number"
    moved = not shaped.equal(plain)
    advice = (
        f"a step's gradient is the same to the bit without it; EXAMPLES = {{'{name}': "
        "{parameter: value}} may name parameters under which it does something at once"
    )
    yield "changes the gradient", None if moved else advice
    state = kind.model_validate(parameters).state_dict()
    plainly = all(
        isinstance(each, int | float | str | bool | list | dict | None) or hasattr(each, "dtype")
        for each in state.values()
    )
    yield "a state that can be stored", None if plainly else f"state_dict gave {state!r:.60}"


def misnamed(kind: type[Plugin]) -> str | None:
    """Find a method that looks like a hook and is none."""
    own = [
        name
        for each in kind.__mro__[: kind.__mro__.index(Plugin)]
        for name, value in vars(each).items()
        if inspect.isfunction(value) and not name.startswith("_")
    ]
    for name in own:
        if name not in (*HOOKS, *OTHERS):
            near = nearest(name, HOOKS)
            if near is not None:
                return f"it has a method {name}, which nobody calls; did you mean {near}?"
    return None


def learnt(folder: Path, plugins: dict[str, Any]) -> Any:
    """Train the bundled model for a step, and give the gradients of its optimizer steps."""
    import torch
    from transformers import TrainerCallback

    seen: list[torch.Tensor] = []

    class Gradients(TrainerCallback):  # type: ignore[misc]  # transformers is Any
        def on_pre_optimizer_step(self, *_: Any, model: Any, **__: Any) -> None:
            grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
            seen.append(torch.cat(grads).clone())

    folder.mkdir(parents=True)
    recipe = short(plugins)
    model = resolve(recipe.model)
    names = [f"{number:016x}" for number in range(len(PROBLEMS))]
    trainer = grpo.make_trainer(
        recipe,
        model=model,
        prompts=prompter(load_tokenizer(model.path), recipe.prompt),
        problems=pl.DataFrame({"problem_id": names, "question": [q for q, _ in PROBLEMS]}),
        keys={name: AnswerKey([gold]) for name, (_, gold) in zip(names, PROBLEMS, strict=True)},
        verifier=PlainVerifier("exact", text_of),
        seed=7,
        checkpoints=folder / "checkpoints",
        stop=Stop(),
        say=lambda _line: None,
        journal=folder / "dynamics.jsonl",
    )
    trainer.add_callback(Gradients())
    trainer.dynamics.take_over([])
    trainer.dynamics.start()
    trainer.train()
    return torch.cat(seen)


def short(plugins: dict[str, Any]) -> Recipe:
    """Make a recipe of two updates on one step: in the second the ratio is not 1."""
    recipe = load_recipe("grpo-quickstart")
    assert recipe.grpo is not None
    changed = {
        "steps": 1,
        "problems": 6,
        "n": 4,
        "updates": 2,
        "max_tokens": 24,
        "micro_batch": 4,
        "beta": 0.02,
        "plugins": plugins,
        "args": {"max_grad_norm": 1e9},
    }
    section = recipe.grpo.model_dump() | changed
    return recipe.model_copy(update={"grpo": type(recipe.grpo).model_validate(section)})


def objective(name: str, parameters: dict[str, Any]) -> Checks:
    """Try an objective on made-up tokens."""
    import torch

    made = OBJECTIVES[name].model_validate(parameters)
    if made.loss is None:
        yield "has a loss", f"it has none, and would be TRL's own {made.loss_type}"
        return
    yield "has a loss", None
    logps = torch.tensor([[-0.1, -2.0, -7.0, 0.0]], requires_grad=True)
    entropies = torch.tensor([[0.3, 1.5, 0.9, 0.0]])
    losses = made.loss(logps, entropies)
    shape = None if losses.shape == logps.shape else f"{tuple(losses.shape)} for {(1, 4)}"
    yield "a loss for each token", shape
    if shape:
        return
    yield "finite", None if bool(losses.isfinite().all()) else f"it gave {losses.tolist()}"
    zero = losses[0, -1].item() == 0
    yield "none on padding", None if zero else f"{losses[0, -1].item()} where both are zero"
    losses.sum().backward()
    grad = logps.grad
    moved = grad is not None and bool(grad[0, :-1].abs().sum() > 0)
    yield "a gradient", None if moved else "nothing would be learnt"


def engine(name: str) -> Checks:
    """Look at an engine; that it samples, a round of the smoke recipe shows."""
    there = getattr(file_of(name), "open_for", None)
    takes = there is not None and len(inspect.signature(there).parameters) == 2
    yield "can be opened", None if takes else "its file has no open_for(demand, seed)"
    known = ENGINES[name].identity_keys and not hasattr(file_of(name), "identity")
    yield "says what decides its tokens", "its file has no identity(recipe)" if known else None
