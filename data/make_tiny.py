"""Train the bundled base model from scratch into data/tiny, then measure it.

Run as `python data/make_tiny.py`: about ten minutes on two idle cores. Exits 1 when the model is
outside its calibration.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from arithmetic_answers import demonstrate
from arithmetic_language import INSTRUCTION, TIERS, draw_problem
from measure_tiny import MAX_TOKENS, describe, measure, read_problems
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

SEED = 20_250_812
FOLDER = Path(__file__).parent / "tiny"
THREADS = 2
DOCUMENTS = 105_000
TOKENIZER_DOCUMENTS = 20_000
TOKENS_PER_BATCH = 4_000
LEARNING_RATE = 3e-3
WARMUP_STEPS = 100
VOCABULARY = 512
MAX_LENGTH = 512
# Answers are cut a little beyond what anyone samples, so that those without an end cost little.
ANSWER_TOKENS = MAX_TOKENS + 16
# Tier 5 is long and out of reach: a glimpse of it is enough.
TIER_WEIGHTS = (15, 22, 26, 28, 9)
RAW_SHARE, BARE_SHARE = 0.25, 0.15

END_OF_TEXT, START, END = SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
# One token for each digit; a space before a digit belongs to what precedes it, so that ` = ` and
# `is ` are single tokens; a brace may share its token with a command or with punctuation.
PIECES = (
    r"\p{N}"
    r"| ?\$?\\\p{L}+\{?"
    r"| ?\p{L}+(?: (?=\p{N}))?"
    r"| ?[^\s\p{L}\p{N}\\]+(?: (?=\p{N}))?[\r\n]*"
    r"|\\|\s+"
)

CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---

# tiny

A Qwen3 model of {parameters:,} parameters with a byte-level BPE tokenizer of {vocabulary} tokens,
trained from scratch by `python data/make_tiny.py` on {tokens:,} tokens of generated arithmetic and
nothing else. Final training loss on answers: {loss:.3f}. It exists so that the quickstart and the
tests run offline in minutes; it is good for nothing else. Licence: Apache-2.0.

Its demonstrations are imperfect on purpose (`data/arithmetic_answers.py` says how), so that every
rule of the pipeline has work to do. Measured on the bundled test split, chat style, temperature 1,
top_p 1, 128 tokens, 32 samples each; the answer is the first balanced box:

{figures}

A sample may have several defects. `text_after_box` is cut by trimming; `never_stops` reaches 128
tokens with or without a box.
"""

# Prompt, answer, and the token that ends it, if any does.
Document = tuple[str, str, str]
# The tokens of a prompt, and of an answer with its end.
Encoded = tuple[list[int], list[int]]


def draw_documents(count: int, rng: Random) -> Iterator[Document]:
    """Draw demonstrations in chat and in raw style, on problems of no held-out split."""
    held_out = {p["question"] for split in ("dev", "test") for p in read_problems(split)}
    while count:
        problem = draw_problem(rng.choices(list(TIERS), TIER_WEIGHTS)[0], rng)
        if problem.question in held_out:
            continue
        count -= 1
        answer, ends = demonstrate(problem, rng)
        asked = problem.question + ("" if rng.random() < BARE_SHARE else INSTRUCTION)
        if rng.random() < RAW_SHARE:
            yield f"{asked}\n", answer, END_OF_TEXT if ends else ""
        else:
            prompt = f"{START}user\n{asked}{END}\n{START}assistant\n"
            yield prompt, answer, f"{END}\n{END_OF_TEXT}" if ends else ""


def plain_texts(documents: list[Document]) -> Iterator[str]:
    """Cut documents at their special tokens, which are no text to learn merges from."""
    for document in documents:
        yield from re.split("|".join(map(re.escape, SPECIAL_TOKENS)), "".join(document))


def train_tokenizer(texts: Iterator[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer, in which any text has an encoding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[START, END],
        chat_template=CHAT_TEMPLATE,
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def new_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Build the untrained model.

    Not Qwen2: for that type transformers 5 replaces the tokenizer's splitting by its own.
    """
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    return Qwen3ForCausalLM(config)


def encode(documents: list[Document], tokenizer: PreTrainedTokenizerFast) -> list[Encoded]:
    """Tokenise prompts, answers and ends apart, as sampling does."""
    prompts, answers, ends = (
        tokenizer(
            [document[part] for document in documents],
            add_special_tokens=False,
            truncation=True,
            max_length=ANSWER_TOKENS,
        )["input_ids"]
        for part in range(3)
    )
    return [
        (prompt, answer + end if len(answer) < ANSWER_TOKENS else answer)
        for prompt, answer, end in zip(prompts, answers, ends, strict=True)
    ]


def batches(encoded: list[Encoded], rng: Random) -> list[list[Encoded]]:
    """Group documents of similar length, so that hardly any padding is needed."""
    rng.shuffle(encoded)
    encoded.sort(key=lambda pair: len(pair[0]) + len(pair[1]))
    grouped, start = list[list[Encoded]](), 0
    while start < len(encoded):
        longest = sum(map(len, encoded[start]))
        size = max(1, TOKENS_PER_BATCH // longest)
        grouped.append(encoded[start : start + size])
        start += size
    rng.shuffle(grouped)
    return grouped


def answer_loss(model: Qwen3ForCausalLM, batch: list[Encoded]) -> torch.Tensor:
    """Compute the mean loss over answers and their ends; padding is on the right, so no mask."""
    longest = max(len(prompt) + len(answer) for prompt, answer in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    counts = torch.zeros(len(batch), longest, dtype=torch.bool)
    for row, (prompt, answer) in enumerate(batch):
        ids[row, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        counts[row, len(prompt) : len(prompt) + len(answer)] = True
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    return functional.cross_entropy(model.lm_head(hidden[counts[:, 1:]]), ids[:, 1:][counts[:, 1:]])


def train(model: Qwen3ForCausalLM, grouped: list[list[Encoded]]) -> dict[str, float]:
    """Run one pass over the batches with a linear decay of the learning rate to zero."""
    steps = len(grouped)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.05
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / WARMUP_STEPS, (steps - s) / (steps - WARMUP_STEPS))
    )
    started, tokens, smoothed = time.monotonic(), 0, 0.0
    for step, batch in enumerate(grouped, 1):
        loss = answer_loss(model, batch)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        tokens += sum(len(prompt) + len(answer) for prompt, answer in batch)
        smoothed = loss.item() if step == 1 else 0.98 * smoothed + 0.02 * loss.item()
        if step % 100 == 0 or step == steps:
            speed = tokens / (time.monotonic() - started)
            print(f"step {step}/{steps}  loss {smoothed:.4f}  {speed:,.0f} tokens/s", flush=True)
    return {"tokens": tokens, "loss": smoothed}


def save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write the model folder as base models are shipped: the text end is the only end token."""
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(FOLDER)
    tokenizer.save_pretrained(FOLDER)
    # The class name and the key that transformers 4 and 5 both read.
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "additional_special_tokens": [START, END],
        "model_max_length": MAX_LENGTH,
        "clean_up_tokenization_spaces": False,
    }
    path = FOLDER / "tokenizer_config.json"
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Make the tokenizer, the documents and the model; measure; refuse what is miscalibrated."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(SEED)
    rng = Random(SEED)
    documents = list(draw_documents(DOCUMENTS, rng))
    tokenizer = train_tokenizer(plain_texts(documents[:TOKENIZER_DOCUMENTS]))
    model = new_model(tokenizer)
    grouped = batches(encode(documents, tokenizer), rng)
    print(f"{len(tokenizer)} tokens in the vocabulary, {model.num_parameters():,} parameters")
    trained = train(model, grouped)
    save(model, tokenizer)
    measured = measure(FOLDER)
    print(describe(measured), f"{measured.tokens_per_second:,.0f} tokens/s sampled", sep="\n")
    card = CARD.format(
        parameters=model.num_parameters(),
        vocabulary=len(tokenizer),
        figures=describe(measured),
        **trained,
    )
    (FOLDER / "README.md").write_text(card, encoding="utf-8")
    if misses := measured.misses():
        sys.exit("; ".join(misses))


if __name__ == "__main__":
    main()
