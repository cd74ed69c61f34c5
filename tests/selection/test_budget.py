"""Pins the budget: its ratio of noise, and what is taken where either role runs short.

The oracle tries every pair of counts.
"""

from fractions import Fraction
from itertools import product

import pytest

from rft.errors import RFTError
from rft.selection.budget import shrink, split_budget
from tests.kept_rows import choice, chosen, count, kept, many


@pytest.mark.parametrize("percent", range(101))
def test_the_share_of_noise_is_rounded_half_up(percent):
    for total in [*range(60), 512, 1100, 99_999]:
        exact = Fraction(percent, 100) * total
        wrong = int(exact + Fraction(1, 2))
        assert split_budget(total, percent / 100) == {"positive": total - wrong, "noise": wrong}


def test_the_budget_includes_the_noise():
    assert count(chosen(many(50, 50), budget=20, noise=0.05)) == (19, 1)
    assert count(chosen(many(50, 50), budget=10, noise=0.05)) == (9, 1)
    assert count(chosen(many(50, 50), budget=9, noise=0.05)) == (9, 0)
    assert count(chosen(many(50, 50), budget=20, noise=0.5)) == (10, 10)
    assert count(chosen(many(50, 50), budget=20, noise=0.0)) == (20, 0)
    assert count(chosen(many(50, 50), budget=20, noise=1.0)) == (0, 20)


def test_a_full_budget_has_no_shortfall():
    made = chosen(many(50, 50), budget=20, noise=0.25)
    assert made.wanted == {"positive": 15, "noise": 5}
    assert made.shortfall == ""


@pytest.mark.parametrize("percent", [0, 5, 10, 30, 50, 95, 100])
@pytest.mark.parametrize("budget", [1, 7, 24])
def test_most_positives_are_taken_and_then_most_noise_that_is_not_above_its_share(percent, budget):
    share = Fraction(percent, 100)
    settings = choice(budget=budget, noise=percent / 100)
    wanted = split_budget(budget, percent / 100)
    for right, wrong in product(range(budget + 2), repeat=2):
        allowed = [
            (positive, noise)
            for positive in range(min(right, wanted["positive"]) + 1)
            for noise in range(min(wrong, wanted["noise"]) + 1)
            if noise <= share * (positive + noise) + Fraction(1, 2)
        ]
        positive, noise = max(allowed)
        available = {"positive": right, "noise": wrong}
        if positive + noise == 0:
            with pytest.raises(RFTError, match=r"select\.noise"):
                shrink(wanted, available, settings)
        else:
            take = {"positive": positive, "noise": noise}
            assert shrink(wanted, available, settings) == take


def test_positives_are_not_thrown_away_for_want_of_noise():
    made = chosen(many(5000, 0), budget=1100, noise=0.1)
    assert count(made) == (990, 0)
    assert made.wanted == {"positive": 990, "noise": 110}
    assert made.shortfall == (
        "short of samples: only 0 noise of 110 wanted; took 990 of 1100; noise is 0.0% of that, "
        "10.0% was asked"
    )
    assert made.dropped == {"budget": 4010}, "nor are there more of them than their share"


def test_noise_shrinks_with_the_positives():
    made = chosen(many(9, 500), budget=1100, noise=0.1)
    assert count(made) == (9, 1)
    assert made.shortfall == (
        "short of samples: only 9 positive of 990 wanted; took 10 of 1100; noise is 10.0% of that, "
        "10.0% was asked"
    )


def test_a_shortfall_is_said_with_the_numbers():
    made = chosen(many(50, 1), budget=20, noise=0.5)
    assert count(made) == (10, 1)
    assert made.wanted == {"positive": 10, "noise": 10}
    assert "only 1 noise of 10 wanted; took 11 of 20; noise is 9.1% of that" in made.shortfall
    made = chosen(many(3, 50), budget=20, noise=0.5)
    assert count(made) == (3, 4), "half of 7, rounded up"
    assert "only 3 positive of 10 wanted" in made.shortfall
    made = chosen(many(3, 1), budget=20, noise=0.5)
    assert count(made) == (3, 1)
    assert "only 3 positive of 10 wanted and 1 noise of 10 wanted; took 4" in made.shortfall


def test_noise_alone_is_taken_as_far_as_it_goes():
    made = chosen(many(5, 3), budget=10, noise=1.0)
    assert count(made) == (0, 3)
    assert made.shortfall.endswith("took 3 of 10; noise is 100.0% of that, 100.0% was asked")


def test_a_budget_of_a_million_is_no_trouble():
    assert count(chosen(many(5, 1), budget=1_000_000, noise=0.05)) == (5, 0)
    settings = choice(budget=1_000_000, noise=0.5)
    wanted = split_budget(1_000_000, 0.5)
    assert shrink(wanted, {"positive": 10**6, "noise": 3}, settings)["noise"] == 3


def test_nothing_to_take_is_refused():
    with pytest.raises(RFTError, match=r"select\.noise: 1 of select\.budget: 10 leaves nothing"):
        chosen(many(5, 0), budget=10, noise=1.0)
    # All ten of the budget are noise, by rounding.
    with pytest.raises(RFTError, match=r"select\.noise: 0.99 of .* leaves nothing"):
        chosen(many(5, 0), budget=10, noise=0.99)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"verdict": "wrong", "mean_entropy": 1.0}],
        [{"verdict": verdict} for verdict in ("no_answer", "unparseable", "timeout", "bad_gold")],
    ],
)
def test_without_a_correct_sample_there_is_nothing_to_train_on(rows):
    with pytest.raises(RFTError, match="no correct sample to train on"):
        chosen(kept(*rows), noise=0.5)
