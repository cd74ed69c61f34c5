"""A share of so many, with its 95% interval."""

import math

from rft.measuring.pass_at_k import Interval

Z = 1.959963984540054


def share_of(count: int, of: int) -> Interval:
    """Give a share with its Wilson interval, which holds at 0 and at 1 too."""
    assert 0 <= count <= of, "more counted than there are"
    assert of, "no share of nothing"
    rate = count / of
    centre = (rate + Z**2 / (2 * of)) / (1 + Z**2 / of)
    half = Z * math.sqrt(rate * (1 - rate) / of + Z**2 / (4 * of**2)) / (1 + Z**2 / of)
    # At the ends the formula misses 0 and 1 by rounding.
    low, high = (0.0 if not count else centre - half), (1.0 if count == of else centre + half)
    return Interval(rate, low, high)
