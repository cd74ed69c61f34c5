"""Attention of one new token where query heads share keys: read once for all of them, not copied.

transformers repeats keys and values for every head of a group as soon as there is a mask, which a
batch of prompts has; while decoding that copies the whole cache twice a step. For one new token the
heads of a group can stand where several tokens would: all of them may look at the same places.
"""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "rft_grouped"


def share_keys(model: PreTrainedModel) -> None:
    """Have a model that attends by torch's own attention, in groups of heads, do it so."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    shared = getattr(config, "num_key_value_heads", heads)
    if heads != shared and getattr(model.config, "_attn_implementation", None) == "sdpa":
        AttentionInterface.register(NAME, attend)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as transformers does with torch's attention, up to rounding."""
    rows, heads, tokens, size = query.shape
    groups = heads // key.shape[1]
    alike = attention_mask is None or attention_mask.shape[1] == 1
    if tokens != 1 or groups == 1 or not alike or more.get("position_bias") is not None:
        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **more
        )
        return plain
    seen = scaled_dot_product_attention(
        query.view(rows, heads // groups, groups, size),
        key,
        value,
        attn_mask=attention_mask,
        dropout_p=dropout,
        scale=scaling,
    )
    return seen.reshape(rows, 1, heads, -1), None
