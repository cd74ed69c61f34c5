"""position_advantage: a push along the advantage's sign that depends on where a token stands."""

from typing import TYPE_CHECKING, ClassVar, Literal

from rft.exploration.plugin import Plugin, Tokens
from rft.recipe.section import Amount, Count, Number, Steps

if TYPE_CHECKING:
    from torch import Tensor


class PositionAdvantage(Plugin):
    """Push the advantages of late tokens (or of early ones) further along their sign.

    A'_t = A_t + sign(A_t) * b_t, b_t = gamma * sigmoid(d * m * (l_t - n)), l_t = (t - 1) / L, and
    b_t at most cap * |A_t|.

    arXiv 2508.07534, equations 8 and 12. Defaults: the released scripts', active in steps 201 to
    300, where the paper's runs had stopped to improve; choose start and steps for yours. Its
    results are mixed (AIME24 21.3 -> 20.0 on the 7B model, up elsewhere), and gamma: 1 raised
    entropy fast.

    Needs nothing, conflicts with nothing. A = 0 stays 0.

    Undecided in the literature: the paper prints n = -0.5, with which the sigmoid is above 0.999
    everywhere, a constant; the released code has +0.5, and so have we. The cap is in the code
    only; null is the paper.
    """

    name: ClassVar[str] = "position_advantage"
    arxiv: ClassVar[str] = "2508.07534"
    keeps_sign: ClassVar[bool] = True

    start: Steps = 200
    """Steps before it becomes active."""
    steps: Count | None = 100
    """Steps that it is active for; null is until the end."""
    gamma: Amount = 0.1
    """The largest push."""
    d: Literal[1, -1] = 1
    """1 pushes late tokens, -1 early ones."""
    m: Amount = 15.0
    """How sharply late and early are told apart."""
    n: Number = 0.5
    """The share of the rollout at which half of the push is reached."""
    cap: Amount | None = 0.5
    """The push is at most this share of |A|; null is no cap."""

    def shape(self, advantages: "Tensor", tokens: Tokens) -> "Tensor":
        push = self.gamma * (self.d * self.m * (tokens.position - self.n)).sigmoid()
        if self.cap is not None:
            push = push.minimum(self.cap * advantages.abs())
        return advantages + advantages.sign() * push
