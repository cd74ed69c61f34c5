"""w_reinforce: learn from wrong answers, and a little from right ones."""

from typing import TYPE_CHECKING, ClassVar

from rft.exploration.plugin import Batch, Plugin
from rft.recipe.section import Amount

if TYPE_CHECKING:
    from torch import Tensor


class WReinforce(Plugin):
    """Learn from wrong answers in full and from right ones a little (weighted REINFORCE).

    A = right for a right answer (the paper's lambda), -1 for a wrong one. No baseline of the group,
    no deviation.

    arXiv 2506.01347; default: the paper's 0.1. With 0 it would be nsr. Groups that are all right or
    all wrong teach something here, unlike in GRPO.

    Needs verdicts. Conflicts with nsr, psr and pass_at_k, since each is the advantage.

    Undecided in the literature: nothing; every verified answer is learnt from. What could not be
    verified has A = 0.
    """

    name: ClassVar[str] = "w_reinforce"
    arxiv: ClassVar[str] = "2506.01347"
    needs: ClassVar[frozenset[str]] = frozenset({"verdicts"})
    owns_advantage: ClassVar[bool] = True

    right: Amount = 0.1
    """The advantage of a right answer."""

    def advantage(self, batch: Batch) -> "Tensor":
        return self.right * batch.correct.eq(1) - 1.0 * batch.correct.eq(0)
