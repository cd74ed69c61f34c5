"""A condition on samples: what it may name, whose pass rate that is, and what is left out by it."""

import polars as pl
import pytest

from rft.errors import RFTError
from rft.selection.condition import check_condition, holds
from tests.kept_rows import chosen, kept


def test_a_window_of_pass_rates_holds_its_borders_where_they_are_said_to():
    rates = {"a": 0.0, "b": 0.25, "c": 0.5, "d": 0.75, "e": 1.0}
    frame = kept(*({"problem_id": name, "mean_entropy": 1.0} for name in [*rates, "unknown"]))
    made = chosen(frame, pass_rates=rates, where="0.25 <= pass_rate < 0.75")
    assert set(made.rows["problem_id"]) == {"b", "c"}
    assert made.dropped == {"where": 4}


def test_the_pass_rate_is_of_what_was_sampled_and_not_of_what_is_left():
    frame = kept({"problem_id": "a", "mean_entropy": 1.0})
    with pytest.raises(RFTError, match=r"select.where let pass"):
        chosen(frame, pass_rates={"a": 0.125}, where="pass_rate > 0.5")


def test_statistics_are_named_as_the_orders_are():
    frame = pl.DataFrame(
        {
            "problem_id": ["a", "b", "c"],
            "mean_entropy": [0.1, 0.5, None],
            "mean_nll": [0.0, 1.0, 2.0],
        }
    )
    assert holds(frame, "entropy < 0.2 or perplexity > 7", {}).to_list() == [True, False, True]
    assert holds(frame, "not entropy > 0.2", {}).to_list() == [True, False, False]


def test_columns_of_anyones_rows_come_before_our_names():
    frame = pl.DataFrame({"problem_id": ["a", "a"], "pass_rate": [0.1, 0.9], "entropy": ["x", "y"]})
    assert holds(frame, "pass_rate < 0.5", {"a": 1.0}).to_list() == [True, False]
    assert holds(frame, "entropy == 'y'", {}).to_list() == [False, True]


def test_noise_is_held_against_it_too():
    frame = kept(
        *(
            {"verdict": verdict, "mean_entropy": size, "problem_id": f"p{size}"}
            for verdict in ("correct", "wrong")
            for size in (0.1, 0.9)
        )
    )
    made = chosen(frame, where="entropy > 0.5", noise=0.5, budget=2, pass_rates={})
    assert made.rows.select("role", "problem_id").rows() == [
        ("positive", "p0.9"),
        ("noise", "p0.9"),
    ]


@pytest.mark.parametrize(
    ("condition", "line"),
    [
        ("pas_rate < 0.5", "select.where: no such name; did you mean"),
        ("pass_rate", "select.where: expected one of"),
        ("pass_rate = 1", "select.where: equality is written =="),
        ("__import__('os')", "select.where: no such name"),
    ],
)
def test_what_is_no_condition_is_refused_before_anything_is_sampled(condition, line):
    with pytest.raises(RFTError) as told:
        check_condition(condition)
    assert str(told.value).startswith(line)


def test_every_name_of_a_run_can_be_read():
    check_condition("entropy > 0 and branching > 0 and perplexity > 0 and pass_rate > 0")
    check_condition("num_response_tokens > 3 and redundancy < 0.2 and verdict == 'correct'")
    check_condition(None)
