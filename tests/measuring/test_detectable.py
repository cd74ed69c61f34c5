"""Pins which difference a comparison shows against comparisons of arms that really differ."""

import numpy as np
import pytest

from rft.measuring.detectable import assumed_counts, detectable, spread_at
from rft.measuring.pass_at_k import pass_at_k
from rft.measuring.power import fallen
from rft.measuring.two_level import crossed_intervals

TRIALS = 100


def share_shown(
    difference: float,
    *,
    problems: int,
    n: int,
    k: int,
    seeds: int,
    comparisons: int,
    shape: tuple[float, float] = (0.6, 1.4),
) -> float:
    """Compare arms of which the first is worse by so much on average: how often it shows."""
    source, shown = np.random.default_rng(5), 0
    passed = pass_at_k([n] * (n + 1), list(range(n + 1)), k)

    def model(rates: np.ndarray, loss: float) -> np.ndarray:
        losses = np.maximum(source.normal(loss, spread_at(k) / 2**0.5, seeds), 0)
        return np.array(
            [passed[source.binomial(n, fallen(rates[None], k, each)[0])] for each in losses]
        )

    for _ in range(TRIALS):
        rates = source.beta(*shape, problems)
        # All are a little worse than the base, so that seeds may be better or worse than that.
        control, worse = model(rates, 0.03), model(rates, 0.03 + difference)
        others = [model(rates, 0.03) for _ in range(comparisons - 1)]
        changes = [arm - control for arm in (worse, *others)]
        shown += crossed_intervals(changes, seed=0)[0].high < 0
    return shown / TRIALS


@pytest.mark.parametrize(
    ("problems", "n", "k", "seeds", "comparisons"),
    [(100, 16, 1, 3, 1), (200, 16, 1, 5, 3), (100, 16, 8, 4, 3)],
)
def test_the_difference_that_is_told_shows_about_as_often(problems, n, k, seeds, comparisons):
    setting = {"k": k, "seeds": seeds, "comparisons": comparisons}
    told = [detectable(assumed_counts(problems, n, seed=s), n, **setting, seed=s) for s in range(3)]
    shown = share_shown(float(np.mean(told)), problems=problems, n=n, **setting)
    # The same shift in log-odds changes the problems unevenly, which is left out beforehand.
    assert 0.65 <= shown <= 0.9


@pytest.mark.parametrize(
    ("problems", "n", "k", "seeds", "shape"),
    [(40, 16, 16, 3, (6, 1)), (30, 64, 64, 3, (1, 1)), (100, 8, 1, 3, (30, 1))],
)
def test_so_it_does_of_a_base_that_solves_nearly_all(problems, n, k, seeds, shape):
    source = np.random.default_rng(1)
    bases = [source.binomial(n, source.beta(*shape, problems)).astype(float) for _ in range(3)]
    setting = {"k": k, "seeds": seeds, "comparisons": 1}
    told = float(np.mean([detectable(counts, n, **setting) for counts in bases]))
    shown = share_shown(told, problems=problems, n=n, shape=shape, **setting)
    assert 0.65 <= shown <= 0.9


@pytest.mark.parametrize(("problems", "n"), [(20, 8), (40, 16)])
def test_what_seeds_do_never_makes_less_show(problems, n):
    told = [
        detectable(np.full(problems, float(n)), n, k=n, seeds=3, comparisons=1, spread=spread)
        for spread in (0.0, 0.005, 0.015, 0.03)
    ]
    assert told == sorted(told)
    # An interval of no change at all reaches this far to either side.
    nothing = crossed_intervals([np.zeros((3, problems))], seed=0)[0].high
    assert told[0] > nothing


def test_more_problems_samples_and_seeds_show_less_and_more_arms_need_more():
    def told(problems=100, n=16, seeds=3, comparisons=4, k=1, **more):
        counts = assumed_counts(problems, n)
        return detectable(counts, n, k=k, seeds=seeds, comparisons=comparisons, **more)

    usual = told()
    assert told(problems=400) < usual
    assert told(n=64) < usual
    assert told(seeds=5) < usual
    assert told(comparisons=1) < usual
    assert told(k=8) > usual
    assert told(spread=0.0) < usual
    assert told(power=0.9) > usual
    assert told() == usual


def test_a_base_that_solves_nothing_shows_no_less_than_luck_could_make():
    assert detectable(np.zeros(100), 16, k=1, seeds=3, comparisons=1) > 0.005


def test_assumed_counts_are_like_the_quickstarts():
    counts = assumed_counts(5000, 16)
    assert counts.mean() / 16 == pytest.approx(0.3, abs=0.01)
    with pytest.raises(AssertionError, match="Pass@32 needs 32 samples"):
        detectable(counts, 16, k=32, seeds=3, comparisons=1)
