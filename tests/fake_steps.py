"""Steps of online training for the plug-ins' hooks: one process, plain numbers, no trainer."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from rft.exploration.plugin import Batch, Tokens
from rft.seeds import derive

UNKNOWN = float("nan")


def batch_of(
    n: int,
    correct: Sequence[float],
    *,
    lengths: Sequence[float] | None = None,
    nll: Sequence[float] | None = None,
    entropy: Sequence[float] | None = None,
) -> Batch:
    """Make the rollouts of a step; the reward is 1 or 0, and a rollout has ten tokens."""
    verdicts = torch.tensor(correct, dtype=torch.float32)
    return Batch(
        n=n,
        rewards=verdicts,
        correct=verdicts,
        lengths=torch.tensor(lengths or [10.0] * len(verdicts)),
        nll=None if nll is None else torch.tensor(nll),
        entropy=None if entropy is None else torch.tensor(entropy),
    )


def tokens_of(
    mask: Tensor,
    logps: Tensor,
    *,
    old_logps: Tensor | None = None,
    entropies: Tensor | None = None,
    columns: Mapping[str, Tensor] | None = None,
    step: int = 1,
) -> Tokens:
    """Make rows of tokens; without old logprobs the policy is the one that sampled."""
    at = mask.bool()

    def here(values: Tensor) -> Tensor:
        placed = torch.zeros(mask.shape)
        placed[at] = values
        return placed

    return Tokens(
        mask=mask,
        logps=logps,
        old_logps=logps.detach() if old_logps is None else old_logps,
        entropies=torch.zeros(mask.shape) if entropies is None else entropies,
        columns=columns or {},
        everywhere=lambda values: values[at],
        here=here,
        generator=lambda name: torch.Generator().manual_seed(derive(7, name, step)),
    )


def rows_of(lengths: Sequence[int]) -> Tensor:
    """Make the mask of rows with so many tokens each, padded on the right."""
    width = max(lengths)
    return torch.tensor([[int(at < length) for at in range(width)] for length in lengths])


def grpo_advantages(rewards: Tensor, n: int) -> Tensor:
    """Normalise rewards by group as TRL does: the sample's deviation, and 1e-4."""
    groups = rewards.view(-1, n)
    centred = groups - groups.mean(1, keepdim=True)
    return (centred / (groups.std(1, keepdim=True) + 1e-4)).view(-1)
