"""steer: less weight on tokens whose update would change the entropy most."""

import math
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import model_validator

from rft.exploration.plugin import Plugin, Tokens
from rft.recipe.section import Amount, Inside

if TYPE_CHECKING:
    from torch import Tensor


class Steer(Plugin):
    """Weigh tokens less whose update would change the policy's entropy most.

    Om_t = A_t * (1 - p_t) * (ln p_t + H_t), with p and H of the policy that sampled, estimates how
    much an update on this token changes the entropy. The weight of its policy loss:
    linear:  high - (|Om_t| - min) / (max - min) * (high - low)
    exp:     exp(-k * |Om_t|), k = -ln(low) / max(largest |Om|, 0.02)
    with extremes over all tokens of the step. Where all |Om| are equal, linear is (low + high) / 2.

    arXiv 2510.10150. Defaults: the released code's, 0.8 and 1.2; it trains with clip ranges 0.2 and
    0.28 (clip_higher).

    Needs old_logps and entropies. Conflicts with nothing. The advantage is the one before `shape`.

    Undecided in the literature: whether weights follow the policy within a step. The released code
    has Om_t = (A_t / p_old) * p * (1 - p) * (ln p + H), with the current p, the H of the policy
    that sampled, and the extremes of a micro-batch. Where p is p_old (with `updates: 1` always,
    else in the first update of a step) that is the Om above. Later its weights follow p; here a
    token keeps its weight, as extremes over a whole step are not to be had in the loss.
    exp has no use for `high`: its largest weight is 1.
    """

    name: ClassVar[str] = "steer"
    arxiv: ClassVar[str] = "2510.10150"
    needs: ClassVar[frozenset[str]] = frozenset({"old_logps", "entropies"})
    keeps_sign: ClassVar[bool] = True

    form: Literal["linear", "exp"] = "linear"
    """How the weight falls with |Om|."""
    low: Inside = 0.8
    """The smallest weight."""
    high: Amount = 1.2
    """The largest weight of the linear form."""

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}; low has to be below")
        return self

    def columns(self, advantages: "Tensor", tokens: Tokens) -> "dict[str, Tensor]":
        change = advantages * (1 - tokens.logps.exp()) * (tokens.logps + tokens.entropies)
        return {"weight": tokens.here(self._weights(tokens.everywhere(change).abs()))}

    def _weights(self, size: "Tensor") -> "Tensor":
        import torch

        if not size.numel():
            return size
        least, most = size.min(), size.max()
        if self.form == "exp":
            return torch.exp(math.log(self.low) / most.clamp(min=0.02) * size)
        if least == most:
            return torch.full_like(size, (self.low + self.high) / 2)
        return self.high - (size - least) / (most - least) * (self.high - self.low)

    def weight(self, tokens: Tokens) -> "Tensor":
        return tokens.columns["weight"]
