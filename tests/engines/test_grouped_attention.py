"""Keys that are shared by heads are attended to as if each head had its own: up to rounding."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    Gemma3TextConfig,
    LlamaConfig,
    PreTrainedModel,
    Qwen3Config,
)

from rft.engines.grouped_attention import NAME, share_keys

SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "head_dim": 6,
    "max_position_embeddings": 64,
}
KINDS = {
    "qwen3": lambda **more: Qwen3Config(**SIZES, **more),
    "llama": lambda **more: LlamaConfig(**SIZES, **more),
    # Two layers look at the last four tokens alone.
    "gemma3": lambda **more: Gemma3TextConfig(
        **SIZES,
        sliding_window=4,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        **more,
    ),
}


def made(kind: str, shared: int) -> PreTrainedModel:
    torch.manual_seed(0)
    config = KINDS[kind](num_key_value_heads=shared)
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").float().eval()


@torch.inference_mode()
def decoded(model: PreTrainedModel, *, padded: bool) -> torch.Tensor:
    """Decode nine tokens of five rows; give the logits of each step."""
    tokens = torch.arange(35).view(5, 7) % 37 + 1
    mask = torch.ones_like(tokens)
    for row in range(5 if padded else 0):
        mask[row, :row] = 0
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache, steps = DynamicCache(config=model.config), []
    for step in range(9):
        logits = model(
            input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=cache
        ).logits[:, -1]
        steps.append(logits)
        tokens = torch.full((5, 1), step + 3)
        positions = positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(5, 1)], 1)
    return torch.stack(steps)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("shared", [1, 2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_plain_attention(kind, shared, padded):
    model = made(kind, shared)
    plain = decoded(model, padded=padded)
    share_keys(model)
    assert model.config._attn_implementation == NAME
    grouped = decoded(model, padded=padded)
    assert torch.allclose(grouped, plain, rtol=1e-4, atol=1e-5)
    # The check can fail: another head's keys give something else.
    assert not torch.allclose(grouped, plain.roll(1, 1), rtol=1e-4, atol=1e-5)


def test_a_model_whose_heads_share_nothing_stays_as_it_is():
    model = made("llama", 8)
    share_keys(model)
    assert model.config._attn_implementation == "sdpa"
