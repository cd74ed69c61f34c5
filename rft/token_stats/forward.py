"""Statistics of tokens that are there already: one batched forward of the policy over them.

What it gives is what an engine records while it samples: of the policy itself, over its whole
vocabulary, at temperature 1. So it also checks the engines.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rft.errors import RFTError
from rft.model_folders.loading import load_config, load_weights, longest_text
from rft.processes.devices import device
from rft.recipe.section import Auto, Count
from rft.token_stats.exact import token_statistics

if TYPE_CHECKING:
    from torch import Tensor

    from rft.runs.models import ModelRef

# Padded tokens in a batch, which a 24 GB card and a laptop both take.
BUDGET = 16384
# Logits at a time: 64 MB in float32, of which the statistics need a handful. A vocabulary of
# 150,000 would make 10 GB of a batch.
CELLS = 1 << 24
# How far the model's logits may be from those of its two halves.
NOISE = 1e-3

# Prompt and response of a sample, as the model's tokens.
Row = tuple[Sequence[int], Sequence[int]]


@dataclass(frozen=True)
class Scores:
    """The statistics of a response; the lists are as long as it has tokens."""

    logprobs: list[float]
    entropies: list[float]
    branching: list[int]


# The forward --------------------------------------------------------------------------------------


def load(model: "ModelRef") -> Any:
    """Load a model for scoring: in float32 on a CPU, as it is stored on an accelerator."""
    place = device()
    return load_weights(model, "float32" if place == "cpu" else "auto").to(place).eval()


def longest(model: "ModelRef") -> float:
    """Give the most tokens that a model reads, by its config."""
    return longest_text(load_config(model)) or math.inf


def score(
    model: Any,
    rows: Sequence[Row],
    *,
    mass: float,
    micro_batch: Count | Auto = "auto",
    check: Callable[[], None] = lambda: None,
) -> list[Scores]:
    """Score rows with a loaded model, in the order in which they are given."""
    scores: dict[int, Scores] = {}
    for done in score_batches(model, rows, mass=mass, micro_batch=micro_batch, check=check):
        scores |= done
    return [scores[place] for place in range(len(rows))]


def score_batches(
    model: Any,
    rows: Sequence[Row],
    *,
    mass: float,
    micro_batch: Count | Auto = "auto",
    check: Callable[[], None] = lambda: None,
) -> Iterator[dict[int, Scores]]:
    """Score rows batch by batch, the longest first; yields place among the rows -> scores.

    A batch takes what is next in order and fits, so that what is left of some rows after any batch
    is cut into the same batches. `check` is called before each and raises to stop.
    """
    import torch

    assert all(len(prompt) or not len(response) for prompt, response in rows), (
        "the first token of all has nothing that predicts it"
    )
    # The last token predicts nothing that is asked for.
    lengths = [len(prompt) + len(response) - 1 if len(response) else 0 for prompt, response in rows]
    left = sorted(range(len(rows)), key=lambda place: -lengths[place])
    halves = Halves(model) if left else None
    most = len(rows) if micro_batch == "auto" else micro_batch
    budget = BUDGET if micro_batch == "auto" else most * max(lengths, default=0)
    while left:
        check()
        width = max(lengths[left[0]], 1)
        batch = left[: min(most, max(1, budget // width))]
        try:
            assert halves is not None
            scores = _forward(halves, [rows[place] for place in batch], mass)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise RFTError(
                    f"score: one sample of {width} tokens does not fit the accelerator's memory; "
                    "use a larger one, or rank by another statistic (select.by)"
                ) from None
            budget = width * (len(batch) // 2)
            scores = None
        if scores is None:  # not in the handler, where the error still holds the tensors
            torch.cuda.empty_cache()
            continue
        yield dict(zip(batch, scores, strict=True))
        left = left[len(batch) :]


class Halves:
    """A causal model in two: its body, run once over whole rows, and its head, over pieces of them.

    The head is the model's own forward over a body that repeats what it is told. So whatever an
    architecture does to its logits (a scale, a soft cap) is done to these.
    """

    def __init__(self, model: Any):
        assert not model.training, "a model in training drops units at random"
        self.model = model
        self.body = model.get_decoder()
        self.kind: type[Any] | None = None
        self._check()

    def hidden(self, tokens: "Tensor", mask: "Tensor") -> "Tensor":
        """Run the body."""
        made = self.body(input_ids=tokens, attention_mask=mask, use_cache=False)
        self.kind = type(made)
        states: Tensor = made.last_hidden_state
        return states

    def logits(self, states: "Tensor") -> "Tensor":
        """Run the head over a piece of hidden states, (rows, width) -> (rows, vocabulary)."""
        kind = self.kind
        assert kind is not None, "the body runs first"
        own = vars(self.body).get("forward")
        self.body.forward = lambda *_, **__: kind(last_hidden_state=states[None])
        try:
            tokens = states.new_zeros(1, len(states)).long()
            logits: Tensor = self.model(input_ids=tokens, use_cache=False).logits[0]
        finally:
            del self.body.forward
            if own is not None:
                self.body.forward = own
        return logits

    def _check(self) -> None:
        """Refuse a model whose logits the two halves do not make."""
        import torch

        tokens = torch.arange(1, 5, device=self.model.device)[None]
        mask = torch.ones_like(tokens)
        try:
            with torch.inference_mode():
                whole = self.model(input_ids=tokens, attention_mask=mask, use_cache=False).logits[0]
                ours = self.logits(self.hidden(tokens, mask)[0])
            apart = float((whole.float() - ours.float()).abs().max())
        except (AttributeError, TypeError, RuntimeError) as error:
            apart, reason = float("inf"), str(error).partition("\n")[0]
        else:
            reason = f"they are {apart:.2g} apart"
        if not apart <= NOISE:
            raise RFTError(
                f"score: the logits of a {type(self.model).__name__} are not those of its head "
                f"over its body ({reason}); sample with the statistics on, or set select.by: random"
            )


def _forward(halves: Halves, rows: Sequence[Row], mass: float) -> list[Scores]:
    """Score one batch."""
    import torch

    logprobs: list[float] = []
    entropies: list[float] = []
    branching: list[int] = []
    with torch.inference_mode():
        tokens, mask, places, chosen = (part.to(halves.model.device) for part in _padded(rows))
        states = halves.hidden(tokens, mask).flatten(0, 1) if len(chosen) else tokens
        piece = max(1, CELLS // halves.model.config.get_text_config().vocab_size)
        for start in range(0, len(chosen), piece):
            mine = slice(start, start + piece)
            logits = halves.logits(states[places[mine]])
            entropy, logprob, counts = token_statistics(logits, chosen[mine], mass=mass)
            assert counts is not None, "a mass was given"
            logprobs += logprob.tolist()
            entropies += entropy.tolist()
            branching += counts.tolist()
    scores, start = [], 0
    for _, response in rows:
        mine = slice(start, start + len(response))
        scores.append(Scores(logprobs[mine], entropies[mine], branching[mine]))
        start += len(response)
    return scores


def _padded(rows: Sequence[Row]) -> "tuple[Tensor, Tensor, Tensor, Tensor]":
    """Give tokens and mask, (rows, width), then where each response token is predicted, and it.

    The padding is on the right, where no token before it sees it.
    """
    import torch

    whole = [[*prompt, *response][:-1] for prompt, response in rows]
    width = max(len(row) for row in whole)
    tokens, mask = (torch.zeros(len(rows), width, dtype=torch.long) for _ in range(2))
    places: list[int] = []
    chosen: list[int] = []
    for number, ((prompt, response), row) in enumerate(zip(rows, whole, strict=True)):
        tokens[number, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[number, : len(row)] = 1
        first = number * width + len(prompt) - 1
        places += range(first, first + len(response))
        chosen += response
    return (
        tokens,
        mask,
        torch.tensor(places, dtype=torch.long),
        torch.tensor(chosen, dtype=torch.long),
    )
