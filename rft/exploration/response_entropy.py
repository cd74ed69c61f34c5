"""response_entropy: less weight on answers that the policy was unsure of."""

from typing import TYPE_CHECKING, ClassVar

from rft.exploration.plugin import Batch, Plugin

if TYPE_CHECKING:
    from torch import Tensor


class ResponseEntropy(Plugin):
    """Weigh answers that the policy was surer of more, compared with the group (ETTRL's EAR).

    A'_i = A_i * Y_i, Y_i = 1 + (mean H - H_i) / mean H, where H_i is the mean entropy of a
    rollout's tokens and mean H the mean of those over the group.

    arXiv 2508.11356. It has no parameters; the paper offers clipping A as the alternative, which we
    lack. There the rewards are votes without labels; here they are verdicts, like everywhere.

    Needs entropies. Conflicts with entropy_advantage, which does the opposite.

    Undecided in the literature: an answer with more than twice the group's mean entropy gets a
    negative factor, so that a right one is unlearnt; the paper does not forbid it, nor do we. Where
    H_i is unknown, or the group's mean is 0, the factor is 1.
    """

    name: ClassVar[str] = "response_entropy"
    arxiv: ClassVar[str] = "2508.11356"
    needs: ClassVar[frozenset[str]] = frozenset({"entropies"})
    conflicts: ClassVar[dict[str, str]] = {
        "entropy_advantage": "one takes from uncertain answers what the other gives their tokens",
    }

    def adjust(self, advantages: "Tensor", batch: Batch) -> "Tensor":
        assert batch.entropy is not None
        mean = batch.mean_of_group(batch.entropy)
        known = mean.gt(0) & ~batch.entropy.isnan()
        factor = 1 + (mean - batch.entropy) / mean
        return advantages * factor.masked_fill(~known, 1.0)
