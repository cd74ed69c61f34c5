"""The embedded default: batched decoding with transformers, one forward a step, on any device."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache, GenerationConfig

from rft.engines import Demand, Feed, Finished, Request, Sampling
from rft.engines.drawn import Drawn
from rft.engines.grouped_attention import share_keys
from rft.engines.slots import Read, Slots, rows_for, suits
from rft.errors import RFTError
from rft.model_folders.loading import load_config, load_weights, longest_text
from rft.processes.devices import device
from rft.prompt import Prompter
from rft.runs.models import ModelRef

BATCH = 256
# Slots are given up where there are texts for this share of them, and refilled this share at once.
FEW, AT_ONCE = 0.75, 1 / 32


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
        ends = prompter.stop_ids(generation_eos(loaded.generation_config))
        self.stops = torch.tensor(sorted(ends), device=self.device)
        self.refills = suits(self.model)

    def units(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Batch requests of like length; the batches depend on nothing but the requests."""
        ordered = sorted(requests, key=lambda r: (len(r.prompt_ids), r.prompt_ids, r.rollout_id))
        return [ordered[i : i + self.batch] for i in range(0, len(ordered), self.batch)]

    def sample(
        self, feed: Feed, sampling: Sampling, *, check: Callable[[], None]
    ) -> Iterator[list[Finished]]:
        """Decode what the feed gives, as slots come free; else one batch after the other."""
        if self.refills:
            yield from _Refilled(self, feed, sampling).decode(check)
            return
        while (unit := feed.take(wait=True)) is not None:
            yield self.decode(unit, sampling, check=check)

    def figures(self) -> dict[str, Any]:
        """Tell where and in which numbers the model computes, and whether slots are refilled."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        return {"device": self.device, "dtype": dtype, "refills": self.refills}

    @torch.inference_mode()
    def decode(
        self, unit: Sequence[Request], sampling: Sampling, *, check: Callable[[], None]
    ) -> list[Finished]:
        """Decode one batch to its end, dropping rows from it as they finish."""
        longest = max(len(request.prompt_ids) for request in unit)
        tokens, mask = self._pad(unit, longest)
        active = torch.arange(len(unit), device=self.device)
        drawn = Drawn(len(unit), sampling, self.stops)
        drawn.begin(active, unit)
        cache = DynamicCache(config=self.model.config)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        alive = torch.ones(len(unit), dtype=torch.bool, device=self.device)
        while True:
            check()
            logits = self.model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                logits_to_keep=1,
            ).logits[:, -1]
            tokens = torch.zeros_like(active)
            tokens[alive], over = drawn.draw(active[alive], logits[alive])
            alive[alive.clone()] = ~over
            if not alive.any():
                break
            tokens, positions = tokens[:, None], positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            # Copying the cache costs about a step: worth it once a quarter of the rows idle.
            if alive.sum() <= FEW * len(alive):
                keep = alive.nonzero()[:, 0]
                cache.batch_select_indices(keep)
                tokens, positions, mask = tokens[keep], positions[keep], mask[keep]
                active, alive = active[keep], alive[keep]
        return [drawn.finished(row, each, self.prompter) for row, each in enumerate(unit)]

    def _pad(self, unit: Sequence[Request], longest: int) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = torch.full((len(unit), longest), self.prompter.end_id)
        mask = torch.zeros_like(tokens)
        for row, request in enumerate(unit):
            length = len(request.prompt_ids)
            tokens[row, longest - length :] = torch.tensor(request.prompt_ids)
            mask[row, longest - length :] = 1
        return tokens.to(self.device), mask.to(self.device)


@dataclass
class _Unit:
    """Requests that are sampled, and lost to a kill, together: how many, and what is finished."""

    size: int
    finished: list[Finished] = field(default_factory=list)


class _Refilled:
    """Decoding with slots that are given to the next request as soon as one is done."""

    def __init__(self, engine: Transformers, feed: Feed, sampling: Sampling):
        self.engine, self.feed = engine, feed
        self.slots = Slots(engine.model)
        self.drawn = Drawn(engine.batch, sampling, engine.stops)
        self.idle = list(range(engine.batch))
        """Rows of what is drawn that belong to nobody."""
        self.waiting: deque[tuple[Request, _Unit]] = deque()
        self.held: dict[int, tuple[int, Request, _Unit]] = {}
        """By slot: the row, whose it is, and with whom it is handed out."""
        self.last = torch.zeros(0, dtype=torch.long, device=engine.device)
        """The token that each slot has drawn last."""
        self.read: tuple[tuple[int, ...], Read] | None = None
        """The prompt that was read last: the next answer is often to the same one."""

    @torch.inference_mode()
    def decode(self, check: Callable[[], None]) -> Iterator[list[Finished]]:
        """Decode until the feed has no more, and give units as they are whole."""
        while self._fetch():
            check()
            self._fit()
            yield from self._admit()
            if self.held:
                logits, slots = self.slots.step(self.last), sorted(self.held)
                if len(slots) < len(logits):
                    logits = logits[self._indices(slots)]
                yield from self._draw(slots, logits)

    def _fetch(self) -> bool:
        """Take units until there are requests for all slots that there may be; say if any are."""
        while (asked := len(self.held) + len(self.waiting)) < self.engine.batch:
            unit = self.feed.take(wait=not asked)
            if unit is None:
                return asked > 0
            whole = _Unit(len(unit))
            self.waiting.extend((request, whole) for request in unit)
        return True

    def _fit(self) -> None:
        """Have as many slots as there are texts for, roughly: each change copies all of them."""
        wanted = rows_for(len(self.held) + len(self.waiting), self.engine.batch)
        if FEW * self.slots.rows < wanted <= self.slots.rows:
            return
        kept = sorted(self.held)
        old, self.last = self.last[self._indices(kept)], self.last.new_zeros(wanted)
        self.last[: len(kept)] = old
        self.slots.resize(wanted, self._indices(kept))
        self.held = {new: self.held[before] for new, before in enumerate(kept)}

    def _admit(self) -> Iterator[list[Finished]]:
        """Give free slots to those that wait, several at a time: a prompt costs about a step."""
        free = [slot for slot in range(self.slots.rows) if slot not in self.held]
        if len(free) < min(len(self.waiting), self.slots.rows * AT_ONCE):
            return
        while free and self.waiting:
            prompt, mine = self.waiting[0][0].prompt_ids, []
            while free and self.waiting and self.waiting[0][0].prompt_ids == prompt:
                mine.append(free.pop(0))
                self.held[mine[-1]] = (self.idle.pop(), *self.waiting.popleft())
            if self.read is None or self.read[0] != prompt:
                self.read = prompt, self.slots.read(prompt)
            read = self.read[1]
            self.slots.begin(self._indices(mine), read)
            rows, requests, _ = zip(*(self.held[slot] for slot in mine), strict=True)
            self.drawn.begin(self._indices(rows), requests)
            yield from self._draw(mine, read.logits.expand(len(mine), -1))

    def _draw(self, slots: Sequence[int], logits: torch.Tensor) -> Iterator[list[Finished]]:
        """Draw a token in each of the slots, and give the units that are whole by it."""
        rows = self._indices([self.held[slot][0] for slot in slots])
        chosen, over = self.drawn.draw(rows, logits)
        self.last[self._indices(slots)] = chosen
        ended = [slot for slot, ends in zip(slots, over.tolist(), strict=True) if ends]
        for slot in ended:
            row, request, unit = self.held.pop(slot)
            self.idle.append(row)
            unit.finished.append(self.drawn.finished(row, request, self.engine.prompter))
            if len(unit.finished) == unit.size:
                yield unit.finished
        self.slots.end(self._indices(ended))

    def _indices(self, numbers: Sequence[int]) -> torch.Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=self.engine.device)


def generation_eos(config: GenerationConfig | None) -> list[int]:
    """List the end tokens that a model's own generation config names."""
    eos = getattr(config, "eos_token_id", None)
    return (
        [] if eos is None else [int(token) for token in (eos if isinstance(eos, list) else [eos])]
    )
