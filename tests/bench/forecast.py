"""How often a round lies in the interval that probes of other problems gave (make bench-forecast).

Problems, probes and rounds are simulated: rates are drawn by a shape, hard problems have longer
answers, and the round is sampled wave after wave as the run does it. 95% is aimed at.
"""

import sys

import numpy as np

from rft.estimates.solving import Probed, courses
from rft.recipe import Until

UNTIL = Until(accepted=4, max=64, wave=4)
LONGEST, PROBLEMS = 2000, 128
# Name -> how rates are drawn.
SHAPES = {
    "0.07": lambda source, count: source.beta(0.3, 4, count),
    "0.13": lambda source, count: source.beta(0.3, 2, count),
    "most never": lambda source, count: np.where(source.random(count) < 0.85, 0.0, 0.95),
    "any": lambda source, count: source.beta(1, 1, count),
    "0.9": lambda source, count: source.beta(4.5, 0.5, count),
}


def answered(source, rate, count):
    """Draw whether answers are accepted, and their lengths: hard problems have longer ones."""
    mean = 200 * np.exp(0.9 * (1 - rate)) * source.lognormal(-0.08, 0.4, len(rate))
    length = mean[:, None] * source.lognormal(-0.125, 0.5, (len(rate), count))
    return source.random((len(rate), count)) < rate[:, None], np.minimum(length, LONGEST)


def sampled(source, rate, until, n):
    """Sample problems for real, wave after wave: rollouts, tokens and accepted."""
    accepted, length = answered(source, rate, until.max if until else n)
    drawn = np.full(len(rate), accepted.shape[1])
    if until:
        for end in reversed(range(until.wave, until.max, until.wave)):
            drawn[accepted[:, :end].sum(axis=1) >= until.accepted] = end
    there = np.arange(accepted.shape[1]) < drawn[:, None]
    return drawn.sum(), (length * there).sum(), (accepted & there).sum()


def covered(draw, until, *, probed, each, times):
    """Count how often a round of problems lies in the interval that probes of others gave."""
    source, inside = np.random.default_rng(0), np.zeros(3)
    course = courses(until, 8, None)
    for _ in range(times):
        accepted, length = answered(source, draw(source, probed), each)
        spent = Probed(accepted.tolist(), list(length.mean(axis=1))).spend(
            course, problems=PROBLEMS, longest=LONGEST
        )
        actual = sampled(source, draw(source, PROBLEMS), until, 8)
        ranges = (spent.rollouts, spent.tokens, spent.accepted)
        inside += [at.low <= value <= at.high for at, value in zip(ranges, actual, strict=True)]
    return inside / times


def main(times: int) -> None:
    """Print the coverage of each shape, for waves and for a fixed number."""
    print(f"{'sampling':10} {'probes':8} {'rates':12} rollouts  tokens  accepted")
    for until, probed, each in ((UNTIL, 16, 4), (None, 64, 1)):
        for shape, draw in SHAPES.items():
            inside = covered(draw, until, probed=probed, each=each, times=times)
            shares = "  ".join(f"{share:8.3f}" for share in inside)
            print(f"{'until' if until else 'n: 8':10} {probed} x {each:<3} {shape:12} {shares}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
