"""What plug-ins cost in online training: `make bench-grpo`. For BENCHMARKS.md.

A step of ours against one of TRL's own GRPOTrainer, on the same answers: the learning rate is so
small that no weight moves, so every arm draws the same tokens, step by step. Each arm runs between
two plain ones and is given as the ratio to their mean: the median of the repetitions, with the
smallest and the largest. Once for whole steps, and once without drawing the answers.
"""

import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, set_seed
from trl import GRPOTrainer

from pipelines import grpo as stage
from pipelines.prepare import read_benchmark
from rft.grading.grade import keys_of
from rft.grading.verifier import Verifier
from rft.processes.stopping import Stop
from rft.prompt import load_tokenizer, prompter
from rft.recipe.loading import load_recipe
from rft.runs.models import resolve

STEPS, WARM = 3, 1
ARMS: dict[str, dict[str, Any]] = {
    "no plug-in (ours)": {},
    "entropy_advantage": {"entropy_advantage": {}},
    "perplexity_advantage": {"perplexity_advantage": {}},
    "kl_cov": {"kl_cov": {}},
}


class Plain(GRPOTrainer):
    """TRL's trainer as it is, but for the tokens of our prompts."""

    prompts: Any

    def _tokenize_prompts(self, prompts: list[str]) -> Any:
        return [self.prompts.encode(prompt) for prompt in prompts], None, {}


class Clock(TrainerCallback):
    """Time steps, and within them the drawing of answers."""

    def __init__(self, trainer: Any, updates: int):
        self.trainer, self.updates = trainer, updates
        self.whole: list[float] = []
        self.drawn: list[float] = []
        inner = trainer._generate

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            found = inner(*args, **kwargs)
            self.drawn.append(time.perf_counter() - began)
            return found

        trainer._generate = timed

    def on_step_begin(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        if state.global_step % self.updates == 0:
            self.began = time.perf_counter()

    def on_step_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        if state.global_step % self.updates == 0:
            self.whole.append(time.perf_counter() - self.began)


def run(plugins: dict[str, Any] | None, folder: Path, verifier: Verifier) -> tuple[Any, Clock]:
    """Train for a few steps: by TRL alone where plugins is None."""
    settings = {"steps": STEPS + WARM, "learning_rate": 1e-15, "plugins": plugins or {}}
    changes = [f"grpo.{key}={json.dumps(value)}" for key, value in settings.items()]
    recipe = load_recipe("grpo-quickstart", changes)
    assert recipe.grpo is not None
    model = resolve(recipe.model)
    prompts = prompter(load_tokenizer(model.path), recipe.prompt)
    import polars as pl

    (train,) = recipe.prepare.benchmarks("train").values()
    problems = pl.DataFrame(read_benchmark(train, "train", "train")).head(400)
    trainer = stage.make_trainer(
        recipe,
        model=model,
        prompts=prompts,
        problems=problems,
        keys=keys_of(problems),
        verifier=verifier,
        seed=1,
        checkpoints=folder / "checkpoints",
        stop=Stop(),
        say=print,
        journal=folder / "journal",
    )
    trainer.args.save_strategy = "no"
    if plugins is None:
        set_seed(1)
        ours, trainer = trainer, None
        trainer = Plain(
            model=ours.model,
            args=ours.args,
            reward_funcs=[ours.answers],
            train_dataset=ours.train_dataset,
            processing_class=ours.processing_class,
        )
        trainer.prompts = prompts
        trainer.remove_callback(PrinterCallback)
    else:
        trainer.dynamics.take_over([])
    clock = Clock(trainer, recipe.grpo.updates)
    trainer.add_callback(clock)
    trainer.train()
    return trainer, clock


def totals(clock: Clock) -> tuple[float, float]:
    """Give the seconds of the steps, the first left out: whole, and without drawing."""
    whole = sum(clock.whole[WARM:])
    return whole, whole - sum(clock.drawn[WARM:])


def main() -> None:
    """Print the ratios, then the peak memory of a process of each arm."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    torch.set_num_threads(2)
    ratios: dict[str, list[tuple[float, float]]] = {name: [] for name in ARMS}
    plain_steps = []
    with tempfile.TemporaryDirectory() as name, Verifier(deadline=5) as verifier:
        folder = Path(name)
        for turn in range(turns):
            trainer, clock = run(None, folder, verifier)
            tokens, before = trainer.state.num_input_tokens_seen, totals(clock)
            for arm, plugins in ARMS.items():
                trainer, clock = run(plugins, folder, verifier)
                assert trainer.state.num_input_tokens_seen == tokens, "other answers were drawn"
                own = totals(clock)
                _, clock = run(None, folder, verifier)
                after = totals(clock)
                pair = [2 * o / (b + a) for o, b, a in zip(own, before, after, strict=True)]
                ratios[arm].append((pair[0], pair[1]))
                plain_steps.append(after[0] / STEPS)
                before = after
            print(f"turn {turn + 1} of {turns}", file=sys.stderr)
    print(f"{'TRL alone':24} {statistics.median(plain_steps):.2f} s a step")
    for arm, own in ratios.items():
        cells = []
        for part in (0, 1):
            values = sorted(each[part] for each in own)
            cells.append(f"{statistics.median(values):.3f}x [{values[0]:.3f}, {values[-1]:.3f}]")
        print(f"{arm:24} whole step {cells[0]}, without drawing {cells[1]}")
    for arm in ("TRL alone", "entropy_advantage"):
        peak = subprocess.run(
            [sys.executable, __file__, "--memory", arm], capture_output=True, text=True, check=True
        ).stdout.split()[-1]
        print(f"{arm:24} peak memory {int(peak) / 1024:,.0f} MB")
    print(
        f"\n{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, {platform.machine()}, no GPU, 2 threads, {turns} alternations"
    )


def memory(arm: str) -> None:
    """Print the peak memory of this process after one training."""
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as name, Verifier(deadline=5) as verifier:
        run(None if arm == "TRL alone" else ARMS[arm], Path(name), verifier)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        memory(sys.argv[2])
    else:
        main()
