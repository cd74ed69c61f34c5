"""NAME: shape online training (say here how, and which paper it is from).

In a recipe:  parts: [NAME.py]  and  grpo: {plugins: {NAME: {power: 1.0}}}
Checked by:   rft check NAME.py  and  python -m pytest NAME_test.py
"""

from typing import TYPE_CHECKING, ClassVar

from rft.exploration.plugin import Batch, Plugin
from rft.recipe.section import Amount

if TYPE_CHECKING:
    from torch import Tensor


# The hooks, in the order of a step, are described at the top of rft/exploration/plugin.py; this one
# has `adjust`, which sees all rollouts of a step at once. Import torch inside functions, if at all:
# a recipe is read without it.
class Mine(Plugin):
    """Weigh answers by how long they are, compared with their group: the short ones count more.

    A'_i = A_i (mean L / L_i)^power, where L_i is the number of tokens of a rollout and mean L the
    mean of those over its group.
    """

    keeps_sign: ClassVar[bool] = True

    power: Amount = 1.0
    """How much the length counts."""

    def adjust(self, advantages: "Tensor", batch: Batch) -> "Tensor":
        lengths = batch.lengths.float().clamp(min=1)
        return advantages * (batch.mean_of_group(lengths) / lengths) ** self.power


PLUGINS = {"NAME": Mine}

# Parameters under which it does something in the first step, which `rft check` looks for.
EXAMPLES = {"NAME": {"power": 1.0}}
