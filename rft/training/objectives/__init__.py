"""What fine-tuning minimises, by name: objectives of the literature, one file each."""

from rft.training.objectives.dft import Dft
from rft.training.objectives.eaft import Eaft
from rft.training.objectives.gem import Gem
from rft.training.objectives.nll import Nll
from rft.training.objectives.objective import Objective

OBJECTIVES: dict[str, type[Objective]] = {
    "nll": Nll,
    "dft": Dft,
    "gem": Gem,
    "eaft": Eaft,
}
