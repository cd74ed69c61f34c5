"""Entropy, logprob and branching of every token, recorded inside vLLM while it samples.

Exact, as rft/token_stats/exact.py defines them; rft/token_stats/kernels.py computes them.

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

from collections.abc import Sequence
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from rft.token_stats.kernels import statistics, way

if TYPE_CHECKING:
    from torch import Tensor

# As numpy reads what a worker sends: bytes pass every transport of vLLM.
KEYS, POSITIONS, VALUES = np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.float32)


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
        keys, positions, (entropy, normaliser, counts) = self.step
        logits, how = kwargs["logits"], kwargs["sampling_metadata"]
        chosen = logits.gather(-1, output.sampled_token_ids.long())[:, 0].float()
        # By now float32 logits are divided by the temperature, where it is not 0.
        if logits.dtype == torch.float32 and not how.all_greedy:
            chosen *= torch.where(how.temperature < GREEDY, 1.0, how.temperature)
        values = torch.stack([entropy, chosen - normaliser, counts])
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
