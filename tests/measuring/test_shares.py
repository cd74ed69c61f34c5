"""Pins the interval of a share: it covers, at the ends too."""

import math

import pytest

from rft.measuring.shares import share_of


@pytest.mark.parametrize("truth", [0.001, 0.02, 0.3, 0.97])
@pytest.mark.parametrize("of", [20, 200])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(truth, of):
    covered = sum(
        math.comb(of, count) * truth**count * (1 - truth) ** (of - count)
        for count in range(of + 1)
        if share_of(count, of).low <= truth <= share_of(count, of).high
    )
    assert covered >= 0.89


def test_none_of_two_hundred_may_still_be_some():
    assert share_of(0, 200).low == 0
    assert share_of(0, 200).high == pytest.approx(0.0188, abs=1e-3)
    assert share_of(200, 200).high == 1
