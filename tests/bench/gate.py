"""What the gate sees and what it refuses wrongly, in simulated runs (make bench-gate)."""

import sys

import numpy as np

from rft.measuring.power import power, told_power
from rft.recipe import Gate
from tests.gate_simulation import ANSWERS, DRIFT, PROBLEMS, SHAPES, refusals

RUNS = 500
SCENARIOS = {
    "six losses of 1.13": DRIFT,
    "15 gained, then six losses of 1.13": [0.15, *DRIFT],
    "six times no change": [0.0] * 6,
    "twelve times no change": [0.0] * 12,
    "15 gained, then five times no change": [0.15] + [0.0] * 5,
    "six gains of 1": [0.01] * 6,
}
GATES = {
    "before: the last alone, 2.5%": (Gate(level=0.025), True),
    "pass@1": (Gate(), False),
    "[pass@1, pass@4]": (Gate(metric=("pass@1", "pass@4")), False),
}


def main(runs: int) -> None:
    """Print, for each gate, base and course of a run, how often it refuses."""
    print(f"{runs} runs each; share of runs with a refusal, with two in a row; of all decisions")
    for name, (gate, last_alone) in GATES.items():
        for shape in SHAPES:
            for course, changes in SCENARIOS.items():
                refused = refusals(
                    gate, changes, runs=runs, seed=0, shape=shape, last_alone=last_alone
                )
                twice = (refused[:, 1:] & refused[:, :-1]).any(1).mean()
                any_run, each = refused.any(1).mean(), refused.mean()
                print(f"{name:30}{shape:12}{course:38}{any_run:.3f} {twice:.3f} {each:.3f}")
    source = np.random.default_rng(0)
    for shape, (a, b) in SHAPES.items():
        right = source.binomial(ANSWERS, source.beta(a, b, PROBLEMS))
        shares = power(right, ANSWERS, GATES["[pass@1, pass@4]"][0], seed=0)
        print("\n".join(f"{shape:12}{line}" for line in told_power(shares, PROBLEMS, ANSWERS)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)
