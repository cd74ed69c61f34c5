"""Pins who is compared with whom and on what, and what a gate sees over the rounds of a run."""

import numpy as np
import polars as pl
import pytest

from rft.errors import RFTError
from rft.measuring.adoption import (
    Comparison,
    compare,
    entropies,
    noted_comparisons,
    refuse_other_problems,
    told,
    values_of,
)
from rft.measuring.pass_at_k import Interval
from rft.recipe import Gate
from tests.gate_simulation import DRIFT, refusals

BOTH = Gate(metric=("pass@1", "pass@4"))
ENTROPY = Gate(metric=("pass@1", "entropy"))


def answers(*problems: tuple[str, list[bool], list[float | None]]) -> pl.DataFrame:
    rows = [
        ("dev", name, "correct" if right else "wrong", entropy)
        for name, verdicts, means in problems
        for right, entropy in zip(verdicts, means, strict=True)
    ]
    kinds = {
        "benchmark": pl.String,
        "problem_id": pl.String,
        "verdict": pl.String,
        "mean_entropy": pl.Float32,
    }
    return pl.DataFrame(rows, schema=kinds, orient="row")


# Over the rounds of a run -------------------------------------------------------------------------


@pytest.mark.parametrize("gate", [Gate(), BOTH])
def test_a_slow_decline_is_caught_in_three_of_four_runs(gate):
    assert refusals(gate, DRIFT, runs=40, seed=1).any(1).mean() >= 0.75


def test_compared_with_the_last_model_alone_it_would_pass():
    alone = refusals(Gate(level=0.025), DRIFT, runs=40, seed=1, last_alone=True)
    assert alone.any(1).mean() <= 0.45


def test_a_slow_decline_after_a_gain_is_caught_too():
    assert refusals(Gate(), [0.15, *DRIFT], runs=40, seed=2).any(1).mean() >= 0.7


@pytest.mark.parametrize(("gate", "seed"), [(Gate(), 3), (BOTH, 4)])
def test_an_equal_model_is_refused_in_about_one_of_twenty_decisions(gate, seed):
    refused = refusals(gate, [0.0] * 6, runs=40, seed=seed)
    # Three standard errors above 0.05; refusals of a run hang together: about 100 looks in all.
    assert 0.01 <= refused.mean() <= 0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5


def test_a_model_that_gains_is_hardly_ever_refused():
    assert refusals(Gate(), [0.01] * 6, runs=40, seed=5).mean() <= 0.02


# One decision -------------------------------------------------------------------------------------


def values(share: float, metric: str = "pass@1", n: int = 100) -> dict[str, np.ndarray]:
    return {metric: np.array([1.0] * round(share * n) + [0.0] * (n - round(share * n)))}


def test_every_adopted_model_is_a_reference_and_three_have_names():
    made = compare({0: values(0.3), 2: values(0.6), 3: values(0.5)}, values(0.4), Gate(), seed=0)
    assert [(each.against, each.roles, each.refuses) for each in made] == [
        (0, ("base",), False),
        (2, ("best",), True),
        (3, ("last",), True),
    ]
    assert [each.change.value for each in made] == pytest.approx([0.1, -0.2, -0.1])


def test_the_later_of_two_equals_is_the_best_and_the_base_can_be_all_three():
    made = compare({0: values(0.5), 1: values(0.5)}, values(0.5), Gate(), seed=0)
    assert [each.roles for each in made] == [("base",), ("last", "best")]
    (only,) = compare({0: values(0.5)}, values(0.5), Gate(), seed=0)
    assert only.roles == ("base", "last", "best")


def test_a_loss_of_any_metric_refuses():
    # Twice as often right where it was right at all, and right at all on half of those problems.
    old = answers(*((f"p{i:02}", [True, True, False, False], [None] * 4) for i in range(40)))
    new = answers(*((f"p{i:02}", [i % 2 == 0] * 4, [None] * 4) for i in range(40)))
    before, after = (values_of(each, BOTH, "it") for each in (old, new))
    made = {each.metric: each for each in compare({0: before}, after, BOTH, seed=0)}
    assert made["pass@1"].change.value == 0
    assert not made["pass@1"].refuses
    assert made["pass@4"].change.value == -0.5
    assert made["pass@4"].refuses


# Entropy ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "refuses"), [(0.9, False), (0.6, False), (0.4, True)])
def test_entropy_may_fall_down_to_its_floor_which_is_a_share_of_the_bases(left, refuses):
    base = np.random.default_rng(0).uniform(0.3, 0.6, 100)
    same = values(0.5)
    made = compare(
        {0: {**same, "entropy": base}, 1: {**same, "entropy": 0.7 * base}},
        {**same, "entropy": left * base},
        ENTROPY,
        seed=0,
    )
    (entropy,) = [each for each in made if each.metric == "entropy"]
    assert (entropy.against, entropy.roles, entropy.refuses) == (0, ("base",), refuses)
    assert entropy.change.value == pytest.approx((left - 0.5) * base.mean())


def test_a_problems_entropy_is_the_mean_of_its_answers_and_one_without_any_is_refused():
    frame = answers(("b", [True] * 2, [0.4, None]), ("a", [True] * 2, [0.1, 0.3]))
    assert list(entropies(frame, "model 1")) == pytest.approx([0.2, 0.4])
    unknown = answers(("a", [True], [None]), ("b", [True], [0.1]))
    with pytest.raises(RFTError, match="the answers of model 1 to 1 of 2 dev problems have none"):
        values_of(unknown, ENTROPY, "model 1")


# In words, and in manifests -----------------------------------------------------------------------


def test_a_comparison_is_told_in_points_and_entropy_in_nats():
    worse = Comparison("pass@4", 2, ("best", "last"), Interval(-0.0512, -0.09, -0.0104))
    assert told(worse, 0.5) == "Pass@4 -5.1 [-9.0, -1.0] points against model 2 (best, last)"
    fine = Comparison("entropy", 0, ("base",), Interval(0.0853, -0.00001, 0.1))
    assert told(fine, 0.5) == ("entropy +0.085 [+0.000, +0.100] nats above 0.5 of model 0 (base)")


def test_a_manifest_gives_back_what_was_noted_and_an_older_one_its_single_comparison():
    made = [
        Comparison("pass@1", 0, ("base",), Interval(0.1, 0.0, 0.2)),
        Comparison("pass@1", 1, (), Interval(-0.1, -0.2, -0.05)),
    ]
    assert noted_comparisons({"comparisons": [each.noted() for each in made]}) == made
    assert [each.noted()["refuses"] for each in made] == [False, True]
    old = {"metric": "pass@1", "compared_with": 2, "difference": [-0.1, -0.2, -0.05]}
    assert noted_comparisons(old) == [
        Comparison("pass@1", 2, ("last",), Interval(-0.1, -0.2, -0.05))
    ]


def test_models_measured_on_different_problems_are_not_compared():
    one, other = answers(("a", [True], [None])), answers(("b", [True], [None]))
    refuse_other_problems({0: one, 2: one})
    with pytest.raises(RFTError, match="models 0 and 2 were measured on different problems"):
        refuse_other_problems({0: one, 2: other})
