"""Student's t distribution: how much lies beyond a t, and beyond which t a given share lies.

Both tails together are the regularised incomplete beta function I_x(df/2, 1/2) at
x = df / (df + t^2), here by its continued fraction (DLMF 8.17.22; Lentz's method).
"""

import math
from functools import lru_cache

STEPS = 1000
SMALL = 1e-300


def tails(t: float, df: float) -> float:
    """Give the chance that a t is at least as far from 0 as this one, on either side."""
    if t == 0:
        return 1.0
    x, y = df / (df + t * t), t * t / (df + t * t)
    a, b = df / 2, 0.5
    log = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y)
    # The fraction converges fast on its own side alone; the other side is the rest.
    if x < (a + 1) / (a + b + 2):
        return math.exp(log) * _fraction(a, b, x) / a
    return 1 - math.exp(log) * _fraction(b, a, y) / b


@lru_cache(10_000)
def reach(level: float, df: float) -> float:
    """Give the t beyond which, on both sides together, lies just this share of cases."""
    assert 0 < level < 1, "a share of cases between none and all"
    low, high = 0.0, 1.0
    while tails(high, df) > level:
        low, high = high, 2 * high
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if tails(middle, df) > level else (low, middle)
    return high


def _fraction(a: float, b: float, x: float) -> float:
    above, below = 1.0, 1 / _held(1 - (a + b) * x / (a + 1))
    value = below
    for m in range(1, STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            below = 1 / _held(1 + term * below)
            above = _held(1 + term / above)
            value *= above * below
        if abs(above * below - 1) < 1e-15:
            break
    return value


def _held(value: float) -> float:
    """Keep a divisor away from 0."""
    return value if abs(value) > SMALL else SMALL
