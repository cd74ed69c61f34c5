"""gem: take probability from the likeliest other tokens only, and stop where there is no need."""

from typing import TYPE_CHECKING, ClassVar

from rft.recipe.section import Inside
from rft.training.objectives.objective import Objective

if TYPE_CHECKING:
    from torch import Tensor


class Gem(Objective):
    """Match a sharpened policy to the data: reverse KL with entropy, in place of likelihood.

    L = sum_v sg(q(v)) (log p(v) - log p(y)), q = softmax(z / beta) of the policy's own logits z,
    where sg lets no gradient through. Its gradient by z(v) is q(v) - [v = y]: plain fine-tuning
    with a sharper softmax in it, which takes little from tokens that are unlikely already, and
    fades out once y is the likeliest by far. beta near 1 is nearly plain fine-tuning.

    arXiv 2408.16673; default: the 0.7 of the released code (liziniu/GEM). Checked against that code
    with h = linear, its default. Its training scripts set h = logsigmoid, which weighs each v with
    sigmoid((z(v) - z(y)) / 100), about 1/2; the code calls the difference usually negligible.

    The logits are never held: with nll and H of softmax(z / beta), L = beta (nll - sg(H)).
    """

    name: ClassVar[str] = "gem"
    arxiv: ClassVar[str] = "2408.16673"

    beta: Inside = 0.7
    """The temperature of the sharpened policy; lower keeps more diversity."""

    @property
    def temperature(self) -> float:
        return self.beta

    def loss(self, logps: "Tensor", entropies: "Tensor") -> "Tensor":
        return -self.beta * (logps + entropies)
