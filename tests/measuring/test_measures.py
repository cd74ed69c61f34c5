"""Pins the way from rows of evaluations to numbers: by problem, whatever the order of the rows."""

import random

import polars as pl
import pytest

from rft.errors import RFTError
from rft.measuring.pass_at_k import (
    mean_interval,
    paired_difference_of,
    pass_interval,
    passes,
    solved,
)

VERDICTS = ["correct", "wrong", "no_answer", "unparseable", "timeout", "bad_gold"]


def evaluations(*problems: tuple[str, str, list[str | None]]) -> pl.DataFrame:
    """Make evaluations of (benchmark, problem, verdicts)."""
    rows = [
        (benchmark, name, index, verdict)
        for benchmark, name, verdicts in problems
        for index, verdict in enumerate(verdicts)
    ]
    names = ["benchmark", "problem_id", "sample_index", "verdict"]
    kinds = [pl.String, pl.String, pl.Int32, pl.String]
    return pl.DataFrame(rows, schema=dict(zip(names, kinds, strict=True)), orient="row")


def right(count: int, of: int) -> list[str]:
    return ["correct"] * count + ["wrong"] * (of - count)


MIXED = evaluations(
    ("b", "p2", right(1, 4)),
    ("b", "p1", right(4, 4)),
    ("a", "p9", right(0, 4)),
    ("a", "p1", right(2, 4)),
)


def test_problems_are_counted_apart_and_sorted():
    assert solved(MIXED).rows() == [
        ("a", "p1", 4, 2),
        ("a", "p9", 4, 0),
        ("b", "p1", 4, 4),
        ("b", "p2", 4, 1),
    ]
    assert list(passes(MIXED, 1)) == [0.5, 0.0, 1.0, 0.25]


def test_only_correct_counts():
    counts = solved(evaluations(("a", "p", VERDICTS)))
    assert counts.rows() == [("a", "p", 6, 1)]


def test_a_sample_without_a_verdict_is_not_solved_but_was_tried():
    assert solved(evaluations(("a", "p", ["correct", None]))).rows() == [("a", "p", 2, 1)]


def test_the_order_of_the_rows_does_not_matter():
    for seed in range(5):
        order = list(range(len(MIXED)))
        random.Random(seed).shuffle(order)
        shuffled = MIXED[order]
        assert solved(shuffled).equals(solved(MIXED))
        assert pass_interval(shuffled, k=2, seed=1) == pass_interval(MIXED, k=2, seed=1)


def test_the_interval_is_over_problems_and_not_over_samples():
    interval = pass_interval(MIXED, k=1, seed=4)
    assert interval == mean_interval(passes(MIXED, 1), seed=4)
    assert interval.value == pytest.approx((0.5 + 0 + 1 + 0.25) / 4)
    # Weighed by samples, the problem with 100 of them would decide alone.
    uneven = evaluations(("a", "p", right(100, 100)), ("a", "q", right(0, 2)))
    assert pass_interval(uneven, k=1, seed=0).value == 0.5


def test_a_difference_pairs_problems_by_name_and_not_by_place():
    before = evaluations(("a", "p", right(0, 2)), ("a", "q", right(2, 2)))
    after = evaluations(("a", "q", right(2, 2)), ("a", "p", right(1, 2)))
    change = paired_difference_of(before, after, k=1, seed=0)
    assert change.value == 0.25
    shuffled = paired_difference_of(before[[3, 0, 2, 1]], after[[1, 3, 0, 2]], k=1, seed=0)
    assert shuffled == change


def test_the_number_of_samples_may_differ_between_models():
    before = evaluations(*[("a", f"p{i}", right(i % 3, 2)) for i in range(12)])
    after = evaluations(*[("a", f"p{i}", right(4 * (i % 3), 8)) for i in range(12)])
    assert paired_difference_of(before, after, k=1, seed=0).value == pytest.approx(0)


@pytest.mark.parametrize(
    "after",
    [
        evaluations(("a", "p", right(1, 2))),
        evaluations(("a", "p", right(1, 2)), ("a", "r", right(1, 2))),
        evaluations(("a", "p", right(1, 2)), ("b", "q", right(1, 2))),
    ],
)
def test_models_measured_on_different_problems_are_not_compared(after):
    before = evaluations(("a", "p", right(1, 2)), ("a", "q", right(1, 2)))
    with pytest.raises(RFTError, match="measured on different problems"):
        paired_difference_of(before, after, k=1, seed=0)
