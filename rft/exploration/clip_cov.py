"""clip_cov: a few of the tokens that drive the entropy down are not learnt from."""

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import model_validator

from rft.exploration.plugin import Plugin, Tokens
from rft.recipe.section import Inside, Number

if TYPE_CHECKING:
    from torch import Tensor


def covariance(advantages: "Tensor", tokens: Tokens) -> "Tensor":
    """Give each token of the step what it adds to the covariance of advantage and logprob."""
    worth, logps = tokens.everywhere(advantages), tokens.everywhere(tokens.logps)
    return (worth - worth.mean()) * (logps - logps.mean())


class ClipCov(Plugin):
    """Leave out a few random tokens whose advantage and logprob go together, which cost entropy.

    cov_t = (A_t - mean A) * (lp_t - mean lp) over all tokens of the step. Of the tokens with
    low < cov_t < high, max(1, int(share * number of tokens)) are drawn, and their policy loss is
    0; the loss's denominator stays.

    arXiv 2505.22617 (Entropy Mechanism, Clip-Cov). Defaults: the released code's 2e-4 and (1, 5).
    Its scripts set both clip ranges to 1, which is yours to do (clip_higher); SPEAR draws 0.02 from
    (1, 40). With few tokens, or short and even advantages, no token may lie in the range: then
    nothing is left out.

    Needs old_logps. Conflicts with kl_cov, which is for the same tokens.

    Undecided in the literature: over what the means are taken. Over the whole step here, before it
    is split: a part of it may hold one rollout, whose advantages are all the same, and no
    covariance. So lp is the policy's that sampled, the advantage is the one before `shape`, and the
    draw cannot leave out tokens that the ratio has clipped already, as the released code does;
    those have no gradient anyway. The draw depends on the run's seed and the step.
    """

    name: ClassVar[str] = "clip_cov"
    arxiv: ClassVar[str] = "2505.22617"
    needs: ClassVar[frozenset[str]] = frozenset({"old_logps"})
    keeps_sign: ClassVar[bool] = True
    conflicts: ClassVar[dict[str, str]] = {"kl_cov": "both are for the tokens of high covariance"}

    share: Inside = 2e-4
    """Tokens to leave out, as a share of all."""
    low: Number = 1.0
    """Tokens with no more covariance stay."""
    high: Number = 5.0
    """Tokens with no less covariance stay."""

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}; low has to be below")
        return self

    def columns(self, advantages: "Tensor", tokens: Tokens) -> "dict[str, Tensor]":
        import torch

        cov = covariance(advantages, tokens)
        candidates = ((cov > self.low) & (cov < self.high)).nonzero().squeeze(1)
        # Drawn on the CPU, so that the draw is the same on every device.
        order = torch.randperm(len(candidates), generator=tokens.generator(self.name))
        count = max(1, int(self.share * cov.numel()))
        left_out = torch.zeros_like(cov)
        left_out[candidates[order[:count].to(cov.device)]] = 1.0
        return {"left_out": tokens.here(left_out)}

    def weight(self, tokens: Tokens) -> "Tensor":
        return 1 - tokens.columns["left_out"]
