"""The axis of counts has whole numbers, few enough to read and up to the highest."""

from itertools import pairwise

import pytest

from rft.charts.overlaps import whole_ticks


@pytest.mark.parametrize("most", [0, 1, 2, 3, 7, 12, 59, 60, 61, 999, 123_456])
def test_ticks_are_whole_few_and_reach_the_highest(most):
    ticks = whole_ticks([((), most), ((), most // 2)])
    steps = {after - before for before, after in pairwise(ticks)}
    assert all(isinstance(tick, int) for tick in ticks)
    assert len(steps) == 1
    assert ticks[0] == 0
    assert most <= ticks[-1]
    assert len(ticks) <= 8
