"""nsr: learn from wrong answers alone."""

from typing import TYPE_CHECKING, ClassVar

from rft.exploration.plugin import Batch, Plugin

if TYPE_CHECKING:
    from torch import Tensor


class Nsr(Plugin):
    """Learn from wrong answers alone, each with the same blame (negative sample reinforcement).

    A = -1 for a wrong answer, 0 for a right one. No baseline of the group, no deviation.

    arXiv 2506.01347, which trains with batches of 1024 cut into 256, n 8, and no KL. It has no
    parameters.

    Needs verdicts. Conflicts with psr, w_reinforce and pass_at_k, since each is the advantage, and
    with entropy_gate, which could mute all that it learns from.

    Undecided in the literature: "keep only the wrong samples" can mean that the others leave the
    batch. Here they stay with A = 0, as in the released code, and count in the loss's denominator:
    the fewer wrong answers, the smaller the step. What could not be verified has A = 0 as well.
    """

    name: ClassVar[str] = "nsr"
    arxiv: ClassVar[str] = "2506.01347"
    needs: ClassVar[frozenset[str]] = frozenset({"verdicts"})
    owns_advantage: ClassVar[bool] = True

    def advantage(self, batch: Batch) -> "Tensor":
        return -1.0 * batch.correct.eq(0)
