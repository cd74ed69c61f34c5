"""overlong_mask: no learning from answers that were cut off."""

from typing import Any, ClassVar

from rft.exploration.preset import Preset


class OverlongMask(Preset):
    """Leave answers that were cut at the length limit out of the loss.

    The tokens of a truncated completion are masked; its reward still counts in its group. TRL's
    mask_truncated_completions.

    arXiv 2503.14476 (DAPO, overlong filtering). It has no parameters.

    Needs nothing, conflicts with nothing. grpo.reward.length, DAPO's soft penalty, can be used
    beside it for answers that end just before the limit.

    Undecided in the literature: whether such an answer leaves the group's baseline too; in TRL it
    does not.
    """

    name: ClassVar[str] = "overlong_mask"
    arxiv: ClassVar[str] = "2503.14476"

    def options(self) -> dict[str, Any]:
        return {"mask_truncated_completions": True}
