"""psr: learn from right answers alone."""

from typing import TYPE_CHECKING, ClassVar

from rft.exploration.plugin import Batch, Plugin

if TYPE_CHECKING:
    from torch import Tensor


class Psr(Plugin):
    """Learn from right answers alone, each with the same praise (positive sample reinforcement).

    A = 1 for a right answer, 0 for a wrong one. No baseline of the group, no deviation.

    arXiv 2506.01347, which has it as the counterpart of nsr: Pass@1 rises and diversity is lost. It
    has no parameters.

    Needs verdicts. Conflicts with nsr, w_reinforce and pass_at_k, since each is the advantage, and
    with entropy_gate, which finds nothing to mute.

    Undecided in the literature: as for nsr, what is not learnt from stays in the batch with A = 0
    and counts in the loss's denominator. What could not be verified has A = 0 as well.
    """

    name: ClassVar[str] = "psr"
    arxiv: ClassVar[str] = "2506.01347"
    needs: ClassVar[frozenset[str]] = frozenset({"verdicts"})
    owns_advantage: ClassVar[bool] = True

    def advantage(self, batch: Batch) -> "Tensor":
        return 1.0 * batch.correct.eq(1)
