"""Pins which rows are selected: the roles, the ranking and the limits, whatever the order of rows.

The oracles choose by sorting lists, whatever the code under test does.
"""

from typing import Any

import polars as pl
import pytest

from rft.errors import RFTError
from rft.measuring.pass_rates import pass_rates
from rft.runs.schemas import TABLES
from rft.selection.choice import select
from tests.kept_rows import choice, chosen, count, ids, kept, many

# Roles --------------------------------------------------------------------------------------------


def test_only_correct_and_wrong_have_a_role_and_the_rest_is_counted():
    verdicts = ["correct", "wrong", "no_answer", "unparseable", "timeout", "timeout", "bad_gold"]
    frame = kept(*({"verdict": verdict, "mean_entropy": 1.0} for verdict in verdicts))
    made = chosen(frame, noise=0.5)
    assert (ids(made), ids(made, "noise")) == (["r0000"], ["r0001"])
    assert made.dropped == {
        "verdict no_answer": 1,
        "verdict unparseable": 1,
        "verdict timeout": 2,
        "verdict bad_gold": 1,
    }


def test_with_noise_alone_correct_samples_are_left_out_and_need_no_statistic():
    frame = kept({"stats_origin": None}, {"verdict": "wrong"}, {"verdict": "wrong"})
    made = chosen(frame, noise=1.0)
    assert count(made) == (0, 2)
    assert made.dropped == {"positive not wanted": 1}


def test_an_unknown_verdict_is_counted_too():
    frame = kept({"mean_entropy": 1.0}, {"verdict": None}, {"verdict": "CORRECT"})
    assert chosen(frame).dropped == {"verdict CORRECT": 1, "verdict None": 1}


def test_without_noise_wrong_samples_are_left_out_by_name():
    made = chosen(many(3, 4), noise=0.0)
    assert count(made) == (3, 0)
    assert made.dropped == {"noise not wanted": 4}


def test_noise_is_drawn_at_random_and_its_statistics_do_not_matter():
    frame = many(50, 50)
    blind = frame.with_columns(
        pl.when(pl.col("verdict") == "correct").then("mean_entropy").alias("mean_entropy")
    )
    assert ids(chosen(blind, noise=0.5), "noise") == ids(chosen(frame, noise=0.5), "noise")
    draws = {tuple(ids(chosen(frame, seed=seed, noise=0.5), "noise")) for seed in range(20)}
    assert len(draws) == 20
    assert len({name for draw in draws for name in draw}) > 40, "some are never drawn"


# Ranking ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "column"),
    [("entropy", "mean_entropy"), ("branching", "mean_branching"), ("perplexity", "mean_nll")],
)
def test_the_highest_statistic_comes_first(by, column):
    frame = many(30, 5)
    rows = frame.filter(verdict="correct").select(column, "rollout_id").rows()
    wanted = [name for _, name in sorted(rows, reverse=True)]
    made = chosen(frame, by=by, budget=12)
    assert ids(made) == wanted[:12]
    assert made.dropped["budget"] == 18


def test_noise_can_be_ranked_too():
    frame = many(30, 30)
    rows = frame.filter(verdict="wrong").select("mean_nll", "rollout_id").rows()
    wanted = [name for _, name in sorted(rows, reverse=True)]
    made = chosen(frame, noise=0.5, noise_by="perplexity")
    assert ids(made, "noise") == wanted[:5]


def test_ties_go_by_rollout_id_and_not_by_place():
    frame = kept(*({"rollout_id": name, "mean_entropy": 1.0} for name in "dbeac"))
    assert ids(chosen(frame, budget=3)) == ["a", "b", "c"]


def test_what_has_no_statistic_comes_last_and_is_counted():
    values = [None, 0.5, float("nan"), -1.0, float("inf"), float("-inf"), 2.0, None]
    frame = kept(*({"mean_entropy": value} for value in values))
    made = chosen(frame)
    assert ids(made) == ["r0006", "r0001", "r0003", "r0000", "r0002", "r0004", "r0005", "r0007"]
    assert made.unranked == 5


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_statistic_that_nothing_has_is_refused(value):
    with pytest.raises(RFTError, match=r"select\.by: entropy, but no row has a mean_entropy"):
        chosen(kept({"mean_entropy": value}, {"mean_entropy": value}))
    with pytest.raises(RFTError, match=r"select\.noise_by: branching, but no row has"):
        chosen(
            kept({"mean_entropy": 1.0}, {"verdict": "wrong", "mean_branching": value}),
            noise=0.5,
            noise_by="branching",
        )


def test_statistics_of_different_origin_do_not_rank_together():
    mixed = kept({"mean_entropy": 1.0}, {"mean_entropy": 2.0, "stats_origin": "topk"})
    with pytest.raises(RFTError, match=r"different origins \({'engine': 1, 'topk': 1}\)"):
        chosen(mixed)
    unknown = kept({"mean_entropy": 1.0}, {"mean_entropy": 2.0, "stats_origin": None})
    with pytest.raises(RFTError, match=r"different origins \({'engine': 1, 'unknown': 1}\)"):
        chosen(unknown)
    assert len(ids(chosen(mixed, by="random"))) == 2
    # A row without a value is not ranked, whatever its origin; nor is noise ranked with positives.
    apart = kept(
        {"mean_entropy": 1.0},
        {"mean_entropy": None, "stats_origin": "topk"},
        {"verdict": "wrong", "mean_entropy": 1.0, "stats_origin": "scored"},
    )
    assert count(chosen(apart, budget=2, noise=0.5, noise_by="entropy")) == (1, 1)


def test_random_is_by_seed_and_id_alone():
    frame = many(40, 0)
    first = ids(chosen(frame, by="random"))
    assert first == ids(chosen(frame, by="random"))
    assert first != ids(chosen(frame, seed=1, by="random"))
    # What is added does not change how the others stand to each other.
    fewer = ids(chosen(frame.head(25), by="random", budget=25))
    assert fewer == [name for name in ids(chosen(frame, by="random", budget=40)) if name in fewer]


SETTINGS: list[dict[str, Any]] = [
    {},
    {"by": "random", "noise": 0.3},
    {"noise": 0.5, "noise_by": "branching", "per_problem": 2},
    {"where": "0.2 <= pass_rate <= 0.8", "noise": 0.2},
    {"difficulty": "proportional", "per_problem": 3, "noise": 0.25},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_order_of_the_rows_does_not_matter(settings):
    frame = many(40, 25)
    rates = pass_rates([frame])
    wanted = chosen(frame, pass_rates=rates, **settings)
    for seed in range(5):
        shuffled = frame.sample(fraction=1, shuffle=True, seed=seed)
        made = chosen(shuffled, pass_rates=dict(reversed(rates.items())), **settings)
        assert made.rows.equals(wanted.rows)
        assert made.passed_over.equals(wanted.passed_over)
        assert (made.dropped, made.unranked) == (wanted.dropped, wanted.unranked)


@pytest.mark.parametrize("by", ["random", "branching"])
def test_a_hundred_thousand_rows_are_selected_as_by_sorting(by):
    frame = many(80_000, 20_000, problems=5000)
    made = chosen(frame, by=by, budget=50_000, noise=0.05, per_problem=12)
    assert count(made) == (47_500, 2500)
    if by == "branching":
        seen: dict[str, int] = {}
        wanted = []
        rows = frame.filter(verdict="correct").select("mean_branching", "rollout_id", "problem_id")
        for _, name, problem in sorted(rows.rows(), key=lambda row: (-row[0], row[1])):
            seen[problem] = seen.get(problem, 0) + 1
            if seen[problem] <= 12:
                wanted.append(name)
        assert ids(made) == wanted[:47_500]


# Limits -------------------------------------------------------------------------------------------


def test_each_problem_gives_its_best_up_to_the_cap_for_each_role_apart():
    frame = many(60, 60)
    made = chosen(frame, budget=100, noise=0.5, noise_by="entropy", per_problem=2)
    for role, verdict in (("positive", "correct"), ("noise", "wrong")):
        rows = frame.filter(verdict=verdict).sort("mean_entropy", descending=True).rows(named=True)
        best: dict[str, list[str]] = {}
        for row in rows:
            best.setdefault(row["problem_id"], []).append(row["rollout_id"])
        wanted = {name for names in best.values() for name in names[:2]}
        assert set(ids(made, role)) == wanted
    assert made.dropped["per_problem"] == 120 - 4 * 7


def test_what_is_too_long_for_training_is_dropped_by_name_before_anything_else():
    frame = kept(
        *({"mean_entropy": float(index), "problem_id": "p"} for index in range(4)),
        {"verdict": "wrong"},
        {"verdict": "timeout"},
    )
    made = chosen(frame, too_long=frozenset({"r0003", "r0004", "r0005", "other"}), per_problem=2)
    assert ids(made) == ["r0002", "r0001"]
    assert made.dropped == {"max_length": 2, "per_problem": 1, "verdict timeout": 1}
    with pytest.raises(RFTError, match="no correct sample"):
        chosen(frame, too_long=frozenset(f"r{index:04d}" for index in range(4)))


# Columns ------------------------------------------------------------------------------------------


def test_what_else_the_rows_hold_passes_through_behind_our_columns():
    frame = many(5, 5).with_columns(pl.lit(7).alias("theirs"), pl.lit("x").alias("__draw"))
    made = select(frame, settings=choice(by="random", noise=0.5), seed=0)
    assert made.rows.columns == [*TABLES["selected"].names, "theirs", "__draw"]
    assert set(made.rows["theirs"]) == {7}
    assert made.passed_over.columns == [*TABLES["passed_over"].names, "theirs", "__draw"]


def test_thousands_of_verdicts_that_are_none_of_ours_are_each_a_reason():
    frame = kept({}, *({"verdict": f"other {number}"} for number in range(3000)))
    made = chosen(frame, by="random", budget=1)
    assert len(made.dropped) == 3000
    assert made.dropped["verdict other 2999"] == 1
