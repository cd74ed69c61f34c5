"""perplexity_advantage: more trust in answers that the policy found likely."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field, model_validator

from rft.exploration.plugin import Batch, Plugin
from rft.recipe.section import Amount

if TYPE_CHECKING:
    from torch import Tensor


class PerplexityAdvantage(Plugin):
    """Weigh answers of low perplexity more, compared with the others to the same problem.

    A'_i = A_i * (1 - alpha * w_i), w_i = (NLL_i - mean) / deviation over the group, where NLL_i is
    the mean negative logprob of a rollout's tokens by the policy that sampled it, and the deviation
    is the population's (1 where it is below 1e-6).

    arXiv 2508.07534, equations 7 and 11. Expect little: with alpha 0.01 and |w| of 1 to 2 an
    advantage changes by 1 to 2 %. Default: the paper's alpha, for the whole training.

    Needs old_logps. Conflicts with nothing. A sign stays as long as alpha * w is below 1; that
    holds for every group of n when alpha < 1 / sqrt(n - 1), and always with a clamp.

    Undecided in the literature: the released code computes this weight and never applies it (its
    other branch, for high perplexity, it does apply), drops outliers from mean and deviation, and
    clamps the factor to [0.8, 1.2]. We do what the paper writes; the clamp is an option. A rollout
    whose NLL is unknown keeps its advantage.
    """

    name: ClassVar[str] = "perplexity_advantage"
    arxiv: ClassVar[str] = "2508.07534"
    needs: ClassVar[frozenset[str]] = frozenset({"old_logps"})

    alpha: Amount = 0.01
    """What a deviation of NLL takes from the advantage, as a share."""
    clamp: Annotated[tuple[Amount, Amount], Field(strict=False)] | None = None
    """The factor's least and largest value; null is the paper, the released code has 0.8, 1.2."""

    @model_validator(mode="after")
    def _clamp_is_a_range(self) -> Self:
        if self.clamp and self.clamp[0] >= self.clamp[1]:
            raise ValueError(f"clamp is {list(self.clamp)}; give the smaller number first")
        return self

    def adjust(self, advantages: "Tensor", batch: Batch) -> "Tensor":
        assert batch.nll is not None
        apart = batch.nll - batch.mean_of_group(batch.nll)
        deviation = batch.mean_of_group(apart.square()).sqrt()
        w = apart / deviation.masked_fill(deviation <= 1e-6, 1.0)
        factor = 1 - self.alpha * w.nan_to_num(nan=0.0)
        if self.clamp:
            factor = factor.clamp(*self.clamp)
        return advantages * factor
