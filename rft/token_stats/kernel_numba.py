"""Exact statistics of rows of logits in loops that numba compiles, for CPUs."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

# Rows times tokens worked on at once: about what a core's own cache holds.
CHUNK = 2**18
# Below this a second thread costs more than it saves.
WORTH_THREADS = 2**21


def compiled(logits: Tensor, mass: float | None) -> Tensor:
    """Let compiled loops read each row twice while it is in the cache; rows go to all threads."""
    import torch

    rows, width = logits.shape
    out = np.zeros((3, rows), np.float64)
    threads = min(torch.get_num_threads(), rows) if rows * width > WORTH_THREADS else 1
    cuts = [rows * i // threads for i in range(threads + 1)]
    parts = [(logits[a:b], mass, out[:, a:b]) for a, b in pairwise(cuts)]
    others = [_threads(threads).submit(_work, *part) for part in parts[1:]]
    _work(*parts[0])
    for other in others:
        other.result()
    return torch.from_numpy(out).float()


def _work(logits: Tensor, mass: float | None, out: Any) -> None:
    import torch

    widen, weigh, count = _loops()
    rows, width = logits.shape
    step = min(max(1, CHUNK // width), rows)
    wide, weights = np.empty((step, width), np.float32), np.empty((step, width), np.float32)
    peaks = np.empty((step, width // BLOCK + 1, TILES), np.int32)
    totals = np.empty(rows, np.float64)
    for start in range(0, rows, step):
        part = logits[start : start + step].contiguous()
        place = slice(start, start + len(part))
        # Not torch's conversion: from a second thread it would start threads of its own.
        if part.dtype == torch.bfloat16:
            widen(part.view(torch.int16).numpy(), wide.view(np.int32))
        given = wide[: len(part)] if part.dtype == torch.bfloat16 else part.float().numpy()
        weigh(given, weights, peaks, totals[place], out[:, place])
        if mass is not None:
            count(weights, peaks, totals[place], mass, wide, out[2, place])


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count - 1, "capture", initializer=_roam)


def _roam() -> None:
    """Let a thread run on every core of its process; vLLM ties the one it comes from to one."""
    if hasattr(os, "sched_setaffinity"):
        tasks = [int(task.name) for task in Path("/proc/self/task").iterdir()]
        os.sched_setaffinity(0, set().union(*(os.sched_getaffinity(task) for task in tasks)))


@cache
def _loops() -> tuple[Any, Any, Any]:
    """Compile the loops, which takes seconds, at the first use."""
    import numba

    # Not "ninf": logits may be minus infinity.
    how: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract", "nsz", "nnan"}}
    loops = (widen, weigh, count)
    try:
        first, second, third = (numba.njit(loop, cache=True, **how) for loop in loops)
    except RuntimeError:  # no place to keep what is compiled
        first, second, third = (numba.njit(loop, **how) for loop in loops)
    return first, second, third


# A block's tokens are worked on together, and every 64th of them is a tile, whose peak is kept.
BLOCK, TILES = 2048, 64
# exp(x) = 2^k * polynomial(x - k log 2), as in Cephes; numba alone would call exp token by token.
LOG2E, LOG2_HIGH, LOG2_LOW = (
    np.float32(1.4426950408889634),
    np.float32(0.693359375),
    np.float32(-2.12194440e-4),
)
E5, E4, E3, E2, E1, E0 = (
    np.float32(1.9875691500e-4),
    np.float32(1.3981999507e-3),
    np.float32(8.3334519073e-3),
    np.float32(4.1665795894e-2),
    np.float32(1.6666665459e-1),
    np.float32(5.0000001201e-1),
)
# Where exp leaves the normal floats; a token there, or at minus infinity, weighs 1e-38.
LEAST = np.float32(-87.0)
HALF, ONE = np.float32(0.5), np.float32(1.0)
BIAS, MANTISSA, HALFWORD, SIGN = np.int32(127), np.int32(23), np.int32(16), np.int32(31)
LOWEST, MAGNITUDE = np.int32(-0x80000000), np.int32(0x7FFFFFFF)
BINS_AT = np.int32(17)  # bits of the mantissa left out of a bin's number: 64 bins for each doubling
ONE_BITS = np.int32(0x3F800000)
EDGES = (1e-3, 3e-5, 0.0)


def widen(halves: Any, bits: Any) -> None:
    """Write bfloat16 numbers, given as 16-bit integers, as float32 ones: the same upper bits."""
    rows, width = halves.shape
    for r in range(rows):
        for j in range(width):
            bits[r, j] = np.int32(halves[r, j]) << HALFWORD


def weigh(logits: Any, weights: Any, peaks: Any, totals: Any, out: Any) -> None:
    """Fill weights (exp of what lies below the top), their sums, each tile's peak, and the entropy.

    Compiled by numba; written so that its inner loops become vector instructions.
    """
    rows, width = logits.shape
    powers = np.empty(BLOCK, np.int32)
    scales = powers.view(np.float32)
    for r in range(rows):
        row, kept = logits[r], weights[r]
        as_bits = row.view(np.int32)
        top = LOWEST
        for j in range(width):
            bits = as_bits[j] ^ ((as_bits[j] >> SIGN) & MAGNITUDE)  # ordered as the floats are
            top = max(top, bits)
        powers[0] = top ^ ((top >> SIGN) & MAGNITUDE)
        highest = scales[0]
        total = 0.0
        spread = 0.0
        for start in range(0, width, BLOCK):
            part, made = row[start : start + BLOCK], kept[start : start + BLOCK]
            for j in range(len(part)):
                x = max(part[j] - highest, LEAST)
                k = np.floor(x * LOG2E + HALF)
                y = x - k * LOG2_HIGH - k * LOG2_LOW
                p = ((((E5 * y + E4) * y + E3) * y + E2) * y + E1) * y + E0
                made[j] = p * y * y + y + ONE
                powers[j] = (np.int32(k) + BIAS) << MANTISSA
            for j in range(len(part)):
                x = max(part[j] - highest, LEAST)
                made[j] *= scales[j]
                total += np.float64(made[j])
                spread += np.float64(made[j] * x)
            made_bits, most = made.view(np.int32), peaks[r, start // BLOCK]
            most[:] = 0
            for first in range(0, len(part), TILES):
                for j in range(min(TILES, len(part) - first)):
                    most[j] = max(most[j], made_bits[first + j])
        totals[r] = total
        out[0, r] = np.log(total) - spread / total
        out[1, r] = np.log(total) + np.float64(highest)


def count(  # noqa: C901  one loop for the compiler
    weights: Any, peaks: Any, totals: Any, mass: float, scratch: Any, out: Any
) -> None:
    """Count the tokens of the top mass: bins of float bits from the top, then a sort of one bin.

    Only tokens above an edge are looked at: the first edge above which there is enough. Those below
    the last one weigh less, all together, than what the mass leaves out. Compiled by numba.
    """
    width = weights.shape[1]
    near = scratch[0]
    near_bits = near.view(np.int32)
    edge = np.empty(1, np.float32)
    edge_bits = edge.view(np.int32)
    for r in range(len(totals)):
        wanted = mass * totals[r]
        size = 0
        for share in EDGES:
            edge[0] = max(share * totals[r], (totals[r] - wanted) / width * 0.999999, 2e-38)
            size = 0
            for start in range(0, width, BLOCK):
                for tile in range(TILES):
                    if peaks[r, start // BLOCK, tile] >= edge_bits[0]:
                        for j in range(start + tile, min(start + BLOCK, width), TILES):
                            near[size] = weights[r, j]
                            size += weights[r, j] >= edge[0]
            held = 0.0
            for j in range(size):
                held += np.float64(near[j])
            if held >= wanted:
                break
        base = edge_bits[0] >> BINS_AT
        bins = (ONE_BITS >> BINS_AT) - base + 1
        counts, masses = np.zeros(bins, np.int32), np.zeros(bins, np.float64)
        for j in range(size):
            place = (near_bits[j] >> BINS_AT) - base
            counts[place] += 1
            masses[place] += np.float64(near[j])
        held = 0.0
        number = 0
        place = bins - 1
        while place > 0 and held + masses[place] < wanted:
            held += masses[place]
            number += counts[place]
            place -= 1
        inside = 0
        for j in range(size):
            if (near_bits[j] >> BINS_AT) - base == place:
                near[inside] = near[j]
                inside += 1
        left = np.sort(near[:inside])
        while inside > 0 and held < wanted:
            inside -= 1
            held += np.float64(left[inside])
            number += 1
        out[r] = max(number, 1)
