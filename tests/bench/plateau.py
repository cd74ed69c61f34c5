"""How long a run that gains a known amount a round goes on, until `stop.plateau` ends it."""

import sys

import numpy as np

from rft.ending.plateau import LEVEL
from rft.measuring.joint_intervals import joint_intervals
from rft.recipe import Gate
from tests.gate_simulation import ANSWERS, SHAPES, measured, moved

RUNS = 200
SIZES = (100, 500)  # dev problems
MOST = 10  # rounds that a run is asked for
GAINS = (0.0, 0.01, 0.02, 0.03, 0.05)
LOOKS = (1, 2, 3)


def rounds_made(gain: float, look: int, *, problems: int, metric: str, seed: int) -> int:
    """Give after how many rounds a plateau ends a run, MOST at most."""
    source = np.random.default_rng(seed)
    rates = source.beta(*SHAPES["quickstart"], problems)
    gate = Gate(metric=metric)
    models = [measured(source, rates, gate)[metric]]
    for round in range(1, MOST + 1):
        rates = moved(source, rates, gain)
        models.append(measured(source, rates, gate)[metric])
        if round >= look:
            changes = np.array(models[-look:]) - models[-look - 1]
            intervals = joint_intervals(changes, level=LEVEL, seed=seed + round)
            if not any(each.low > 0 for each in intervals):
                return round
    return MOST


def main(runs: int) -> None:
    """Print, for each dev split, metric, gain a round and `plateau.rounds`, how many were made."""
    print(f"{runs} runs each, of at most {MOST} rounds: rounds made in the mean")
    print(f"{'dev':10}{'metric':8}{'points':8}" + "".join(f"rounds: {look}   " for look in LOOKS))
    for problems in SIZES:
        for metric in ("pass@1", "pass@4"):
            for gain in GAINS:
                given = {"problems": problems, "metric": metric}
                means = [
                    np.mean([rounds_made(gain, look, **given, seed=seed) for seed in range(runs)])
                    for look in LOOKS
                ]
                row = "".join(f"{mean:<12.1f}" for mean in means)
                print(f"{problems} x {ANSWERS:<4}{metric:8}{100 * gain:<8g}{row}".rstrip())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)
