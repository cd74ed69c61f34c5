"""Exploration plug-ins by name: methods of the literature for training online, one file each."""

from rft.exploration.clip_cov import ClipCov
from rft.exploration.clip_higher import ClipHigher
from rft.exploration.entropy_advantage import EntropyAdvantage
from rft.exploration.entropy_bonus import EntropyBonus
from rft.exploration.entropy_gate import EntropyGate
from rft.exploration.entropy_target import EntropyTarget
from rft.exploration.high_entropy_tokens import HighEntropyTokens
from rft.exploration.kl_cov import KlCov
from rft.exploration.nsr import Nsr
from rft.exploration.overlong_mask import OverlongMask
from rft.exploration.pass_at_k import PassAtK
from rft.exploration.perplexity_advantage import PerplexityAdvantage
from rft.exploration.plugin import Plugin
from rft.exploration.position_advantage import PositionAdvantage
from rft.exploration.psr import Psr
from rft.exploration.reference_reset import ReferenceReset
from rft.exploration.response_entropy import ResponseEntropy
from rft.exploration.steer import Steer
from rft.exploration.token_level_loss import TokenLevelLoss
from rft.exploration.w_reinforce import WReinforce

PLUGINS: dict[str, type[Plugin]] = {
    # Advantages are shaped ...
    "entropy_advantage": EntropyAdvantage,
    "perplexity_advantage": PerplexityAdvantage,
    "position_advantage": PositionAdvantage,
    "response_entropy": ResponseEntropy,
    # ... or replaced.
    "nsr": Nsr,
    "psr": Psr,
    "w_reinforce": WReinforce,
    "pass_at_k": PassAtK,
    # Some tokens are treated differently.
    "clip_cov": ClipCov,
    "kl_cov": KlCov,
    "steer": Steer,
    # Something is watched, and acted on.
    "entropy_gate": EntropyGate,
    "reference_reset": ReferenceReset,
    # TRL has it.
    "clip_higher": ClipHigher,
    "high_entropy_tokens": HighEntropyTokens,
    "token_level_loss": TokenLevelLoss,
    "overlong_mask": OverlongMask,
    "entropy_bonus": EntropyBonus,
    "entropy_target": EntropyTarget,
}
