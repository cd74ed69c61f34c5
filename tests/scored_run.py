"""A run with rollouts whose tokens have no statistics, and an oracle that computes them."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rft.prompt import Prompter
from rft.recipe import Model
from rft.runs.folder import Run
from rft.runs.models import model_before, resolve
from rft.seeds import digest
from tests import small_run
from tests.small_run import RIGHT, WRONG

OFF = "sample.statistics={entropy: false, branching: false, mass: 0.95}"
TINY = resolve(Model(path="bundled:tiny"))

# Words of which answers are made that no rule rejects.
WORDS = ["We", "add", "so", "first", "make", "the", "value", "is", "must", "be", "then", "next"]
WORDS += ["sum", "it", "has", "all", "é", "∑", "数", "\U0001d7dc"]


def answers(right: int, wrong: int) -> list[str]:
    """Make different completions, with text after their box."""
    source = random.Random(0)
    ends = [RIGHT] * right + [WRONG] * wrong
    return [
        f"{' '.join(source.sample(WORDS, 3 + number % 9))} {number} {end}. And then some."
        for number, end in enumerate(ends)
    ]


Change = Callable[[int, dict[str, Any]], dict[str, Any]]


def begin(path: Path, *overrides: str) -> Run:
    run = small_run.new_run(path, "select.noise=0", OFF, *overrides)
    small_run.prepare(run, answers={})
    return run


def sample(
    run: Run,
    prompts: Prompter,
    completions: list[str],
    *,
    change: Change = lambda _, row: row,
    round: int = 1,
) -> None:
    """Write rollouts with token ids and without statistics, changed as the test wants."""
    digest_of_model = model_before(run, round).digest
    text = prompts.render("What is p0?")
    rows = []
    for number, completion in enumerate(completions):
        ids = prompts.encode(completion)
        row = {
            "rollout_id": digest("r", number),
            "problem_id": f"p{number % 2}",
            "round": round,
            "sample_index": number // 2,
            "prompt": text,
            "completion": completion,
            "finish_reason": "stop",
            "num_prompt_tokens": len(prompts.encode(text)),
            "num_tokens": len(ids),
            "token_ids": ids,
            "model": digest_of_model,
            "sampling": "s",
        }
        rows.append(change(number, row))

    def work(job: Any) -> None:
        job.write("rollouts", small_run.frame("rollouts", rows))
        job.counts |= {"in": 2, "rollouts": len(rows)}

    small_run.do(run, "sample", round, work)


def recorded(entropy: float, origin: str = "engine") -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Give a row the statistics of an engine."""

    def change(row: dict[str, Any]) -> dict[str, Any]:
        size = row["num_tokens"]
        lists = {"entropies": [entropy] * size, "logprobs": [-entropy] * size}
        lists["branching"] = [2] * size
        return row | lists | {"stats_origin": origin, "stats_mass": 0.95}

    return change


def without_ids(_: int, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"token_ids": None, "num_tokens": None}


def go_on(run: Run, *names: str) -> None:
    for name in names:
        small_run.do(run, name, 1)


def manifest(run: Run, name: str = "score") -> dict[str, Any]:
    stored = run.manifest(name, 1)
    assert stored is not None
    return stored


def oracle(model: Any, prompt: list[int], response: list[int]) -> tuple[float, float, float]:
    """Average entropy, branching and nll over a response, one row at a time."""
    import torch

    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *response]])).logits[0].double()
    entropy, branching, nll = 0.0, 0, 0.0
    for place, token in enumerate(response, len(prompt) - 1):
        chances = logits[place].softmax(0)
        entropy -= float((chances * chances.log()).sum())
        nll -= float(chances[token].log())
        branching += int((chances.sort(descending=True).values.cumsum(0) < 0.95).sum()) + 1
    return entropy / len(response), branching / len(response), nll / len(response)
