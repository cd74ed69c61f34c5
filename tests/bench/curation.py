"""Ratios measured side by side in one run: `make bench`. The results belong into BENCHMARKS.md.

Every ratio is the median of paired, alternating repetitions, given with its smallest and largest.
"""

import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import torch

from rft.bundled import bundled
from rft.engines import Fixed, Request, Sampling
from rft.engines.grouped_attention import share_keys
from rft.engines.transformers import Transformers
from rft.prompt import load_tokenizer, prompter
from rft.recipe import Model, Prompt
from rft.runs.folder import versions
from rft.runs.models import resolve
from rft.seeds import derive

TINY = bundled("data") / "tiny"
REPEATS = 5
TOKENS = 48
MIXED, BATCH = 100, 256


def paired(arms: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Time the arms in turn, again and again; a first turn that is not counted warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(REPEATS + 1):
        for name, arm in arms.items():
            began = time.perf_counter()
            arm()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def show(what: str, seconds: dict[str, list[float]], unit: str, amount: int) -> None:
    """Print each arm's speed, and its time as a ratio to the first arm's."""
    print(f"\n{what}")
    base = next(iter(seconds.values()))
    for name, own in seconds.items():
        ratios = sorted(mine / first for mine, first in zip(own, base, strict=True))
        speed = amount / statistics.median(own)
        print(
            f"  {name:44} {speed:10,.0f} {unit}/s   "
            f"{statistics.median(ratios):6.3f}x [{ratios[0]:.3f}, {ratios[-1]:.3f}]"
        )


def sampling() -> None:
    """Compare plain decoding with capture, and with transformers' own generate."""
    prompts = prompter(load_tokenizer(TINY), Prompt())
    engine = Transformers(resolve(Model(path="bundled:tiny")), prompts, {"batch": 256})
    # No end token, so that all arms draw the same number of tokens.
    engine.stops = torch.tensor([-1])
    problems = [json.loads(line) for line in (bundled("data") / "arithmetic/test.jsonl").open()]
    asked = []
    for number, row in enumerate(problems[:256]):
        text = prompts.render(row["question"])
        ids = tuple(prompts.encode(text))
        asked.append(Request(str(number), str(number), 1, 0, text, ids, derive("bench", number)))
    longest = max(len(request.prompt_ids) for request in asked)
    padded = torch.zeros(len(asked), longest, dtype=torch.long)
    mask = torch.zeros_like(padded)
    for row, request in enumerate(asked):
        padded[row, -len(request.prompt_ids) :] = torch.tensor(request.prompt_ids)
        mask[row, -len(request.prompt_ids) :] = 1

    def ours(entropy: bool, branching: bool) -> Callable[[], object]:
        how = Sampling(1.0, 1.0, TOKENS, entropy, branching, 0.95)
        return lambda: list(engine.sample(Fixed([asked]), how, check=lambda: None))

    def repeating(arm: Callable[[], object]) -> Callable[[], object]:
        """Do it with transformers' own attention, which repeats keys for every head."""

        def timed() -> object:
            engine.model.set_attn_implementation("sdpa")
            try:
                return arm()
            finally:
                share_keys(engine.model)

        return timed

    def generate() -> object:
        return engine.model.generate(
            padded,
            attention_mask=mask,
            max_new_tokens=TOKENS,
            min_new_tokens=TOKENS,
            do_sample=True,
            top_k=0,
            pad_token_id=0,
        )

    seconds = paired(
        {
            "plain": ours(False, False),
            "entropy and logprob": ours(True, False),
            "entropy, logprob and branching": ours(True, True),
            "plain, keys repeated for each head": repeating(ours(False, False)),
            "transformers generate, nothing captured": repeating(generate),
        }
    )
    show(
        f"Sampling, bundled model, {len(asked)} x {TOKENS} tokens",
        seconds,
        "tokens",
        len(asked) * TOKENS,
    )


def mixed() -> None:
    """Compare refilled slots with one batch after the other, and with generate, to real ends."""
    prompts = prompter(load_tokenizer(TINY), Prompt())
    engine = Transformers(resolve(Model(path="bundled:tiny")), prompts, {"batch": BATCH})
    problems = [json.loads(line) for line in (bundled("data") / "steps/test.jsonl").open()]
    asked = []
    for number, row in enumerate(problems[:MIXED]):
        text = prompts.render(row["question"])
        ids = tuple(prompts.encode(text))
        asked += [
            Request(f"{number}-{i}", str(number), 1, i, text, ids, derive("bench", number, i))
            for i in range(16)
        ]
    how = Sampling(1.0, 1.0, 128, entropy=True, branching=True, mass=0.95)
    units = engine.units(asked)
    done = [each for unit in engine.sample(Fixed(units), how, check=lambda: None) for each in unit]
    tokens = sum(len(each.token_ids or []) for each in done)

    def ours(refills: bool) -> Callable[[], object]:
        def timed() -> object:
            engine.refills = refills
            return list(engine.sample(Fixed(units), how, check=lambda: None))

        return timed

    def generate() -> object:
        engine.model.set_attn_implementation("sdpa")
        try:
            return [generated(unit) for unit in units]
        finally:
            share_keys(engine.model)

    def generated(unit: Sequence[Request]) -> object:
        padded, mask = engine._pad(unit, max(len(request.prompt_ids) for request in unit))
        return engine.model.generate(
            padded,
            attention_mask=mask,
            max_new_tokens=128,
            do_sample=True,
            top_k=0,
            eos_token_id=engine.stops.tolist(),
            pad_token_id=prompts.end_id,
        )

    seconds = paired(
        {
            "one batch after the other, statistics recorded": ours(refills=False),
            "slots refilled, prompts read once": ours(refills=True),
            "transformers generate, nothing recorded": generate,
        }
    )
    show(
        f"Sampling to real ends, bundled model, {MIXED} problems x 16, slots: {BATCH}",
        seconds,
        "tokens",
        tokens,
    )


if __name__ == "__main__":
    import logging

    logging.disable(logging.WARNING)
    torch.set_num_threads(2)
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {torch.get_num_threads()} threads")
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    sampling()
    mixed()
