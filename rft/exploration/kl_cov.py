"""kl_cov: the tokens that drive the entropy down are held to the policy that sampled them."""

from typing import TYPE_CHECKING, ClassVar

from rft.exploration.clip_cov import covariance
from rft.exploration.plugin import Plugin, Tokens
from rft.recipe.section import Amount, Inside

if TYPE_CHECKING:
    from torch import Tensor


class KlCov(Plugin):
    """Hold the tokens whose advantage and logprob go together to where they were; clip none.

    cov_t as in clip_cov. On the max(1, int(share * number of tokens)) tokens with the largest,
    loss_t = -A_t * ratio_t + beta * |lp_t - lp_old_t|; on all others -A_t * ratio_t. No ratio is
    clipped.

    arXiv 2505.22617 (Entropy Mechanism, KL-Cov). Defaults: the authors' for 7B models (share 2e-4
    for 32B). They make 8 updates per step.

    Needs old_logps, and a ratio that moves: the penalty has no gradient while the policy is the one
    that sampled. Conflicts with clip_cov, which is for the same tokens, and clip_higher, since
    nothing is clipped.

    Undecided in the literature: what the KL is to. To the policy that sampled, as in the released
    code, not to the reference. Means are over the whole step, as in clip_cov, with the advantage
    before `shape`. Of tokens with the same covariance the first are taken: where all advantages are
    equal, those are arbitrary ones.
    """

    name: ClassVar[str] = "kl_cov"
    arxiv: ClassVar[str] = "2505.22617"
    needs: ClassVar[frozenset[str]] = frozenset({"old_logps", "ratio"})
    conflicts: ClassVar[dict[str, str]] = {
        "clip_cov": "both are for the tokens of high covariance",
        "clip_higher": "kl_cov clips nothing, so its range would count for nothing",
    }

    share: Inside = 2e-3
    """Tokens to hold, as a share of all."""
    beta: Amount = 1.0
    """The weight of the penalty."""

    def columns(self, advantages: "Tensor", tokens: Tokens) -> "dict[str, Tensor]":
        import torch

        cov = covariance(advantages, tokens)
        count = max(1, int(self.share * cov.numel()))
        held = torch.zeros_like(cov)
        # Stable, so that every process picks the same among equals.
        held[cov.argsort(descending=True, stable=True)[:count]] = 1.0
        return {"held": tokens.here(held)}

    def clip(self, _low: float, _high: float, _tokens: Tokens) -> tuple[float, float]:
        return 1e9, 1e9

    def replace(self, advantages: "Tensor", tokens: Tokens) -> "tuple[Tensor, Tensor]":
        penalty = (tokens.logps - tokens.old_logps).abs()
        return tokens.columns["held"].bool(), -advantages * tokens.ratio + self.beta * penalty
