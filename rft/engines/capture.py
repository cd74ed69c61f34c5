"""Exact statistics of every sampled token, taken inside vLLM while it samples.

Runner V1: hooks around its sampler, which is a torch module. The one before it sees the raw logits
(float32 ones are divided by the temperature in place later on), the one after it the tokens drawn.
Request and position of a row come from the runner's own batch, on the host. A custom logits
processor would see the same numbers, but V1's asynchronous scheduling waits for the last step's
tokens as soon as there is one. Hooks cost no synchronisation, and steps are scheduled ahead.

Runner V2: its sampler is no module, so there a logits processor of its interface records the
distribution, and vLLM's own logprob of the chosen token is used.

A row is recorded at each step, also for half-read prompts, for tokens computed again after a
preemption and for a token beyond the last: the last record of a (request, position) is the one that
counts, and positions that the request does not have are dropped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

# Rows times tokens worked on at once: about what a core's own cache holds.
CHUNK = 2**18
ROWS = 64
# Below this a second thread costs more than it saves.
WORTH_THREADS = 2**21
# As numpy reads what a worker sends: bytes pass every transport of vLLM.
KEYS, POSITIONS, VALUES = np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.float32)


# --- what is computed of a row of logits -------------------------------------------------------


def statistics(logits: Tensor, mass: float | None) -> Tensor:
    """Give three rows of numbers: entropy, log of the normaliser, branching factor (or zeros).

    Like `rft.token_stats.token_statistics`, which tests hold it to, without waiting for a GPU.
    """
    return way(logits.device)(logits, mass)


@cache
def way(device: Any) -> Callable[[Tensor, float | None], Tensor]:
    """Choose how statistics are computed on a device."""
    if device.type == "cpu" and find_spec("numba"):
        return compiled
    if device.type == "cuda" and _fuses(device):
        return fused
    return in_parts


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
    found = torch.zeros_like(entropy)
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
        found = above.sum(-1) + ties.ceil().clamp(min=1)
    return torch.stack([entropy, total.log() + top[:, 0], found]).float()


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
        found = 0
        place = bins - 1
        while place > 0 and held + masses[place] < wanted:
            held += masses[place]
            found += counts[place]
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
            found += 1
        out[r] = max(found, 1)


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
def _fuses(device: Any) -> bool:
    """Say whether the kernel compiles here and gives what plain torch gives, before it is used."""
    import torch

    # vLLM draws with the device's own generator, whose state has to stay as it is.
    own = torch.Generator(device).manual_seed(0)
    spread = torch.linspace(0.5, 9, 32, device=device)[:, None]
    logits = torch.randn(32, 20_000, device=device, generator=own) * spread
    try:
        found, wanted = fused(logits, 0.95), bisected(logits, 0.95)
    except Exception:  # noqa: BLE001  whatever a compiler may say: there is another way
        return False
    close = (found[:2] - wanted[:2]).abs().amax() < 1e-3
    return bool(close & ((found[2] - wanted[2]).abs() <= 1).all())


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
        found = tl.maximum(tl.sum(counts, 0) + ties, 1.0)
        tl.store(out + 2 * rows + row, found.to(tl.float32))


# --- inside the worker -------------------------------------------------------------------------


class Recorder:
    """What the steps since the last drain have shown: numbers on the device, whose on the host."""

    def __init__(self, mass: float | None):
        self.mass = mass
        self.keys: list[Sequence[Any]] = []
        self.positions: list[Any] = []
        self.values: list[Tensor] = []
        self.seconds = 0.0

    def add(self, keys: Sequence[Any], positions: Any, values: Tensor) -> None:
        """Keep one step: whose rows these are, at which positions, and their columns of numbers."""
        assert len(keys) == len(positions) == values.shape[1], (
            f"{len(keys)} requests, {len(positions)} positions and {values.shape[1]} rows"
        )
        self.keys.append(keys)
        self.positions.append(positions)
        self.values.append(values)

    def drain(self) -> dict[str, Any]:
        """Hand over and forget all steps; the only time that the device is waited for."""
        import torch

        keys = np.array([number(key) for step in self.keys for key in step], KEYS)
        positions = np.concatenate([*self.positions, np.empty(0)]).astype(POSITIONS)
        values = torch.cat([*self.values], 1).float().cpu().numpy() if self.values else np.empty(0)
        drained = {
            "keys": keys.tobytes(),
            "positions": positions.tobytes(),
            "values": values.astype(VALUES).tobytes(),
            "seconds": self.seconds,
        }
        self.forget()
        return drained

    def forget(self) -> None:
        """Drop what is recorded."""
        self.keys, self.positions, self.values, self.seconds = [], [], [], 0.0


def number(key: int | str) -> int:
    """Read our number of a request, to which vLLM appends characters of its own."""
    return int(key.partition("-")[0]) if isinstance(key, str) else int(key)


class Hooks:
    """Runner V1: what happens before and after its sampler is called."""

    def __init__(self, runner: Any, mass: float | None):
        self.runner = runner
        self.recorder = Recorder(mass)
        self.step: Any = None
        self.handles = [
            runner.sampler.register_forward_pre_hook(self.before, with_kwargs=True),
            runner.sampler.register_forward_hook(self.after, with_kwargs=True),
        ]

    def before(self, _sampler: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record the policy's own distribution, and whose rows these are."""
        began = perf_counter()
        batch = self.runner.input_batch
        rows = len(kwargs["logits"])
        # The host's counts are those of this step, whether or not it has seen the tokens.
        positions = batch.num_tokens_no_spec[:rows] - batch.num_prompt_tokens[:rows]
        self.step = list(batch.req_ids), positions, statistics(kwargs["logits"], self.recorder.mass)
        self.recorder.seconds += perf_counter() - began

    def after(
        self, _sampler: Any, _args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Record the logprob of the tokens drawn."""
        import torch

        began = perf_counter()
        keys, positions, (entropy, normaliser, found) = self.step
        logits, how = kwargs["logits"], kwargs["sampling_metadata"]
        chosen = logits.gather(-1, output.sampled_token_ids.long())[:, 0].float()
        # By now float32 logits are divided by the temperature, where it is not 0.
        if logits.dtype == torch.float32 and not how.all_greedy:
            chosen *= torch.where(how.temperature < GREEDY, 1.0, how.temperature)
        values = torch.stack([entropy, chosen - normaliser, found])
        self.recorder.add(keys, positions, values)
        self.recorder.seconds += perf_counter() - began

    def remove(self) -> None:
        """Leave the sampler as it was."""
        for handle in self.handles:
            handle.remove()


# What vLLM takes for temperature 0.
GREEDY = 1e-5


class Processor:
    """Runner V2: a logits processor that changes nothing. It has not run on hardware yet.

    It needs to run after nothing that changes logits (no penalties, bias or grammar), and the
    requests' keys in `extra_args`. The normaliser stands where V1 has the chosen token's logprob.
    """

    def __init__(self, vllm_config: Any, req_states: Any):  # noqa: ARG002  the interface's
        self.prompt_len = req_states.prompt_len
        self.slots = np.full(req_states.max_num_reqs, -1, KEYS)
        self.recorder = Recorder(None)

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """Note whose slot this now is; only a batch with a key in it is shown to us."""
        key = (sampling_params.extra_args or {}).get(EXTRA)
        self.slots[req_idx] = -1 if key is None else key
        return key is not None

    def apply(self, logits: Tensor, ctx: Any) -> Tensor:
        """Record the distribution of every row that has a key."""
        began = perf_counter()
        slots = ctx.idx_mapping_np
        assert len(slots) == len(logits), "one row of logits a request: no speculative decoding"
        positions = ctx.seq_lens_upper_bound_np[: len(slots)] - self.prompt_len.np[slots]
        # What has no key, or is still reading its prompt, goes to no request when it is merged.
        self.recorder.add(self.slots[slots], positions, statistics(logits, self.recorder.mass))
        self.recorder.seconds += perf_counter() - began
        return logits


# The key of a request's number in vLLM's SamplingParams.extra_args.
EXTRA = "rft"


@cache
def _runner_v2() -> type:
    from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor

    class RunnerV2(Processor, LogitsProcessor):  # type: ignore[misc]
        """The processor as a subclass of vLLM's, which loads no other."""

    return RunnerV2


def __getattr__(name: str) -> Any:
    # vLLM finds classes by name, and this one has a base that is not there without vLLM.
    if name == "RunnerV2":
        return _runner_v2()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Extension:
    """What the engine asks of vLLM's workers; vLLM mixes this class into its own."""

    def rft_begin(self, mass: float | None) -> None:
        """Record from now on; `mass` None leaves out the branching factor."""
        import torch

        worker: Any = self
        runner = worker.model_runner
        device = torch.device(runner.device)
        self.rft_way = way(device).__name__
        statistics(torch.zeros(1, 8, device=device), mass)  # compiled before the first step
        self.rft_hooks: Any = None
        if hasattr(runner.sampler, "register_forward_hook"):
            # The other ranks of a tensor-parallel group draw the same tokens.
            if worker.rank % worker.parallel_config.tensor_parallel_size == 0:
                self.rft_hooks = Hooks(runner, mass)
                self.rft_recorder = self.rft_hooks.recorder
        else:
            mine = [p for p in runner.sampler.logits_processors if isinstance(p, Processor)]
            self.rft_recorder = mine[0].recorder
            self.rft_recorder.mass = mass
            self.rft_recorder.forget()

    def rft_drain(self) -> dict[str, Any] | None:
        """Hand over what is recorded."""
        recorder = getattr(self, "rft_recorder", None)
        return recorder.drain() | {"way": self.rft_way} if recorder else None

    def rft_end(self) -> None:
        """Record no more."""
        if getattr(self, "rft_hooks", None):
            self.rft_hooks.remove()
        self.rft_hooks = self.rft_recorder = None


# --- on the engine's side ----------------------------------------------------------------------


class Ledger:
    """Records by request, kept until its tokens are complete."""

    def __init__(self) -> None:
        self.pieces: dict[int, list[tuple[Any, Any]]] = {}

    def open(self, key: int) -> None:
        """Expect records of a request; those of others are dropped."""
        self.pieces[key] = []

    def add(self, drained: dict[str, Any]) -> None:
        """Sort what a worker has sent by request, in the order of its steps."""
        keys = np.frombuffer(drained["keys"], KEYS)
        positions = np.frombuffer(drained["positions"], POSITIONS)
        values = np.frombuffer(drained["values"], VALUES).reshape(3, len(keys))
        order = np.argsort(keys, kind="stable")
        names, starts = np.unique(keys[order], return_index=True)
        for key, rows in zip(names.tolist(), np.split(order, starts[1:]), strict=False):
            if key in self.pieces:
                self.pieces[key].append((positions[rows], values[:, rows]))

    def take(self, key: int, length: int) -> Any:
        """Give and forget a request's three rows of numbers, one column a token, none missing."""
        pieces = self.pieces.pop(key)
        positions = np.concatenate([p for p, _ in pieces] or [np.empty(0, POSITIONS)])
        values = np.concatenate([v for _, v in pieces] or [np.empty((3, 0), VALUES)], 1)
        # Reversed, the first of a position is the last that was recorded of it.
        places, last = np.unique(positions[::-1], return_index=True)
        merged = np.full((3, length), np.nan, VALUES)
        inside = (places >= 0) & (places < length)
        merged[:, places[inside]] = values[:, ::-1][:, last[inside]]
        seen = np.zeros(length, bool)
        seen[places[inside]] = True
        missing = np.flatnonzero(~seen)
        assert not len(missing), (
            f"vLLM gave request {key} {length} tokens, of which {len(missing)} have no statistics, "
            f"the first at {missing[:1]}"
        )
        return merged

    def forget(self, key: int) -> None:
        """Drop what is known of a request."""
        self.pieces.pop(key, None)
