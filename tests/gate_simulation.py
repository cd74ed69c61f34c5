"""Runs of many rounds as numbers alone: models whose true rates are known, and what a gate decides.

The base's rates are drawn from a Beta distribution. Each round changes the mean rate by a known
amount, and each problem's by some more or less; a refused model leaves no trace, as in a run.
"""

from collections.abc import Sequence

import numpy as np

from rft.measuring.adoption import Values, compare
from rft.measuring.pass_at_k import Numbers, pass_at_k
from rft.recipe import Gate

PROBLEMS, ANSWERS = 100, 4
UNEVEN = 0.2  # standard deviation of a problem's own change in log-odds, each round

# What a base may be like: quickstart's (0.29 are solved), all or nothing, and anything alike.
SHAPES = {"quickstart": (0.6, 1.4), "split": (0.45, 0.55), "uniform": (1.0, 1.0)}

# 1.13 points of Pass@1 less in each of six rounds: 6.8 in all.
DRIFT = [-0.0113] * 6


def moved(source: np.random.Generator, rates: Numbers, change: float) -> Numbers:
    """Move rates unevenly, so that their mean changes by the given amount."""
    inside = np.clip(rates, 1e-4, 1 - 1e-4)
    odds = np.log(inside / (1 - inside)) + source.normal(0, UNEVEN, len(rates))
    low, high = -8.0, 8.0
    for _ in range(40):
        middle = (low + high) / 2
        after = 1 / (1 + np.exp(-odds - middle))
        low, high = (middle, high) if after.mean() < rates.mean() + change else (low, middle)
    return after


def measured(source: np.random.Generator, rates: Numbers, gate: Gate) -> Values:
    """Measure a model as the gate's metrics do."""
    right = source.binomial(ANSWERS, rates)
    every = range(ANSWERS + 1)
    return {
        metric: pass_at_k([ANSWERS] * len(every), list(every), k)[right]
        for metric, k in gate.metrics.items()
        if k is not None
    }


def refusals(
    gate: Gate,
    changes: Sequence[float],
    *,
    runs: int,
    seed: int,
    shape: str = "quickstart",
    last_alone: bool = False,
) -> np.ndarray:
    """Say of each run and round whether the gate refused; with the last model alone if asked."""
    source = np.random.default_rng(seed)
    refused = np.zeros((runs, len(changes)), bool)
    for run in range(runs):
        rates = source.beta(*SHAPES[shape], PROBLEMS)
        adopted = {0: measured(source, rates, gate)}
        for round, change in enumerate(changes, start=1):
            after = moved(source, rates, change)
            new = measured(source, after, gate)
            known = {max(adopted): adopted[max(adopted)]} if last_alone else adopted
            made = compare(known, new, gate, seed=1000 * run + round)
            refused[run, round - 1] = any(each.refuses for each in made)
            if not refused[run, round - 1]:
                adopted[round], rates = new, after
    return refused
