"""Pins support kept, gained and lost by hand, and what luck moves by enumeration and simulation."""

from itertools import combinations

import numpy as np
import pytest

from rft.measuring.support import Support, support
from tests.answer_frames import answered, solved_of


def by_enumeration(n: int, n_after: int, right: int, least: int, least_after: int) -> list[float]:
    """Place the right samples among all of both models in every way."""
    ways = list(combinations(range(n + n_after), right))
    firsts = [sum(place < n for place in each) for each in ways]
    gained = [first < least and right - first >= least_after for first in firsts]
    lost = [first >= least and right - first < least_after for first in firsts]
    return [sum(gained) / len(ways), sum(lost) / len(ways)]


def test_problems_are_kept_gained_lost_or_never_in_the_support() -> None:
    before = answered({"a": [0, 1], "b": [1, 1], "c": [0, 0], "d": [1, 1], "e": [0, 1]})
    after = answered({"a": [0, 0], "b": [0, 1], "c": [1, 1], "d": [None, 1], "e": [1, 0]})
    change = support(before, after)
    assert (change.preserved, change.expanded, change.shrunk, change.outside) == (2, 1, 1, 1)


def test_the_rates_are_the_papers() -> None:
    one = Support(6, 2, 3, 1, 0, 0)
    assert one.retained == pytest.approx(6 / 9)
    assert one.discovered == pytest.approx(2 / 8)
    assert one.dynamic == pytest.approx(2 * (6 / 9) * (2 / 8) / (6 / 9 + 2 / 8))
    assert one.net == pytest.approx(-1 / 11)
    assert Support(0, 0, 3, 1, 0, 0).discovered is None
    assert Support(0, 0, 3, 1, 0, 0).dynamic is None
    assert Support(0, 2, 3, 1, 0, 0).retained == 0
    assert Support(0, 0, 0, 4, 0, 0).net is None


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_what_luck_moves_is_counted_over_all_ways_that_right_samples_fall(share) -> None:
    for n, c, n_after, c_after in [(4, 1, 4, 0), (4, 2, 4, 4), (3, 1, 6, 2), (5, 0, 2, 0)]:
        change = support(solved_of([(c, n)]), solved_of([(c_after, n_after)]), share=share)
        least, least_after = (max(1, -(-size // 2) if share else 1) for size in (n, n_after))
        wanted = by_enumeration(n, n_after, c + c_after, least, least_after)
        assert [change.expanded_by_luck, change.shrunk_by_luck] == pytest.approx(wanted)


def test_two_measurements_of_one_model_lose_and_gain_as_much_as_is_foretold() -> None:
    source = np.random.default_rng(0)
    moved, foretold = [], []
    for _ in range(20):
        rates = source.beta(0.1, 2, 200)
        first, second = (
            solved_of([(int(c), 16) for c in source.binomial(16, rates)]) for _ in range(2)
        )
        change = support(first, second)
        moved.append((change.expanded, change.shrunk))
        foretold.append((change.expanded_by_luck, change.shrunk_by_luck))
    assert np.mean(moved) > 10
    assert np.mean(foretold, 0) == pytest.approx(np.mean(moved, 0), rel=0.1)


def test_a_threshold_that_is_no_whole_number_of_samples_is_not_lost_by_rounding() -> None:
    # 0.1 x 30 is 3.0000000000000004 in floats.
    change = support(solved_of([(3, 30)]), solved_of([(2, 30)]), share=0.1)
    assert (change.preserved, change.shrunk) == (0, 1)
