"""A random model with the vocabulary of a real one and almost no body."""

import shutil
from pathlib import Path

from rft.bundled import bundled

VOCABULARY = 151_936  # of Qwen2.5 and Qwen3
# Spreads the logits so that the entropy is realistic.
SHARPNESS = 4.3


def make_broad_model(folder: Path, *, head: int, dtype: str) -> Path:
    """Write the model, with the bundled tokenizer; `head` is the size of one of its two heads."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(1)
    hidden = 2 * head
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=head,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        eos_token_id=0,
        dtype=dtype,
    )
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        weight = model.lm_head.weight
        weight.mul_(SHARPNESS / (weight.float().std() * hidden**0.5))
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    for file in (bundled("data") / "tiny").glob("tokenizer*"):
        shutil.copy(file, folder)
    return folder
