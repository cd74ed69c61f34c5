"""Exact statistics of many rows of logits at once, by the fastest way that a device has.

What `exact.py` gives, to which tests hold it, without waiting for a GPU and in little memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rft.token_stats.kernel_numba import compiled
from rft.token_stats.kernel_torch import in_parts
from rft.token_stats.kernel_triton import fused, fuses

if TYPE_CHECKING:
    from torch import Tensor


def statistics(logits: Tensor, mass: float | None) -> Tensor:
    """Give three rows of numbers: entropy, log of the normaliser, branching factor (or zeros)."""
    return way(logits.device)(logits, mass)


@cache
def way(device: Any) -> Callable[[Tensor, float | None], Tensor]:
    """Choose how statistics are computed on a device."""
    if device.type == "cpu" and find_spec("numba"):
        return compiled
    if device.type == "cuda" and fuses(device):
        return fused
    return in_parts
