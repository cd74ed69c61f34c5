"""Pins Student's t against another implementation, printed tables, and its own inverse."""

from statistics import NormalDist

import mpmath
import pytest

from rft.measuring.student import reach, tails


@pytest.mark.parametrize("df", [0.7, 1, 2, 2.35, 4, 17.5, 39, 299, 1e5])
def test_the_tails_are_those_of_the_incomplete_beta_function(df):
    for t in (1e-4, 0.1, 0.9, 1.7, 2.5, 6, 40):
        with mpmath.workdps(40):
            x = df / (df + mpmath.mpf(t) ** 2)
            other = float(mpmath.betainc(df / 2, 0.5, 0, x, regularized=True))
        assert tails(t, df) == pytest.approx(other, rel=1e-8, abs=1e-300)
        assert tails(-t, df) == tails(t, df)
    assert tails(0, df) == 1


@pytest.mark.parametrize(
    ("level", "df", "printed"),
    [(0.05, 1, 12.706), (0.05, 2, 4.303), (0.05, 4, 2.776), (0.05, 30, 2.042), (0.01, 9, 3.250)],
)
def test_the_reach_is_what_tables_print(level, df, printed):
    assert reach(level, df) == pytest.approx(printed, abs=5e-4)


def test_many_degrees_of_freedom_are_the_normal_distribution():
    assert reach(0.05, 1e6) == pytest.approx(NormalDist().inv_cdf(0.975), abs=1e-5)


def test_the_reach_and_the_tails_undo_each_other():
    for df in (1.5, 2, 7.3, 120):
        for level in (1e-6, 0.004, 0.05, 0.5, 0.99):
            assert tails(reach(level, df), df) == pytest.approx(level, rel=1e-9)
