"""Measure the bundled model: Pass@k and the share of each defect at temperature 1.

Run as `python data/measure_tiny.py`; exits 1 when the model is outside the calibration that the
quickstart and the tests rely on.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from math import comb
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from arithmetic_language import INSTRUCTION
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

HERE = Path(__file__).parent
SEED = 20_250_813
# One thread: the steps are too small to share, and on a busy machine two wait for each other.
THREADS = 1
SPLIT, SAMPLES, MAX_TOKENS = "test", 32, 128
BATCH = 512
FULLNESS = 0.85
KS = (1, 2, 4, 8, 16, 32)
CALIBRATION = {1: (0.20, 0.45), 32: (0.65, 0.85)}
REDUNDANT = 0.31
BOX = "\\boxed{"


@dataclass(frozen=True)
class Measured:
    """What a model does on a bundled split."""

    pass_at: dict[int, float]
    pass_at_1_by_tier: dict[int, float]
    defects: dict[str, float]
    prompt_tokens: float
    answer_tokens: float
    median_answer_tokens: float
    tokens_per_second: float

    def misses(self) -> list[str]:
        """List the figures outside the calibration."""
        return [
            f"Pass@{k} is {self.pass_at[k]:.3f}, not within {low} to {high}"
            for k, (low, high) in CALIBRATION.items()
            if not low <= self.pass_at[k] <= high
        ]


def read_problems(split: str) -> list[dict[str, Any]]:
    """Read a bundled split."""
    text = (HERE / "arithmetic" / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def chat_prompt(question: str, tokenizer: Any) -> list[int]:
    """Render and tokenise a question as the quickstart does."""
    messages = [{"role": "user", "content": question + INSTRUCTION}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@torch.inference_mode()
def sample(
    model: Any, prompts: list[list[int]], ends: list[int], generator: torch.Generator
) -> list[list[int]]:
    """Sample one completion for each prompt at temperature 1, without its end token."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache()
    rows = torch.arange(len(prompts))
    running = torch.ones(len(prompts), dtype=torch.bool)
    completions: list[list[int]] = [[] for _ in prompts]
    for _ in range(MAX_TOKENS):
        logits = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            logits_to_keep=1,
        ).logits[:, -1]
        mass = logits.softmax(-1).cumsum(-1)
        drawn = torch.rand(len(mass), 1, generator=generator) * mass[:, -1:]
        tokens = torch.searchsorted(mass, drawn, right=True).clamp(max=mass.shape[1] - 1)[:, 0]
        running &= ~torch.isin(tokens, torch.tensor(ends))
        if not running.any():
            break
        if running.float().mean() < FULLNESS:
            # Rows that have ended leave the batch and its cache, several at a time.
            rows, tokens, mask, positions = (x[running] for x in (rows, tokens, mask, positions))
            cache.batch_select_indices(running.nonzero()[:, 0])
            running = running[running]
        for row, token, runs in zip(rows.tolist(), tokens.tolist(), running.tolist(), strict=True):
            if runs:
                completions[row].append(token)
        ids = tokens[:, None]
        mask = torch.cat([mask, torch.ones_like(ids)], 1)
        positions = positions[:, -1:] + 1
    return completions


def first_box(text: str) -> tuple[str, int] | None:
    """Find the content of the first balanced box, and where the box ends."""
    start = text.find(BOX)
    while start >= 0:
        depth = 1
        for i in range(start + len(BOX), len(text)):
            depth += {"{": 1, "}": -1}.get(text[i], 0)
            if depth == 0:
                return text[start + len(BOX) : i], i + 1
        start = text.find(BOX, start + 1)
    return None


def is_correct(text: str, gold: str) -> bool:
    """Compare the first box with the gold answer as integers."""
    box = first_box(text)
    return box is not None and box[0].strip().isdecimal() and int(box[0]) == int(gold)


def redundancy(text: str) -> float:
    """Compute the share of word 3-grams that repeat an earlier one."""
    words = text.split()
    grams = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Estimate Pass@k without bias."""
    return 1 - comb(samples - correct, k) / comb(samples, k)


def defects_of(text: str, ended: bool, earlier: set[str]) -> dict[str, bool]:
    """Tell which defects one sample has; `earlier` gathers the samples of its problem."""
    box = first_box(text)
    response, rest = (text[: box[1]], text[box[1] :]) if box else (text, "")
    duplicate = response in earlier
    earlier.add(response)
    return {
        "no_box": box is None,
        "no_digit": not any(c.isdecimal() for c in response),
        "redundant": redundancy(response) > REDUNDANT,
        "duplicate": duplicate,
        "many_boxes": text.count(BOX) > 1,
        "truncated": box is None and not ended,
        "text_after_box": rest.strip("$. ") != "",
        "never_stops": not ended,
    }


def measure(folder: Path) -> Measured:
    """Sample every problem of a split many times and count what comes out."""
    torch.set_num_threads(THREADS)
    generator = torch.Generator().manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ends = [tokenizer.convert_tokens_to_ids("<|im_end|>"), tokenizer.eos_token_id]
    problems = read_problems(SPLIT)
    prompts = [chat_prompt(p["question"], tokenizer) for p in problems]
    # Prompts of similar length side by side need little padding.
    order = [i for i in range(len(prompts)) for _ in range(SAMPLES)]
    order.sort(key=lambda i: len(prompts[i]))
    completions: list[list[list[int]]] = [[] for _ in prompts]
    started = time.monotonic()
    for first in range(0, len(order), BATCH):
        part = order[first : first + BATCH]
        sampled = sample(model, [prompts[i] for i in part], ends, generator)
        for i, ids in zip(part, sampled, strict=True):
            completions[i].append(ids)
    seconds = time.monotonic() - started

    correct: list[int] = []
    defects: list[dict[str, bool]] = []
    for problem, samples in zip(problems, completions, strict=True):
        texts = tokenizer.batch_decode(samples)
        correct.append(sum(is_correct(text, problem["gold"]) for text in texts))
        earlier: set[str] = set()
        for text, ids in zip(texts, samples, strict=True):
            defects.append(defects_of(text, len(ids) < MAX_TOKENS, earlier))
    tiers: dict[int, list[float]] = {}
    for problem, count in zip(problems, correct, strict=True):
        tiers.setdefault(problem["difficulty"], []).append(count / SAMPLES)
    lengths = [len(ids) for samples in completions for ids in samples]
    return Measured(
        pass_at={k: fmean(pass_at_k(SAMPLES, c, k) for c in correct) for k in KS},
        pass_at_1_by_tier={tier: fmean(rates) for tier, rates in sorted(tiers.items())},
        defects={name: fmean(marks[name] for marks in defects) for name in defects[0]},
        prompt_tokens=fmean(map(len, prompts)),
        answer_tokens=fmean(lengths),
        median_answer_tokens=median(lengths),
        tokens_per_second=sum(lengths) / seconds,
    )


def describe(measured: Measured) -> str:
    """Write the measurements as Markdown tables."""
    figures = {
        **{f"Pass@{k}": f"{rate:.3f}" for k, rate in measured.pass_at.items()},
        **{f"Pass@1, tier {t}": f"{rate:.3f}" for t, rate in measured.pass_at_1_by_tier.items()},
        **{name: f"{share:.1%}" for name, share in measured.defects.items()},
        "tokens in a prompt, mean": f"{measured.prompt_tokens:.1f}",
        "tokens in an answer, mean": f"{measured.answer_tokens:.1f}",
        "tokens in an answer, median": f"{measured.median_answer_tokens:.0f}",
    }
    return "\n".join(
        ["| figure | value |", "|---|---|", *(f"| {k} | {v} |" for k, v in figures.items())]
    )


def main() -> None:
    """Print the measurements of the bundled model and judge them."""
    measured = measure(HERE / "tiny")
    print(describe(measured))
    print(json.dumps(asdict(measured)))
    if misses := measured.misses():
        sys.exit("; ".join(misses))


if __name__ == "__main__":
    main()
