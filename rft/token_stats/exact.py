"""What every engine records about a token: of the policy itself, over its full vocabulary."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Sorting a whole vocabulary is dear, and few rows need more than their first tokens for the mass.
PREFIXES = (64, 1024)


def token_statistics(
    logits: "Tensor", chosen: "Tensor", *, mass: float | None
) -> "tuple[Tensor, Tensor, Tensor | None]":
    """Give entropy, logprob of the chosen token and branching factor of each row of raw logits.

    Entropy is in nats, of the softmax at temperature 1. The branching factor is the least number
    of tokens, taken from the most probable down, whose probabilities sum to `mass` (None: not asked
    for). Probabilities are normalised by their actual sum in float64, without which one row in six
    is off by one at the border.
    """
    import torch

    logits = logits.float()
    shifted = logits - logits.amax(-1, keepdim=True)
    weights = shifted.exp()
    total = weights.sum(-1, dtype=torch.float64)
    # A token at minus infinity has weight 0 and adds nothing; 0 * -inf would be NaN.
    spread = (weights * shifted.nan_to_num(neginf=0.0)).sum(-1, dtype=torch.float64)
    entropy = total.log() - spread / total
    logprob = shifted.gather(-1, chosen[:, None])[:, 0].double() - total.log()
    counts = None if mass is None else _branching(weights, total, mass)
    return entropy.float(), logprob.float(), counts


def _branching(weights: "Tensor", total: "Tensor", mass: float) -> "Tensor":
    import torch

    rows, width = weights.shape
    counts = torch.zeros(rows, dtype=torch.int32, device=weights.device)
    left = torch.arange(rows, device=weights.device)
    for prefix in (*(size for size in PREFIXES if size < width), width):
        top = weights[left].topk(prefix, -1).values
        below = top.cumsum(-1, dtype=torch.float64) < (mass * total[left])[:, None]
        needed = below.sum(-1, dtype=torch.int32) + 1
        reached = needed <= prefix
        counts[left[reached]] = needed[reached]
        left = left[~reached]
        if not len(left):
            return counts
    counts[left] = width  # rounding kept the sum of all tokens below the mass
    return counts
