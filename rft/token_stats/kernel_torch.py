"""Exact statistics of rows of logits in plain torch, on any device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Rows worked on at once.
ROWS = 64


def in_parts(logits: Tensor, mass: float | None) -> Tensor:
    """Bisect some rows at a time, in memory that vLLM has not set aside."""
    import torch

    parts = [logits[start : start + ROWS] for start in range(0, len(logits), ROWS)]
    return torch.cat([bisected(part, mass) for part in parts], 1)


def bisected(logits: Tensor, mass: float | None) -> Tensor:
    """Find the least probable token of the mass by bisecting its float's bits: no sort, no wait.

    Positive floats are ordered as their bits, so 30 halvings reach one exact value on every row,
    whatever the logits are; sums are float64.
    """
    import torch

    logits = logits.float()
    top = logits.amax(-1, keepdim=True)
    shifted = logits - top
    weights = shifted.exp()
    total = weights.sum(-1, dtype=torch.float64)
    # A token at minus infinity has weight 0 and adds nothing; 0 * -inf would be NaN.
    spread = (weights * shifted.nan_to_num_(neginf=0.0)).sum(-1, dtype=torch.float64)
    entropy = total.log() - spread / total
    counts = torch.zeros_like(entropy)
    if mass is not None:
        wanted = mass * total
        bits = weights.view(torch.int32)
        low = torch.zeros_like(bits[:, 0])
        high = torch.full_like(low, 0x3F800001)  # the bits of 1.0, which the top token has, and one
        for _ in range(30):
            middle = (low + high) // 2
            held = torch.where(bits >= middle[:, None], weights, 0.0).sum(-1, dtype=torch.float64)
            enough = held >= wanted
            low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
        above = bits > low[:, None]
        held = torch.where(above, weights, 0.0).sum(-1, dtype=torch.float64)
        # Equal tokens at the border count as far as they are needed.
        ties = (wanted - held) / low.view(torch.float32).double()
        counts = above.sum(-1) + ties.ceil().clamp(min=1)
    return torch.stack([entropy, total.log() + top[:, 0], counts]).float()
