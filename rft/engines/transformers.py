"""The embedded default: batched decoding with transformers, one forward a step, on any device."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from transformers import DynamicCache, GenerationConfig

from rft.engines import Demand, Feed, Finished, Request, Sampling
from rft.engines.grouped_attention import share_keys
from rft.engines.gumbel import choose
from rft.errors import RFTError
from rft.model_folders.loading import load_config, load_weights, longest_text
from rft.processes.devices import device
from rft.prompt import Prompter
from rft.runs.models import ModelRef
from rft.token_stats.exact import token_statistics

BATCH = 256


def open_for(demand: Demand, _seed: int) -> "Transformers":
    """Load the plan's model into this process."""
    check_context(demand)
    return Transformers(demand.model, demand.prompts, demand.run.recipe.engine.args)


def check_context(demand: Demand) -> None:
    """Refuse completions that would run out of the model's positions."""
    limit = longest_text(load_config(demand.model)) or demand.longest
    limit = min(limit, demand.run.recipe.engine.max_model_len or limit)
    if demand.longest > limit:
        raise RFTError(
            f"{demand.stage}.max_tokens: {demand.sampling.max_tokens} and the longest prompt "
            f"({demand.longest - demand.sampling.max_tokens} tokens) are {demand.longest} tokens, "
            f"more than the {limit} of the model or engine.max_model_len; lower max_tokens"
        )


class Transformers:
    """Decode batches of requests, recording each token's statistics from the logits drawn from."""

    def __init__(self, model: ModelRef, prompter: Prompter, args: dict[str, Any]):
        args = dict(args)
        self.batch = int(args.pop("batch", BATCH))
        dtype = args.pop("dtype", "auto")
        if args:
            raise RFTError(
                f"engine.args: the transformers engine does not know {sorted(args)}; "
                "it takes batch and dtype"
            )
        self.prompter = prompter
        self.device = device()
        loaded = load_weights(model, dtype)
        share_keys(loaded)
        self.model = loaded.to(self.device).eval()
        self.stops = torch.tensor(
            sorted(prompter.stop_ids(generation_eos(loaded.generation_config)))
        )

    def units(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Batch requests of like length; the batches depend on nothing but the requests."""
        ordered = sorted(requests, key=lambda r: (len(r.prompt_ids), r.rollout_id))
        return [ordered[i : i + self.batch] for i in range(0, len(ordered), self.batch)]

    def sample(
        self, feed: Feed, sampling: Sampling, *, check: Callable[[], None]
    ) -> Iterator[list[Finished]]:
        """Decode one batch after the other."""
        while (unit := feed.take(wait=True)) is not None:
            yield self.decode(unit, sampling, check=check)

    def figures(self) -> dict[str, Any]:
        """Tell where and in which numbers the model computes."""
        return {"device": self.device, "dtype": str(self.model.dtype).removeprefix("torch.")}

    @torch.inference_mode()
    def decode(
        self, unit: Sequence[Request], sampling: Sampling, *, check: Callable[[], None]
    ) -> list[Finished]:
        """Decode one batch to its end, dropping rows from it as they finish."""
        steps = sampling.max_tokens
        rows = len(unit)
        longest = max(len(request.prompt_ids) for request in unit)
        tokens, mask = self._pad(unit, longest)
        seeds = torch.tensor([request.seed for request in unit], device=self.device)
        record = _Record(rows, steps, sampling)
        active = torch.arange(rows, device=self.device)
        cache = DynamicCache(config=self.model.config)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        stops = self.stops.to(self.device)
        alive = torch.ones(rows, dtype=torch.bool, device=self.device)
        for step in range(steps):
            check()
            logits = self.model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                logits_to_keep=1,
            ).logits[:, -1]
            chosen = choose(
                logits,
                seeds,
                torch.full_like(seeds, step),
                temperature=sampling.temperature,
                top_p=sampling.top_p,
            )
            stopped = torch.isin(chosen, stops)
            record.step(step, active, chosen, alive & ~stopped, logits)
            record.finish(active[alive & stopped], step)
            alive &= ~stopped
            if not alive.any():
                break
            tokens, positions = chosen[:, None], positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            # Copying the cache costs about a step: worth it once a quarter of the rows idle.
            if alive.sum() <= 0.75 * len(alive):
                keep = alive.nonzero()[:, 0]
                cache.batch_select_indices(keep)
                tokens, positions, mask = tokens[keep], positions[keep], mask[keep]
                seeds, active, alive = seeds[keep], active[keep], alive[keep]
        return [self._finished(request, record, row) for row, request in enumerate(unit)]

    def _pad(self, unit: Sequence[Request], longest: int) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = torch.full((len(unit), longest), self.prompter.end_id)
        mask = torch.zeros_like(tokens)
        for row, request in enumerate(unit):
            length = len(request.prompt_ids)
            tokens[row, longest - length :] = torch.tensor(request.prompt_ids)
            mask[row, longest - length :] = 1
        return tokens.to(self.device), mask.to(self.device)

    def _finished(self, request: Request, record: "_Record", row: int) -> Finished:
        length = int(record.lengths[row])
        token_ids = record.tokens[row, :length].tolist()
        reason = "stop" if record.stopped[row] else "length"
        cut = self.prompter.before_stop(token_ids)
        if cut < length:
            length, token_ids, reason = cut, token_ids[:cut], "stop"
        return Finished(
            request=request,
            completion=self.prompter.decode(token_ids),
            finish_reason=reason,
            token_ids=token_ids,
            stats_origin="engine",
            seed=request.seed,
            **record.row(row, length),
        )


class _Record:
    """What a batch has drawn so far: one row a request, one column a step."""

    def __init__(self, rows: int, steps: int, sampling: Sampling):
        self.sampling = sampling
        self.tokens = torch.zeros(rows, steps, dtype=torch.int32)
        self.logprobs = torch.zeros(rows, steps)
        self.entropies = torch.zeros(rows, steps)
        self.branching = torch.zeros(rows, steps, dtype=torch.int32)
        self.lengths = torch.full((rows,), steps)
        self.stopped = torch.zeros(rows, dtype=torch.bool)

    def step(
        self,
        step: int,
        active: torch.Tensor,
        chosen: torch.Tensor,
        wanted: torch.Tensor,
        logits: torch.Tensor,
    ) -> None:
        """Record the tokens drawn by the wanted rows; the end token is not recorded."""
        rows = active[wanted].cpu()
        if not len(rows):
            return
        self.tokens[rows, step] = chosen[wanted].int().cpu()
        if not (self.sampling.entropy or self.sampling.branching):
            return
        entropy, logprob, branching = token_statistics(
            logits[wanted],
            chosen[wanted],
            mass=self.sampling.mass if self.sampling.branching else None,
        )
        self.logprobs[rows, step] = logprob.cpu()
        self.entropies[rows, step] = entropy.cpu()
        if branching is not None:
            self.branching[rows, step] = branching.cpu()

    def finish(self, rows: torch.Tensor, step: int) -> None:
        """Close rows that drew a stop token at this step."""
        self.lengths[rows.cpu()] = step
        self.stopped[rows.cpu()] = True

    def row(self, row: int, length: int) -> dict[str, Any]:
        """Give one row's statistics, as far as they were asked for."""
        asked = self.sampling.entropy or self.sampling.branching
        return {
            "logprobs": self.logprobs[row, :length].tolist() if asked else None,
            "entropies": self.entropies[row, :length].tolist() if self.sampling.entropy else None,
            "branching": self.branching[row, :length].tolist() if self.sampling.branching else None,
        }


def generation_eos(config: GenerationConfig | None) -> list[int]:
    """List the end tokens that a model's own generation config names."""
    eos = getattr(config, "eos_token_id", None)
    return (
        [] if eos is None else [int(token) for token in (eos if isinstance(eos, list) else [eos])]
    )
