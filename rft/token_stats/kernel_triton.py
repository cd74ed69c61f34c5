"""Exact statistics of rows of logits in one kernel that Triton compiles, for GPUs."""

# Triton's names in annotations are text until the kernel is compiled.
from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from rft.token_stats.kernel_torch import bisected

if TYPE_CHECKING:
    from torch import Tensor


def fused(logits: Tensor, mass: float | None) -> Tensor:
    """Let one program of a kernel read each row a few times from the GPU's cache."""
    import torch

    rows, width = logits.shape
    out = torch.zeros(3, rows, device=logits.device)
    # As a number it would reach the kernel in float32.
    wanted = torch.full((1,), mass or 0.0, dtype=torch.float64, device=logits.device)
    _kernel()[(rows,)](logits, logits.stride(0), out, rows, width, wanted, mass is not None, 1024)
    return out


@cache
def fuses(device: Any) -> bool:
    """Say whether the kernel compiles here and gives what plain torch gives, before it is used."""
    import torch

    # vLLM draws with the device's own generator, whose state has to stay as it is.
    own = torch.Generator(device).manual_seed(0)
    spread = torch.linspace(0.5, 9, 32, device=device)[:, None]
    logits = torch.randn(32, 20_000, device=device, generator=own) * spread
    try:
        ours, plain = fused(logits, 0.95), bisected(logits, 0.95)
    except Exception:  # noqa: BLE001  whatever a compiler may say: there is another way
        return False
    close = (ours[:2] - plain[:2]).abs().amax() < 1e-3
    return bool(close & ((ours[2] - plain[2]).abs() <= 1).all())


@cache
def _kernel() -> Any:
    """Compile the kernel; Triton looks up its language among this module's names."""
    global tl
    import triton
    import triton.language as tl

    return triton.jit(read_rows)


tl: Any = None


def read_rows(  # type: ignore[no-untyped-def]
    logits, stride, out, rows, width, mass, counted: tl.constexpr, block: tl.constexpr
):
    """Compute one row's numbers; `bisected` says how, here with eight ways at each halving.

    Sums of the search are float32, so it may miss the border by a token of nearly the same weight;
    the count from there is float64, and right all the same.
    """
    row = tl.program_id(0)
    own = logits + row.to(tl.int64) * stride
    lane = tl.arange(0, block)
    low_end = -float("inf")
    most = tl.full([block], low_end, tl.float32)
    for start in range(0, width, block):
        x = tl.load(own + start + lane, mask=start + lane < width, other=low_end)
        most = tl.maximum(most, x.to(tl.float32))
    highest = tl.max(most, 0)
    totals = tl.zeros([block], tl.float64)
    spreads = tl.zeros([block], tl.float64)
    for start in range(0, width, block):
        x = tl.load(own + start + lane, mask=start + lane < width, other=low_end)
        below = tl.maximum(x.to(tl.float32) - highest, -87.0)
        weight = tl.where(start + lane < width, tl.exp(below), 0.0)
        totals += weight.to(tl.float64)
        spreads += (weight * below).to(tl.float64)
    total = tl.sum(totals, 0)
    tl.store(out + row, (tl.log(total) - tl.sum(spreads, 0) / total).to(tl.float32))
    tl.store(out + rows + row, (tl.log(total) + highest).to(tl.float32))
    if counted:
        wanted = total * tl.load(mass)
        ways = tl.arange(0, 8)
        low = tl.full([], 0, tl.int32)
        for level in range(10):
            edges = low + (ways << (27 - 3 * level))
            held = tl.zeros([8, block], tl.float32)
            for start in range(0, width, block):
                x = tl.load(own + start + lane, mask=start + lane < width, other=low_end)
                weight = tl.exp(tl.maximum(x.to(tl.float32) - highest, -87.0))
                weight = tl.where(start + lane < width, weight, 0.0)
                bits = weight.to(tl.int32, bitcast=True)
                held += tl.where(bits[None, :] >= edges[:, None], weight[None, :], 0.0)
            enough = tl.sum((tl.sum(held, 1).to(tl.float64) >= wanted).to(tl.int32), 0)
            low += (tl.maximum(enough, 1) - 1) << (27 - 3 * level)
        held_above = tl.zeros([block], tl.float64)
        counts = tl.zeros([block], tl.int32)
        for start in range(0, width, block):
            x = tl.load(own + start + lane, mask=start + lane < width, other=low_end)
            weight = tl.exp(tl.maximum(x.to(tl.float32) - highest, -87.0))
            weight = tl.where(start + lane < width, weight, 0.0)
            above = weight.to(tl.int32, bitcast=True) > low
            held_above += tl.where(above, weight, 0.0).to(tl.float64)
            counts += above.to(tl.int32)
        border = low.to(tl.float32, bitcast=True).to(tl.float64)
        ties = tl.ceil((wanted - tl.sum(held_above, 0)) / border)
        number = tl.maximum(tl.sum(counts, 0) + ties, 1.0)
        tl.store(out + 2 * rows + row, number.to(tl.float32))
