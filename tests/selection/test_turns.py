"""Pins ranking in turns: within tenths of the pool by length, or within each problem.

The oracle deals the pool out by hand, as one deals cards.
"""

import random
from typing import Any

import polars as pl
import pytest

from rft.errors import RFTError
from rft.recipe.loading import load_recipe
from rft.selection.choice import select
from rft.selection.ranking import STRATA
from tests.kept_rows import choice, chosen, ids, kept

BUDGETS = (1, 4, 10, 23, 60, 97)


def short_first(rows: int, seed: int = 0) -> pl.DataFrame:
    """Make correct rollouts whose entropy falls with their length, but for a little noise."""
    source = random.Random(f"{rows} {seed}")
    sizes = [source.randrange(3, 40) for _ in range(rows)]
    return kept(
        *(
            {
                "problem_id": f"p{source.randrange(9)}",
                "num_response_tokens": size,
                "mean_entropy": 1 / size + source.random() / 100,
            }
            for size in sizes
        )
    )


def dealt(frame: pl.DataFrame, group: dict[str, Any]) -> list[str]:
    """Deal every group's best, best first, then every group's second best, and so on."""
    piles: dict[Any, list[dict[str, Any]]] = {}
    for row in sorted(frame.to_dicts(), key=lambda row: (-row["mean_entropy"], row["rollout_id"])):
        piles.setdefault(group[row["rollout_id"]], []).append(row)
    order = []
    while any(piles.values()):
        hand = [pile.pop(0) for pile in piles.values() if pile]
        hand.sort(key=lambda row: (-row["mean_entropy"], row["rollout_id"]))
        order += [row["rollout_id"] for row in hand]
    return order


def tenths_of(frame: pl.DataFrame) -> dict[str, int]:
    """Cut the pool, sorted by length, into ten piles of sizes that differ by one at most."""
    rows = sorted(frame.select("num_response_tokens", "rollout_id").rows())
    return {name: place * 10 // len(rows) for place, (_, name) in enumerate(rows)}


@pytest.mark.parametrize("rows", [1, 7, 10, 97, 200])
def test_strata_deal_out_the_tenths_of_the_pool_by_length(rows):
    frame = short_first(rows)
    tenths = tenths_of(frame)
    order = dealt(frame, tenths)
    for budget in BUDGETS:
        made = chosen(frame, budget=budget, strata="length")
        assert ids(made) == order[:budget]
        everything = pl.concat([made.rows, made.passed_over], how="diagonal")
        assert dict(everything.select("rollout_id", "stratum").rows()) == tenths


@pytest.mark.parametrize("budget", BUDGETS)
def test_each_stratum_contributes_its_share_of_the_pool(budget):
    frame = short_first(200)
    made = chosen(frame, budget=budget, strata="length")
    counts = dict(made.rows["stratum"].value_counts().iter_rows())
    given = [counts.get(stratum, 0) for stratum in range(STRATA)]
    assert sum(given) == budget
    assert max(given) - min(given) <= 1
    # The plain ranking takes the shortest, wherever the budget ends.
    plain = chosen(frame, budget=budget)
    means = [each.rows["num_response_tokens"].mean() for each in (plain, made)]
    assert means[0] < frame["num_response_tokens"].mean()
    assert budget < STRATA or means[0] < means[1]


def test_within_problems_the_best_of_every_problem_come_first():
    frame = short_first(97)
    order = dealt(frame, dict(frame.select("rollout_id", "problem_id").rows()))
    for budget in BUDGETS:
        made = chosen(frame, budget=budget, within="problem")
        assert ids(made) == order[:budget]
    first = made.rows.filter(turn=0)
    assert sorted(first["problem_id"]) == sorted(set(frame["problem_id"]))
    assert first["rank"].max() == len(first) - 1


def test_what_has_no_statistic_comes_last_in_all():
    rows = [{"problem_id": "a", "mean_entropy": 1.0 + place} for place in range(3)]
    rows += [{"problem_id": "b", "mean_entropy": None}, {"problem_id": "a", "mean_entropy": None}]
    for options in ({"within": "problem"}, {"strata": "length"}):
        made = chosen(kept(*rows), **options)
        assert ids(made)[:3] == ["r0002", "r0001", "r0000"]
        assert made.unranked == 2


def test_equal_lengths_are_split_by_id_whatever_the_order_of_rows():
    frame = kept(*({"mean_entropy": 1.0} for _ in range(25)))
    made = chosen(frame, budget=25, strata="length")
    again = chosen(frame.sample(fraction=1, shuffle=True, seed=3), budget=25, strata="length")
    assert made.rows.equals(again.rows)
    strata = dict(made.rows.select("rollout_id", "stratum").rows())
    assert [strata[f"r{place:04d}"] for place in range(25)] == [n * 10 // 25 for n in range(25)]


@pytest.mark.parametrize("options", [{"strata": "length"}, {"within": "problem"}])
def test_noise_takes_turns_by_itself(options):
    sizes = range(1, 31)
    right = [{"num_response_tokens": n, "mean_entropy": 1 / n, "problem_id": "p"} for n in sizes]
    wrong = [row | {"verdict": "wrong", "problem_id": f"w{row['num_response_tokens'] % 5}"}
             for row in right]  # fmt: skip
    made = chosen(kept(*right, *wrong), budget=40, noise=0.25, noise_by="entropy", **options)
    noise = made.rows.filter(role="noise")
    assert len(noise) == 10
    groups = noise["stratum" if "strata" in options else "problem_id"]
    assert set(groups.value_counts()["count"]) == ({1} if "strata" in options else {2})


def test_a_cap_counts_down_the_order_of_turns():
    frame = short_first(97)
    problems = dict(frame.select("rollout_id", "problem_id").rows())
    wanted, seen = [], dict.fromkeys(problems.values(), 0)
    for name in dealt(frame, tenths_of(frame)):
        seen[problems[name]] += 1
        wanted += [name] if seen[problems[name]] <= 2 else []
    made = chosen(frame, budget=97, strata="length", per_problem=2)
    assert ids(made) == wanted
    assert set(made.passed_over["reason"]) == {"per_problem"}


# Length -------------------------------------------------------------------------------------------


def test_where_tokens_are_not_known_characters_are_counted():
    texts = [random.Random(seed).randrange(1, 90) * "x" for seed in range(30)]
    rows = [{"response": text, "mean_entropy": 1.0} for text in texts]
    # Of one row too few: tokens and characters are not mixed.
    for unknown in (range(30), range(1)):
        frame = kept(*(row | ({"num_response_tokens": None} if number in unknown else {})
                       for number, row in enumerate(rows)))  # fmt: skip
        made = chosen(frame, budget=30, strata="length")
        by_text = sorted(zip(map(len, texts), frame["rollout_id"], strict=True))
        strata = dict(made.rows.select("rollout_id", "stratum").rows())
        assert [strata[name] for _, name in by_text] == [n // 3 for n in range(30)]


def test_rows_of_no_length_are_refused_where_it_counts():
    frame = kept(*({"mean_entropy": 1.0} for _ in range(3)))
    frame = frame.drop("response", "num_response_tokens")
    with pytest.raises(RFTError, match=r"select\.strata: length, but 3 of 3 rows to rank have"):
        select(frame, settings=choice(strata="length"), seed=0)
    assert len(select(frame, settings=choice(within="problem"), seed=0).rows) == 3


# Settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["select.strata=lenght"], "select.strata is .lenght., and should be 'length'"),
        (["select.strata=10"], "select.strata is 10, and should be 'length'"),
        (["select.within=problems"], "select.within is .problems., and should be 'problem'"),
        (
            ["select.strata=length", "select.within=problem"],
            "strata is length and within is problem, .* one kind of group only; set one of them to",
        ),
    ],
)
def test_what_cannot_be_is_one_line(settings, says):
    with pytest.raises(RFTError, match=says) as refused:
        load_recipe("smoke", settings)
    assert "\n" not in str(refused.value)


def test_both_are_off_unless_asked_for():
    select = load_recipe("smoke").select
    assert (select.strata, select.within) == (None, None)
