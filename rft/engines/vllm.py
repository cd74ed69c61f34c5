"""vLLM in this process: many requests in flight, exact statistics taken where tokens are drawn."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rft.engines import Demand, Feed, Finished, Request, Sampling
from rft.engines.capture import EXTRA, Ledger
from rft.engines.vllm_start import LESS, end_tokens, is_memory, load, vllm_version
from rft.errors import Interrupted, RFTError
from rft.model_folders.loading import ready_to_load
from rft.prompt import Prompter
from rft.recipe import EngineSettings

# Rollouts whose logprobs are held against vLLM's own, and how far they may be apart.
CHECKED = 64
TOLERANCE = 1e-3
# Statistics are fetched from the workers in bulk.
ENOUGH = 64
PATIENCE = 2.0

# What vLLM says when it is no more.
DEAD = ("Executor failed", "Worker failed", "CUDA error", "died", "cancelled", "timed out")


def open_for(demand: Demand, seed: int) -> "Vllm":
    """Start vLLM with the plan's model, in this process."""
    model = demand.model
    ready_to_load(model)
    return Vllm(
        model.path,
        demand.prompts,
        demand.run.recipe.engine,
        sampling=demand.sampling,
        longest=demand.room,
        seed=seed,
        **model.options,
    )


class Vllm:
    """Keep an engine full of requests and hand them back as they finish."""

    def __init__(
        self,
        path: Path | str,
        prompter: Prompter,
        engine: EngineSettings,
        *,
        sampling: Sampling,
        longest: int,
        seed: int,
        **options: Any,
    ):
        self.prompter = prompter
        self.capturing = sampling.entropy or sampling.branching
        self.v2 = engine.runner == "v2"
        self.seed = seed % 2**32  # numpy, which vLLM seeds too, takes no more
        self.llm = load(
            path,
            engine,
            capturing=self.capturing,
            longest=longest,
            seed=self.seed,
            options=options,
        )
        config = self.llm.vllm_config
        self.room = 2 * config.scheduler_config.max_num_seqs
        eos = end_tokens(path, config.model_config.hf_config, options.get("revision"))
        self.stops = prompter.stop_ids(eos)
        self.ledger = Ledger()
        self.keys = 0
        self.dead = False
        # Where the engine core is in this process, its scheduler can be looked at.
        core = getattr(self.llm.engine_core, "engine_core", None)
        self.scheduler = getattr(core, "scheduler", None)
        self.checked = CHECKED if config.device_config.device_type != "cpu" else 0
        self.counts: dict[str, Any] = {"preemptions": 0, "kv_cache_peak": 0.0, "self_checked": 0}
        self.worst = self.stepping = self.recording = 0.0
        self.way: str | None = None

    def units(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Make each request its own unit; those in flight together share their prompts' cache."""
        return [[request] for request in requests]

    def figures(self) -> dict[str, Any]:
        """Tell versions, seed, limits, what the statistics cost and how full the cache was."""
        config = self.llm.vllm_config
        device = config.device_config.device_type
        # Work on a GPU goes on while the host does other things, so there it is the host's share.
        share = "capture_share" if device == "cpu" else "capture_share_of_host_time"
        own: dict[str, Any] = {
            "vllm": vllm_version(),
            "torch": version("torch"),
            "runner": "v2" if self.v2 else "v1",
            "device": device,
            "dtype": str(config.model_config.dtype).removeprefix("torch."),
            "seed": self.seed,
            "max_model_len": config.model_config.max_model_len,
        }
        if self.capturing:
            own["statistics"] = self.way
            own[share] = round(self.recording / self.stepping, 4) if self.stepping else 0.0
            own |= {"self_checked": self.counts["self_checked"], "self_check_worst": self.worst}
        if self.scheduler is not None:
            own["preemptions"] = self.counts["preemptions"]
            own["kv_cache_peak"] = round(self.counts["kv_cache_peak"], 4)
        return own

    def sample(
        self, feed: Feed, sampling: Sampling, *, check: Callable[[], None]
    ) -> Iterator[list[Finished]]:
        """Keep the engine full and yield what has finished, in batches, in the order of finishing.

        However it ends, nothing of this call stays in the engine.
        """
        capture = sampling.entropy or sampling.branching
        assert self.capturing or not capture, "an engine made for no statistics is asked for some"
        flight: dict[str, _Flight] = {}
        done: list[tuple[_Flight, Any]] = []
        since = time.monotonic()
        try:
            if capture:
                self._workers("rft_begin", sampling.mass if sampling.branching else None)
            while True:
                while len(flight) < self.room:
                    unit = feed.take(wait=not flight)
                    if unit is None:
                        break
                    for request in unit:
                        self._add(request, sampling, flight, capture=capture)
                if not flight:
                    return
                check()
                done += self._step(flight, capture=capture)
                if done and (
                    len(done) >= ENOUGH or not flight or time.monotonic() - since > PATIENCE
                ):
                    yield self._finish(done, sampling, capture=capture)
                    done, since = [], time.monotonic()
        finally:
            self._leave(flight, capture=capture)

    def close(self) -> None:
        """Give the memory back, where the process goes on to something else."""
        self.llm.engine_core.shutdown()

    def _add(
        self, request: Request, sampling: Sampling, flight: "dict[str, _Flight]", *, capture: bool
    ) -> None:
        key, self.keys = self.keys, self.keys + 1
        compare = capture and self.checked > 0 and not self.v2
        self.checked -= compare
        params = self._params(sampling)
        if compare or (capture and self.v2):
            params.logprobs, params.flat_logprobs = 0, True
        if capture and self.v2:
            params.extra_args = {EXTRA: key}
        prompt = {"type": "token", "prompt_token_ids": list(request.prompt_ids)}
        internal = self.llm.add_request(str(key), prompt, params)
        held = self.scheduler.requests.get(internal) if self.scheduler is not None else None
        flight[str(key)] = _Flight(key, request, held, compare)
        if capture:
            self.ledger.open(key)

    def _params(self, sampling: Sampling) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        stop = list(self.prompter.settings.stop)
        # No seed: equal seeds would give equal draws, and vLLM's derived ones are correlated. No n:
        # the samples of one request cannot be told apart in a batch.
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            # Ends are named here and nowhere else.
            ignore_eos=True,
            stop_token_ids=sorted(self.stops),
            stop=stop or None,
            detokenize=bool(stop),
            skip_special_tokens=False,
            spaces_between_special_tokens=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _step(self, flight: "dict[str, _Flight]", *, capture: bool) -> "list[tuple[_Flight, Any]]":
        """Let every running request go on by a token; give those that are complete."""
        began = time.perf_counter()
        try:
            outputs = self.llm.step()
        except Exception as error:
            self.dead = True
            _explain_stop(error)
            raise
        if capture:
            self.stepping += time.perf_counter() - began
        if self.scheduler is not None:
            usage = self.scheduler.kv_cache_manager.usage
            self.counts["kv_cache_peak"] = max(self.counts["kv_cache_peak"], usage)
        finished = [(flight.pop(each.request_id), each) for each in outputs if each.finished]
        for each, _ in finished:
            self.counts["preemptions"] += getattr(each.held, "num_preemptions", 0)
        return finished

    def _finish(
        self, done: "list[tuple[_Flight, Any]]", sampling: Sampling, *, capture: bool
    ) -> list[Finished]:
        if capture:
            for drained in self._workers("rft_drain"):
                if drained:
                    self.recording += drained["seconds"]
                    self.way = drained["way"]
                    self.ledger.add(drained)
        return [self._finished(each, output, sampling, capture) for each, output in done]

    def _finished(
        self, each: "_Flight", output: Any, sampling: Sampling, capture: bool
    ) -> Finished:
        (made,) = output.outputs
        assert made.finish_reason in ("stop", "length"), f"vLLM ended with {made.finish_reason!r}"
        token_ids = list(made.token_ids)
        lists: dict[str, Any] = {"logprobs": None, "entropies": None, "branching": None}
        length = len(token_ids)
        if capture:
            entropies, logprobs, branching = self.ledger.take(each.key, length)
            own = list(made.logprobs.logprobs) if each.compare or self.v2 else []
            if each.compare:
                self._compare(logprobs, own)
            lists["logprobs"] = own if self.v2 else logprobs.tolist()
            assert len(lists["logprobs"]) == length, f"{len(own)} logprobs of {length} tokens"
            lists["entropies"] = entropies.tolist() if sampling.entropy else None
            lists["branching"] = branching.astype(int).tolist() if sampling.branching else None
        if made.finish_reason == "stop" and token_ids and token_ids[-1] in self.stops:
            length -= 1
        cut = self.prompter.before_stop(token_ids[:length])
        return Finished(
            request=each.request,
            completion=self.prompter.decode(token_ids[:cut]),
            finish_reason="stop" if cut < length else made.finish_reason,
            token_ids=token_ids[:cut],
            stats_origin="engine",
            seed=self.seed,
            **{name: values and values[:cut] for name, values in lists.items()},
        )

    def _compare(self, ours: Any, own: "list[float]") -> None:
        """Hold our logprobs against vLLM's: if they differ, so may the other statistics."""
        apart = max((abs(a - b) for a, b in zip(ours.tolist(), own, strict=True)), default=0.0)
        self.counts["self_checked"] += 1
        self.worst = max(self.worst, apart)
        if not apart <= TOLERANCE:
            raise RFTError(
                f"engine: the logprobs recorded inside vLLM {vllm_version()} differ from vLLM's "
                f"own by {apart:.2g} (more than {TOLERANCE}), so its statistics cannot be trusted; "
                "use another version of vLLM, or set sample.statistics.entropy and branching to "
                "false"
            )

    def _workers(self, method: str, *args: Any) -> list[Any]:
        return list(self.llm.collective_rpc(method, args=args))

    def _leave(self, flight: "dict[str, _Flight]", *, capture: bool) -> None:
        """Take what is unfinished out of the engine, and the recorder with it."""
        self.ledger = Ledger()
        if self.dead:
            return
        self.llm.abort_request(list(flight))
        if capture:
            self._workers("rft_end")


@dataclass(frozen=True)
class _Flight:
    """A request inside the engine."""

    key: int
    request: Request
    held: Any
    """The scheduler's own record of it, which counts preemptions."""
    compare: bool
    """Whether vLLM is asked for its own logprobs too."""


def _explain_stop(error: Exception) -> None:
    """Say in one line that the engine is gone, if that is what an error means."""
    text = str(error)
    name = type(error).__name__
    if is_memory(error):
        raise Interrupted(
            f"vLLM ran out of memory; finished rollouts are kept. Run again, or {LESS}"
        ) from error
    if name == "EngineDeadError" or any(words in text for words in DEAD):
        raise Interrupted(
            f"vLLM's engine died ({name}: {' '.join(text.split())[:200]}); finished rollouts are "
            "kept, run again to go on"
        ) from error
