"""reference_reset: the policy becomes its own reference, and the optimizer starts afresh."""

from typing import Any, ClassVar, Self

from pydantic import PrivateAttr, model_validator

from rft.exploration.plugin import Plugin
from rft.recipe.section import Count


class ReferenceReset(Plugin):
    """Make the policy its own reference now and then, and forget the optimizer's state (ProRL).

    reference <- policy; the optimizer's moments <- none. The learning rate's schedule goes on.

    arXiv 2505.24864. There a reset is due when the validation reward stalls, judged by hand in 8
    stages of a training; no period and no formula are given. Hence no default: `every` resets
    after so many steps, `patience` after so many without a new best of the mean training reward
    over the last `window` steps. Later recipes speak of 200 to 500 steps.

    Needs the reference (beta above 0), on one GPU or copied to several (ddp). Conflicts with LoRA,
    whose reference is the model with its adapters off, and with TRL's sync_ref_model, which moves
    the reference too.

    Undecided in the literature: all of the trigger. Here a window is judged once it is full, a
    reset makes the search for a best start anew, and a step in which nothing could be verified is
    not counted towards patience. After a reset a training checkpoint holds the reference too, as
    large as the model.
    """

    name: ClassVar[str] = "reference_reset"
    arxiv: ClassVar[str] = "2505.24864"
    needs: ClassVar[frozenset[str]] = frozenset({"reference"})

    every: Count | None = None
    """Steps between resets."""
    patience: Count | None = None
    """Steps without a new best before a reset."""
    window: Count = 10
    """Steps over which the reward is averaged for patience."""

    _since: int = PrivateAttr(default=0)
    _recent: list[float] = PrivateAttr(default_factory=list)
    _best: float | None = PrivateAttr(default=None)
    _stale: int = PrivateAttr(default=0)
    _resets: int = PrivateAttr(default=0)
    # Held, because a checkpoint is written without the trainer at hand.
    _reference: Any = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _one_trigger(self) -> Self:
        if (self.every is None) == (self.patience is None):
            raise ValueError(
                "give one of every and patience, and not both"
                if self.every
                else "every or patience is missing; give one of the two"
            )
        return self

    def refuse(self, grpo: Any) -> str | None:
        if grpo.lora is not None:
            return (
                "with grpo.lora the reference is the model with its adapters off, which cannot be "
                "reset; remove grpo.lora"
            )
        if grpo.args.get("sync_ref_model"):
            return "grpo.args.sync_ref_model moves the reference too; remove one of the two"
        return None

    def on_step(self, trainer: Any, row: dict[str, Any]) -> None:
        if not self._due(row["reward"]):
            return
        self._since, self._stale, self._best = 0, 0, None
        self._resets += 1
        self._reference = trainer.accelerator.unwrap_model(trainer.ref_model)
        policy = trainer.accelerator.unwrap_model(trainer.model)
        self._reference.load_state_dict(policy.state_dict())
        # Adam makes its moments and its count of steps where it finds none.
        trainer.optimizer.state.clear()
        trainer.say(
            f"step {row['step']}: reset {self._resets}, the reference is the policy as it is now, "
            "and the optimizer starts afresh"
        )

    def _due(self, reward: float | None) -> bool:
        if self.every is not None:
            self._since += 1
            return self._since >= self.every
        assert self.patience is not None
        if reward is None:
            return False
        self._recent = [*self._recent, reward][-self.window :]
        if len(self._recent) < self.window:
            return False
        mean = sum(self._recent) / self.window
        if self._best is None or mean > self._best:
            self._best, self._stale = mean, 0
        else:
            self._stale += 1
        return self._stale >= self.patience

    def state_dict(self) -> dict[str, Any]:
        state = {
            "since": self._since,
            "recent": self._recent,
            "best": self._best,
            "stale": self._stale,
            "resets": self._resets,
        }
        if self._reference is None:
            return state
        return state | {"reference": self._reference.state_dict()}

    def load_state_dict(self, state: dict[str, Any], trainer: Any) -> None:
        self._since = state["since"]
        self._recent = state["recent"]
        self._best = state["best"]
        self._stale = state["stale"]
        self._resets = state["resets"]
        if "reference" in state:
            self._reference = trainer.accelerator.unwrap_model(trainer.ref_model)
            self._reference.load_state_dict(state["reference"])
