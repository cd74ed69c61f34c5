"""The top-k estimates against the exact statistics of the whole distribution.

Run: python -m pytest tests/token_stats/test_topk.py
"""

import numpy as np
import pytest

from rft.token_stats.topk import topk_statistics


def exact(logp, mass):
    p = np.sort(np.exp(logp))[::-1]
    entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
    return entropy, int((np.cumsum(p) < mass).sum()) + 1


def distributions(count, size):
    rng = np.random.default_rng(0)
    for _ in range(count):
        logits = rng.normal(0, rng.choice([0.01, 0.5, 1, 2, 4, 8]), size)
        yield logits - np.logaddexp.reduce(logits), int(rng.integers(size))


@pytest.mark.parametrize(("size", "top"), [(30, 1), (30, 5), (512, 20), (4096, 20), (30, 30)])
@pytest.mark.parametrize("mass", [0.5, 0.95, 0.999])
def test_estimates_are_the_exact_values_or_below_and_above_naive_bounds(size, top, mass):
    reached = 0
    for logp, chosen in distributions(200, size):
        ids = {*np.argsort(-logp)[:top].tolist(), chosen}
        listed = [float(np.float32(logp[i])) for i in ids]
        entropy, branching = topk_statistics(listed, top=top, mass=mass, vocabulary=size)
        full_entropy, full_branching = exact(logp, mass)
        assert entropy <= full_entropy + 1e-5
        p = np.exp(listed)
        rest = max(0.0, 1 - p.sum())
        naive = -(p * np.log(p)).sum() - (rest * np.log(rest) if rest > 0 else 0)
        assert entropy >= naive - 1e-5
        if rest < 1e-4:
            assert entropy == pytest.approx(full_entropy, abs=3e-3)
        if np.sort(np.exp(logp))[::-1][:top].sum() >= mass + 1e-6:
            reached += 1
            assert branching == full_branching
        else:
            assert top < branching <= full_branching + 1e-9
        if top == size:
            assert entropy == pytest.approx(full_entropy, abs=1e-5)
    assert reached or (top == 1 and mass == 0.999) or size == 4096


def test_estimates_are_the_least_that_the_top_allows():
    """Where the rest is as concentrated as it may be, they are exact."""
    for largest in (0.1, 0.07, 0.02, 0.004):
        head = [0.4, 0.1, largest]
        rest = 1 - sum(head)
        whole = int(rest / largest + 1e-9)
        remains = rest - whole * largest
        everything = [*head, *[largest] * whole, *[remains] * (remains > 1e-9)]
        assert sum(everything) == pytest.approx(1)
        entropy, branching = topk_statistics(
            np.log(head).tolist(), top=3, mass=0.953, vocabulary=len(everything)
        )
        full_entropy, full_branching = exact(np.log(everything), 0.953)
        assert entropy == pytest.approx(full_entropy, abs=1e-9)
        assert branching == full_branching


def test_what_is_no_distribution_has_no_estimate():
    def estimate(listed, top=3):
        return topk_statistics(listed, top=top, mass=0.95, vocabulary=100)

    assert estimate([]) is None
    assert estimate([-0.1, -0.1, -0.1]) is None
    assert estimate([-1.0, -2.0]) is None, "fewer than asked for, and mass is missing"
    assert estimate([-1e-9, -30.0]) is not None, "fewer, and all mass is there"
    assert estimate([0.5, -1.0, -2.0]) is None
    for bad in (float("nan"), float("-inf"), None, "x", True, [1]):
        assert estimate([-1.0, -2.0, bad]) is None
    assert estimate([-0.1, -9999.0, -9999.0]) == (pytest.approx(0.3146, abs=1e-3), 3)
    assert estimate([-1.0, -2.0, -700.0])[1] == 100, "never above the vocabulary"
