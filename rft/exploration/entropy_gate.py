"""entropy_gate: wrong answers are muted while the entropy is too high."""

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import PrivateAttr, model_validator

from rft.exploration.plugin import Batch, Plugin
from rft.recipe.section import Amount

if TYPE_CHECKING:
    from torch import Tensor


class EntropyGate(Plugin):
    """Mute negative advantages from when the entropy rises above a bound until it is below one.

    H = mean entropy of the step's tokens. Once H > high, every A < 0 becomes 0, until H < low.

    arXiv 2512.12967 (QwenLong-L1.5's "AEPO", a name that other methods have too). The paper does
    not give its bounds, so they have no defaults: look at the entropy of a run without it.

    Needs entropies. Conflicts with nsr (all would be muted, and as nothing is learnt the entropy
    never falls) and psr (there is nothing to mute).

    Undecided in the literature: the paper also mutes only the rollouts, or tokens, of high entropy;
    this is the form in which it mutes all. The step that shows H > high is muted already. A rollout
    whose entropy is unknown does not count; if all are, the state stays.
    """

    name: ClassVar[str] = "entropy_gate"
    arxiv: ClassVar[str] = "2512.12967"
    needs: ClassVar[frozenset[str]] = frozenset({"entropies"})
    conflicts: ClassVar[dict[str, str]] = {
        "nsr": "with wrong answers muted nothing is learnt, and the entropy would never fall",
        "psr": "no advantage is negative, so there is nothing to mute",
    }

    high: Amount
    """Above this entropy, in nats, wrong answers are muted."""
    low: Amount
    """Below this one they are heard again."""

    _muted: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def _bounds_are_apart(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}; low has to be below")
        return self

    def adjust(self, advantages: "Tensor", batch: Batch) -> "Tensor":
        assert batch.entropy is not None
        known = ~batch.entropy.isnan()
        count = batch.lengths[known].sum()
        if count > 0:
            entropy = float((batch.entropy * batch.lengths)[known].sum() / count)
            self._muted = entropy > self.high or (self._muted and entropy >= self.low)
        return advantages.clamp(min=0) if self._muted else advantages

    def state_dict(self) -> dict[str, Any]:
        return {"muted": self._muted}

    def load_state_dict(self, state: dict[str, Any], _trainer: Any) -> None:
        self._muted = state["muted"]
