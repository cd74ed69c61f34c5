"""Texts decoded together that come and go: each has a slot, its columns from its own first token.

A new text takes the slot of one that is done, so the batch stays full; a prompt is read once for
all its answers. A row depends on nothing but itself: prompts are read one by one, and rows and
columns come in whole grains, in which matrix products and attention on a CPU sum each row alike,
whatever stands beside and behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin, DynamicLayer

ROWS, COLUMNS = 16, 32
# Of the spread of the logits: more than rounding, far less than a wrong position.
NOTICEABLE = {torch.float32: 1e-3}
ROUGH = 0.1


@dataclass(frozen=True)
class Read:
    """A prompt that was read: its keys and values, and the logits of what comes next."""

    layers: Sequence[tuple[torch.Tensor, torch.Tensor]]
    logits: torch.Tensor
    length: int


class Layer(CacheLayerMixin):
    """A layer's keys and values: a row for each slot, a column for each token of its text."""

    is_sliding = False

    def __init__(self, slots: "Slots"):
        super().__init__()
        self.slots = slots

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Make room for as many rows and columns as there are now."""
        shape = (self.slots.rows, key_states.shape[1], self.slots.columns)
        self.keys = key_states.new_zeros(*shape, key_states.shape[-1])
        self.values = value_states.new_zeros(*shape, value_states.shape[-1])
        self.is_initialized = True

    def put(self, slots: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Begin texts with what was read of their prompt."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        assert self.keys is not None, "a layer without room"
        assert self.values is not None, "a layer without room"
        self.keys[slots, :, : keys.shape[-2]] = keys
        self.values[slots, :, : values.shape[-2]] = values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_more: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add a token to each row, and give what the longest may look at."""
        assert self.keys is not None, "a token before any prompt"
        assert self.values is not None, "a token before any prompt"
        at, lengths, width = self.slots.every, self.slots.lengths, self.slots.width
        self.keys[at, :, lengths] = key_states[:, :, 0]
        self.values[at, :, lengths] = value_states[:, :, 0]
        return self.keys[:, :, :width], self.values[:, :, :width]

    def resize(self, kept: torch.Tensor) -> None:
        """Take the kept rows to the front of as many rows and columns as there are now."""
        for name in ("keys", "values") if self.is_initialized else ():
            old = getattr(self, name)
            columns = min(old.shape[2], self.slots.columns)
            new = old.new_zeros(self.slots.rows, old.shape[1], self.slots.columns, old.shape[3])
            new[: len(kept), :, :columns] = old[kept, :, :columns]
            setattr(self, name, new)

    def get_seq_length(self) -> int:
        """Tell which column the longest row may look at last."""
        return self.slots.width - 1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002  transformers' call
        """Tell how many columns are given, and from which on."""
        return self.slots.width, 0

    def get_max_length(self) -> int:
        """Say that there is no most: room is made as it is needed."""
        return -1


class Slots:
    """The texts that are decoded together: how long each is, and what was computed of it."""

    def __init__(self, model: PreTrainedModel):
        self.model, self.device = model, model.device
        self.rows = self.columns = self.width = 0
        layers = len(DynamicCache(config=model.config).layers)
        self.layers = [Layer(self) for _ in range(layers)]
        self.cache = Cache(layers=list(self.layers))
        self.lengths = torch.zeros(0, dtype=torch.long, device=self.device)
        self.every = torch.arange(0, device=self.device)

    def resize(self, rows: int, kept: torch.Tensor) -> None:
        """Have so many slots; the kept ones become the first."""
        lengths = self.lengths[kept]
        self.rows = rows
        self.lengths = torch.zeros(rows, dtype=torch.long, device=self.device)
        self.lengths[: len(kept)] = lengths
        self.every = torch.arange(rows, device=self.device)
        for layer in self.layers:
            layer.resize(kept)

    def read(self, prompt: Sequence[int]) -> Read:
        """Read a prompt by itself, so that nothing beside it can move its numbers."""
        tokens = torch.tensor([prompt], device=self.device)
        cache = DynamicCache(config=self.model.config)
        logits = self.model(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            position_ids=torch.arange(len(prompt), device=self.device)[None],
            past_key_values=cache,
            logits_to_keep=1,
        ).logits[0, -1]
        return Read([(each.keys, each.values) for each in cache.layers], logits, len(prompt))

    def begin(self, slots: torch.Tensor, read: Read) -> None:
        """Begin texts with a prompt."""
        self._make_room(read.length)
        self.lengths[slots] = read.length
        for layer, (keys, values) in zip(self.layers, read.layers, strict=True):
            layer.put(slots, keys, values)

    def end(self, slots: torch.Tensor) -> None:
        """Forget texts; what is in their columns is looked at by nobody."""
        self.lengths[slots] = 0

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """Add a token to each text, and give the logits of what comes next; those of an empty slot
        mean nothing.
        """
        longest = int(self.lengths.max()) + 1
        self._make_room(longest)
        self.width = _grains(longest, COLUMNS)
        seen = torch.arange(self.width, device=self.device) <= self.lengths[:, None]
        logits: torch.Tensor = self.model(
            input_ids=tokens[:, None],
            attention_mask=seen,
            position_ids=self.lengths[:, None],
            past_key_values=self.cache,
            logits_to_keep=1,
        ).logits[:, -1]
        self.lengths += self.lengths > 0
        return logits

    def _make_room(self, length: int) -> None:
        if length > self.columns:
            # By a quarter more: each time all is copied.
            self.columns = _grains(length + length // 4, COLUMNS)
            for layer in self.layers:
                layer.resize(self.every)


def rows_for(wanted: int, most: int) -> int:
    """Give how many slots are worth having for so many texts."""
    return min(_grains(max(wanted, 1), ROWS), most)


def _grains(number: int, grain: int) -> int:
    return -(-number // grain) * grain


@torch.inference_mode()
def suits(model: PreTrainedModel) -> bool:
    """Say whether a model can be decoded so: it is tried, with texts of two lengths, not believed.

    A layer that remembers in another way than by a column for each token cannot; nor a model that
    counts positions by the columns of the batch.
    """
    cache = DynamicCache(config=model.config)
    if not cache.layers or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return False
    texts = [[1, 2, 3, 4, 5, 6, 7, 8], [3, 1, 4]]
    slots = Slots(model)
    slots.resize(ROWS, slots.every)
    next_tokens = torch.zeros(ROWS, dtype=torch.long, device=model.device)
    try:
        for slot, text in enumerate(texts):
            slots.begin(torch.tensor([slot], device=model.device), slots.read(text[:-2]))
        for token in (-2, -1):
            for slot, text in enumerate(texts):
                next_tokens[slot] = text[token]
            logits = slots.step(next_tokens)
        plain = [slots.read(text).logits for text in texts]
    except (TypeError, ValueError, IndexError, RuntimeError, AttributeError):
        return False  # it has its own way with a cache
    apart = max(
        float((own.float() - mine.float()).abs().max() / own.float().std())
        for own, mine in zip(plain, logits, strict=False)
    )
    return apart <= NOTICEABLE.get(model.dtype, ROUGH)
