"""Pins the budget: its ratio of noise, and what is taken at that ratio where samples run short.

The oracle tries every split.
"""

from fractions import Fraction

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


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3, 0.5, 0.95, 1.0])
def test_when_either_runs_short_the_most_rows_at_the_ratio_are_taken(noise):
    settings = choice(budget=40, noise=noise)
    wanted = split_budget(40, noise)
    for positive in range(0, 44, 3):
        for wrong in range(0, 44, 3):
            available = {"positive": positive, "noise": wrong}
            possible = [
                split
                for split in (split_budget(total, noise) for total in range(1, 41))
                if all(split[role] <= available[role] for role in split)
            ]
            if not possible or (wanted["positive"] and not possible[-1]["positive"]):
                with pytest.raises(RFTError, match=r"select\.noise"):
                    shrink(wanted, available, settings)
            else:
                assert shrink(wanted, available, settings) == possible[-1]


def test_a_shortfall_is_said_with_the_numbers():
    made = chosen(many(50, 1), budget=20, noise=0.5)
    assert count(made) == (1, 1)
    assert made.wanted == {"positive": 10, "noise": 10}
    assert "only 1 noise of 10 wanted; took 2 of 20" in made.shortfall
    made = chosen(many(3, 50), budget=20, noise=0.5)
    assert count(made) == (3, 4), "half of 7, rounded up"
    assert "only 3 positive of 10 wanted" in made.shortfall


def test_a_budget_of_a_million_is_no_trouble():
    assert count(chosen(many(5, 1), budget=1_000_000, noise=0.05)) == (5, 0)
    settings = choice(budget=1_000_000, noise=0.5)
    wanted = split_budget(1_000_000, 0.5)
    assert shrink(wanted, {"positive": 10**6, "noise": 3}, settings)["noise"] == 3


def test_nothing_to_take_at_the_ratio_is_refused():
    with pytest.raises(RFTError, match=r"select\.noise"):
        chosen(many(5, 0), budget=10, noise=0.5)
    with pytest.raises(RFTError, match=r"select\.noise"):
        chosen(many(0, 0), budget=10, noise=1.0)
    # Three wrong samples and not one correct would be the most at this ratio.
    with pytest.raises(RFTError, match=r"select\.noise"):
        chosen(many(5, 3), budget=100, noise=0.95)


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
