"""What an exploration plug-in is: one method of the literature, as hooks on TRL's GRPO.

In the order of a step:

    reward    (N,)    every rollout of the step, all processes together       a chain
    advantage (N,)    in place of GRPO's                                       one owner at most
    adjust    (N,)    before the rollouts are shuffled and split               a chain
    columns   (B, T)  what needs the whole step, and travels with its rows     one each
    shape     (B, T)  in the loss, with the current policy's statistics        a chain
    weight    (B, T)  >= 0, on the policy loss of a token                      multiplied
    clip              the range of the ratio                                   a chain
    replace, extra    a loss of its own on some tokens; an added term          added up
    on_step           after the step: controllers, the reference

The clipped surrogate is positively homogeneous in the advantage, so a weight on a token's policy
loss is exactly an advantage times that weight. TRL computes the loss; nothing of it is copied.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict

from rft.recipe.section import Count, Section, Steps

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class Batch:
    """The rollouts of one step, all processes together, group after group.

    What is not known is NaN: the reward of an answer that could not be verified, the statistics of
    a rollout that has no token to learn from.
    """

    n: int
    """Rollouts in a group."""
    rewards: "Tensor"
    correct: "Tensor"
    """1 where the answer is right, 0 where it is not."""
    lengths: "Tensor"
    """Tokens that are learnt from."""
    nll: "Tensor | None" = None
    """Mean negative logprob of a rollout's tokens; for plug-ins that need `old_logps`."""
    entropy: "Tensor | None" = None
    """Mean entropy of the policy at a rollout's tokens; for plug-ins that need `entropies`."""

    def mean_of_group(self, values: "Tensor") -> "Tensor":
        """Give each rollout the mean over what is known of its group."""
        return values.view(-1, self.n).nanmean(1).repeat_interleave(self.n)


@dataclass(frozen=True)
class Tokens:
    """Rows of this process with their tokens, (B, T) each; padding is where the mask is 0.

    In `columns` these are all rows of the step, and `logps` are the policy's that sampled them. In
    the loss they are one micro-batch, where no mean, quantile or extreme may be taken: it holds
    parts of groups.
    """

    mask: "Tensor"
    logps: "Tensor"
    """Of the policy as it is now; with a gradient in the loss."""
    old_logps: "Tensor"
    """Of the policy that sampled."""
    entropies: "Tensor"
    """Detached, in nats, at the sampling temperature; of the policy as it is now."""
    columns: Mapping[str, "Tensor"]
    """What the plug-in's `columns` gave, by name."""
    everywhere: Callable[["Tensor"], "Tensor"]
    """From (B, T) to the values at the tokens of all processes, one after the other."""
    here: Callable[["Tensor"], "Tensor"]
    """The way back: from one value per token of all processes to (B, T), zero on padding."""
    generator: Callable[[str], "Generator"]
    """A source of random numbers for a name, which depends on the run's seed and the step."""

    @property
    def ratio(self) -> "Tensor":
        """Give pi / pi_old, with its gradient."""
        return (self.logps - self.old_logps).exp()

    @property
    def position(self) -> "Tensor":
        """Give (t - 1) / L of token t in a rollout of L tokens."""
        count = self.mask.cumsum(1)
        return (count - 1).clamp(min=0) / self.mask.sum(1, keepdim=True).clamp(min=1)


class Plugin(Section):
    """One method, with its parameters; every hook is optional."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: ClassVar[str]
    arxiv: ClassVar[str] = ""
    """The paper's number; empty for a method of your own."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Of `old_logps` and `entropies` (a pass over the rollouts before training, by the policy that
    sampled them), `ratio` (nothing happens while the policy is the one that sampled), `reference`
    (beta above 0), `verdicts` (it reads right and wrong, and no other part of the reward).
    """
    conflicts: ClassVar[Mapping[str, str]] = {}
    """Other plug-ins -> why both together make no sense."""
    owns_advantage: ClassVar[bool] = False
    keeps_sign: ClassVar[bool] = False
    """Whether no advantage changes its sign, nor leaves zero."""

    by_micro_batch: ClassVar[bool] = False
    """Whether TRL averages over a micro-batch, so that its size is part of the method."""

    start: Steps = 0
    """Steps before it becomes active."""
    steps: Count | None = None
    """Steps that it is active for; null is until the end."""

    def active(self, step: int) -> bool:
        """Say whether it takes part in a step; the first step is 1."""
        return self.start < step and (self.steps is None or step <= self.start + self.steps)

    def options(self) -> dict[str, Any]:
        """Give the keys of TRL's GRPOConfig that are the method, where TRL has it."""
        return {}

    def refuse(self, _grpo: Any) -> str | None:
        """Say why it would do nothing, or harm, with these settings of `grpo`."""
        return None

    # Hooks. One that a method lacks is None, so that nothing is computed for it.

    reward: ClassVar[Any] = None
    """(rewards, batch) -> rewards"""
    advantage: ClassVar[Any] = None
    """(batch) -> advantages"""
    adjust: ClassVar[Any] = None
    """(advantages, batch) -> advantages"""
    columns: ClassVar[Any] = None
    """(advantages, tokens) -> {name: (B, T)}"""
    shape: ClassVar[Any] = None
    """(advantages, tokens) -> advantages"""
    weight: ClassVar[Any] = None
    """(tokens) -> weights"""
    clip: ClassVar[Any] = None
    """(low, high, tokens) -> (low, high)"""
    replace: ClassVar[Any] = None
    """(advantages, tokens) -> (mask, loss): the loss of the tokens in the mask, in TRL's place"""
    extra: ClassVar[Any] = None
    """(advantages, tokens) -> loss per token, added"""
    on_step: ClassVar[Any] = None
    """(trainer, row) -> None, with the step's row of dynamics"""

    def state_dict(self) -> dict[str, Any]:
        """Give what a resumed training needs."""
        return {}

    def load_state_dict(self, state: dict[str, Any], trainer: Any) -> None:
        """Go on from there."""
