"""What a preset is: a method that TRL has, as a name for its options."""

from typing import Self

from pydantic import model_validator

from rft.exploration.plugin import Plugin


class Preset(Plugin):
    """Set options of TRL, for the whole training."""

    @model_validator(mode="after")
    def _is_for_the_whole_training(self) -> Self:
        if self.start or self.steps is not None:
            raise ValueError(
                f"start is {self.start} and steps is {self.steps}, but it is an option of TRL, "
                "which holds for the whole training; remove them"
            )
        return self
