"""Pins what sets the selected apart from the pool: numbers that a hand computes too."""

import json
import random
import statistics
from itertools import pairwise
from typing import Any

import polars as pl
import pytest

from rft.measuring.pass_rates import pass_rates
from rft.selection.choice import Selection
from rft.selection.composition import (
    FEW_WORDS,
    SHORT,
    by_pass_rate,
    composition,
    rank_correlation,
    too_short,
)
from rft.selection.narrow import narrow
from tests.kept_rows import choice, chosen, kept


def made_of(frame: pl.DataFrame, **settings: Any) -> dict[str, Any]:
    """Select, and compose with pass rates of the frame itself."""
    taken = frame["rollout_id"].is_in(ids_of(chosen(frame, **settings)))
    return composition(
        narrow(frame, choice(**settings)), taken, pass_rates([frame]), choice(**settings)
    )


def ids_of(made: Selection) -> list[str]:
    return made.rows["rollout_id"].to_list()


def hand_ranks(values: list[float]) -> list[float]:
    """Rank by counting: equal values share the mean of their places."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def spearman(first: list[float], second: list[float]) -> float:
    return statistics.correlation(hand_ranks(first), hand_ranks(second))


@pytest.mark.parametrize("seed", range(20))
def test_the_correlation_is_spearmans_ties_included(seed):
    source = random.Random(seed)
    rows = source.randrange(3, 40)
    lengths = [source.randrange(1, 12) for _ in range(rows)]
    values = [source.randrange(9) / 4 - size / source.randrange(4, 9) for size in lengths]
    pool = pl.DataFrame({"length": lengths, "mean_entropy": values})
    unknown = pl.DataFrame({"length": [5, 6, None], "mean_entropy": [None, float("nan"), 1.0]})
    wanted = spearman(values, [float(size) for size in lengths])
    told = rank_correlation(pl.concat([pool, unknown]), "mean_entropy")
    assert told == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(
    ("lengths", "values"), [([], []), ([3], [1.0]), ([3, 3], [1.0, 2.0]), ([3, 4], [1.0, 1.0])]
)
def test_what_does_not_vary_correlates_with_nothing(lengths, values):
    columns = {"length": pl.Int32, "mean_entropy": pl.Float32}
    pool = pl.DataFrame({"length": lengths, "mean_entropy": values}, schema=columns)
    assert rank_correlation(pool, "mean_entropy") is None
    assert rank_correlation(pool, None) is None


def test_samples_are_counted_by_how_often_their_problem_is_solved():
    rates = [0.0, 0.01, 0.25, 0.26, 0.5, 0.75, 0.9999, 1.0, 1.0, None]
    assert by_pass_rate(pl.Series(rates, dtype=pl.Float64)) == {
        "never": 1,
        "up to 25%": 2,
        "up to 50%": 2,
        "up to 75%": 1,
        "below 100%": 1,
        "always": 2,
    }
    source = random.Random(3)
    many = [source.randrange(17) / 16 for _ in range(500)]
    counts = by_pass_rate(pl.Series(many))
    edges = [-1, 0, 0.25, 0.5, 0.75, 1 - 1e-9, 1]
    assert list(counts.values()) == [
        sum(low < rate <= high for rate in many) for low, high in pairwise(edges)
    ]


def test_each_role_is_measured_against_its_own_pool():
    rows = [
        {"problem_id": "a", "num_response_tokens": 10, "mean_entropy": 0.5},
        {"problem_id": "a", "num_response_tokens": 40, "mean_entropy": 0.1},
        {"problem_id": "b", "num_response_tokens": 16, "mean_entropy": 0.3, "mean_branching": 2.0},
        {"problem_id": "b", "verdict": "wrong", "num_response_tokens": 99},
        {"problem_id": "b", "verdict": "timeout", "num_response_tokens": 1},
        {"problem_id": "b", "verdict": "wrong", "num_response_tokens": 99},
    ]
    made = made_of(kept(*rows), budget=3, noise=0.34)
    assert (made["unit"], made["ranked_by"], made["rank_correlation"]) == ("tokens", "entropy", -1)
    positive, noise = made["roles"]["positive"], made["roles"]["noise"]
    assert positive["pool"]["rows"] == 3
    assert positive["pool"]["length"] == [22, 16]
    assert positive["pool"]["pass_rate"] == [0.75, 1.0]
    assert positive["pool"]["mean_entropy"] == [0.3, 0.3]
    assert positive["pool"]["mean_branching"] == [2.0, 2.0]
    assert positive["selected"]["rows"] == 2
    assert positive["selected"]["length"] == [13, 13]
    assert positive["selected"]["pass_rate"] == [0.625, 0.625]
    assert (noise["pool"]["rows"], noise["selected"]["rows"]) == (2, 1)
    assert noise["selected"]["length"] == [99, 99]
    assert noise["pool"]["mean_entropy"] == [None, None]
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_words_before_the_box_are_counted():
    texts = {
        r"Maybe $\boxed{15}$.": True,
        r"I think the answer is \boxed{4}": True,
        r"I do think the answer is \boxed{4}": False,
        r"\boxed{7}": True,
        r"one two \boxed{3}, three four five six \boxed{4}": False,
        "one\ntwo three four five\n\\boxed{3}": True,
        "one two three four five six": False,
        "": True,
    }
    frame = kept(*({"response": text, "mean_entropy": 1.0} for text in texts))
    made = made_of(frame, budget=99)
    assert FEW_WORDS == 5
    assert made["roles"]["positive"]["pool"]["few_words"] == sum(texts.values())
    for row in frame.to_dicts():
        alone = made_of(kept(row), budget=1)["roles"]["positive"]
        assert alone["selected"]["few_words"] == texts[row["response"]], row["response"]


def test_characters_stand_in_for_tokens_that_nobody_counted():
    frame = kept(*({"response": "x" * n, "num_response_tokens": None} for n in (4, 8)))
    made = made_of(frame, by="random")
    assert made["unit"] == "characters"
    assert made["roles"]["positive"]["pool"]["length"] == [6, 6]
    assert made["rank_correlation"] is None


def test_a_selection_far_below_its_pool_is_warned_of_at_the_threshold():
    sizes = [10, *([100] * 20), *([1000] * 10)]

    def told(short: int) -> str:
        first = [{"num_response_tokens": short, "mean_entropy": 9.0}] * 2
        rest = [{"num_response_tokens": size, "mean_entropy": 1 / size} for size in sizes]
        return too_short(made_of(kept(*first, *rest), budget=2))

    assert SHORT == 0.75
    assert told(75) == ""
    assert told(74).startswith(
        "the selected are short: their median is 74 tokens, below 0.75 of the pool's 100; "
    )
    steps = [bool(told(size)) for size in (10, 50, 74, 75, 80, 200)]
    assert all(before >= after for before, after in pairwise(steps))


def test_a_pool_without_positives_is_not_warned_of():
    frame = kept({"verdict": "wrong"}, {"verdict": "wrong"})
    made = made_of(frame, budget=1, noise=1.0)
    assert made["roles"]["positive"]["pool"]["length"] == [None, None]
    assert too_short(made) == ""
