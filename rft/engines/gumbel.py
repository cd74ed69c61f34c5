"""Sampling whose noise is a function of (seed, position, token): no state, so any resume agrees."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# The constants of SplitMix64 (Steele, Lea and Flood 2014), as signed 64-bit integers.
GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
MIX_2 = 0x94D049BB133111EB - (1 << 64)


def _shift(bits: "Tensor", by: int) -> "Tensor":
    """Shift right without the sign, which torch's own shift would drag along."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _mix(bits: "Tensor") -> "Tensor":
    bits = (bits ^ _shift(bits, 30)) * MIX_1
    bits = (bits ^ _shift(bits, 27)) * MIX_2
    return bits ^ _shift(bits, 31)


def exponentials(seeds: "Tensor", positions: "Tensor", width: int) -> "Tensor":
    """Draw standard exponential variates, one per row and token: [rows, width] float64."""
    import torch

    stream = _mix(_mix(seeds + GOLDEN) + positions * GOLDEN)
    tokens = torch.arange(1, width + 1, device=seeds.device)
    bits = _mix(stream[:, None] + tokens * GOLDEN)
    # 52 bits and a half: never 0 nor 1, so the logarithm is finite and never 0.
    uniform = (_shift(bits, 12).double() + 0.5) * 2.0**-52
    return -uniform.log()


def choose(
    logits: "Tensor", seeds: "Tensor", positions: "Tensor", *, temperature: float, top_p: float
) -> "Tensor":
    """Draw one token per row from softmax(logits / temperature), cut to its top_p nucleus.

    By the Gumbel-max identity the argmin of an exponential over the weight is such a draw.
    """
    import torch

    if temperature == 0:
        return logits.argmax(-1)
    scaled = logits.double() / temperature
    weights = (scaled - scaled.amax(-1, keepdim=True)).exp()
    if top_p < 1:
        ordered, order = weights.sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(-1) - ordered
        ordered = ordered.masked_fill(before >= top_p * weights.sum(-1, keepdim=True), 0.0)
        weights = torch.zeros_like(weights).scatter(-1, order, ordered)
    noise = exponentials(seeds, positions, logits.shape[-1])
    return (weights / noise).argmax(-1)
