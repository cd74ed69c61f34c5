"""Pins what is selected: the budget and its ratio, the ranking, and why the others were not.

The oracles choose by sorting lists and by trying every split, whatever the code under test does.
"""

import random
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from pipelines.selection import too_long
from rft.errors import RFTError
from rft.measuring.pass_rates import pass_rates
from rft.recipe import Select
from rft.runs.schemas import TABLES
from rft.runs.tables import conform, empty
from rft.selection.budget import shrink, split_budget
from rft.selection.choice import Selection, select
from rft.selection.difficulty import in_proportion

PLAIN = {
    "problem_id": "p",
    "round": 1,
    "response": r"\boxed{4}",
    "num_response_tokens": 10,
    "answer": "4",
    "answer_class": 0,
    "verdict": "correct",
    "num_boxed": 1,
    "finish_reason": "stop",
    "num_tokens": 10,
    "redundancy": 0.0,
    "stats_origin": "engine",
}


def kept(*rows: dict[str, Any]) -> pl.DataFrame:
    """Make kept rollouts that differ from a plain correct one as the rows say."""
    full = [
        {**PLAIN, "rollout_id": f"r{index:04d}", "sample_index": index, **row}
        for index, row in enumerate(rows)
    ]
    return pl.DataFrame(full, schema=empty("kept").schema)


def many(correct: int, wrong: int, problems: int = 7) -> pl.DataFrame:
    """Make that many correct and wrong rollouts with statistics without pattern."""
    source = random.Random(correct * 1000 + wrong)
    return kept(
        *(
            {
                "problem_id": f"p{source.randrange(problems)}",
                "verdict": verdict,
                "mean_entropy": source.random(),
                "mean_branching": source.random(),
                "mean_nll": source.random(),
            }
            for verdict in ["correct"] * correct + ["wrong"] * wrong
        )
    )


def choice(**settings: Any) -> Select:
    return Select(**{"by": "entropy", "budget": 10, **settings})


def chosen(frame: pl.DataFrame, seed: int = 0, **more: Any) -> Selection:
    """Select, and check what holds for every selection."""
    names = {"pass_rates", "too_long"}
    given = {name: more.pop(name) for name in names & more.keys()}
    settings = choice(**more)
    made = select(frame, settings=settings, seed=seed, **given)
    rows = made.rows
    assert len(rows) + sum(made.dropped.values()) == len(frame)
    assert all(count > 0 for count in made.dropped.values())
    assert rows["rollout_id"].is_unique().all()
    assert set(rows["rollout_id"]) <= set(frame["rollout_id"])
    assert set(rows.filter(role="positive")["verdict"]) <= {"correct"}
    assert set(rows.filter(role="noise")["verdict"]) <= {"wrong"}
    for role, by in (("positive", settings.by), ("noise", settings.noise_by)):
        part = rows.filter(role=role)
        assert part["rank"].to_list() == list(range(len(part)))
        assert set(part["ranked_by"]) <= {by}
    assert rows.columns == TABLES["selected"].names
    assert conform(rows, "selected").num_rows == len(rows)
    check_the_others(frame, made, settings)
    return made


def check_the_others(frame: pl.DataFrame, made: Selection, settings: Select) -> None:
    """Check that the selected and the passed over are the kept, and fill the places of a role."""
    others = made.passed_over
    assert others.columns == TABLES["passed_over"].names
    if frame["verdict"].null_count() == 0:
        assert conform(others, "passed_over").num_rows == len(others)
    assert sorted([*made.rows["rollout_id"], *others["rollout_id"]]) == sorted(frame["rollout_id"])
    reasons = dict(others["reason"].value_counts().iter_rows())
    assert reasons == made.dropped
    for role in ("positive", "noise"):
        places = others.filter(role=role)["place"].drop_nulls()
        ranked = len(places) + len(ids(made, role))
        assert places.is_unique().all()
        assert set(places) <= set(range(ranked))
        beyond = others.filter(role=role, reason="budget")["place"]
        assert all(place >= len(ids(made, role)) for place in beyond)
    if settings.difficulty != "proportional":
        assert others["share"].null_count() == len(others)


def ids(made: Selection, role: str = "positive") -> list[str]:
    return made.rows.filter(role=role).sort("rank")["rollout_id"].to_list()


def count(made: Selection) -> tuple[int, int]:
    return len(ids(made, "positive")), len(ids(made, "noise"))


# The budget ---------------------------------------------------------------------------------------


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
    {"difficulty": (0.2, 0.8), "noise": 0.2},
    {"difficulty": "proportional", "per_problem": 3, "noise": 0.25},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_order_of_the_rows_does_not_matter(settings):
    frame = many(40, 25)
    rates = pass_rates(frame)
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


def test_length_is_prompt_and_response_and_one_token_for_the_end():
    frame = kept(
        {"num_response_tokens": 10}, {"num_response_tokens": 11}, {"num_response_tokens": None}, {}
    )
    lengths = pl.DataFrame(
        {
            "rollout_id": [f"r{index:04d}" for index in (3, 2, 1, 0, 9)],
            "num_prompt_tokens": [None, 99, 89, 89, 99],
        }
    )
    assert too_long(frame, lengths, 100) == {"r0001"}
    assert too_long(frame, lengths, 99) == {"r0000", "r0001"}


# Difficulty ---------------------------------------------------------------------------------------


def test_pass_rates_are_over_all_verdicts():
    verdicts = ["correct", "wrong", "no_answer", "timeout"]
    frame = kept(*({"verdict": v, "problem_id": "p"} for v in verdicts), {"problem_id": "q"})
    assert pass_rates(frame) == {"p": 0.25, "q": 1.0}


def test_a_window_of_pass_rates_holds_its_borders():
    rates = {"a": 0.0, "b": 0.25, "c": 0.5, "d": 0.75, "e": 1.0}
    frame = kept(*({"problem_id": name, "mean_entropy": 1.0} for name in [*rates, "unknown"]))
    made = chosen(frame, pass_rates=rates, difficulty=(0.25, 0.75))
    assert set(made.rows["problem_id"]) == {"b", "c", "d"}
    assert made.dropped == {"difficulty": 3}
    made = chosen(frame, pass_rates=rates, difficulty=(1, 1))
    assert set(made.rows["problem_id"]) == {"e"}


def test_the_window_is_of_what_was_sampled_and_not_of_what_is_left():
    frame = kept({"problem_id": "a", "mean_entropy": 1.0})
    with pytest.raises(RFTError, match="no correct sample"):
        chosen(frame, pass_rates={"a": 0.125}, difficulty=(0.5, 1))


def largest_remainder(weights: dict[str, Fraction], budget: int) -> dict[str, int]:
    """Share a budget by the best of all ways to round up: the one nearest to the exact shares."""
    total = sum(weights.values())
    count = len(weights)
    exact = {
        name: budget * weight / total if total else Fraction(budget, count)
        for name, weight in weights.items()
    }
    down = {name: int(share) for name, share in exact.items()}
    spare = budget - sum(down.values())
    order = sorted(exact, key=lambda name: (down[name] - exact[name], name))
    return {name: down[name] + (name in order[:spare]) for name in exact}


def test_harder_problems_get_more_by_largest_remainder():
    for seed in range(60):
        source = random.Random(seed)
        names = [f"p{index}" for index in range(source.randint(1, 7))]
        # Fail rates of sixteenths; all distinct, so that no two remainders can tie by rounding.
        fails = dict(zip(names, source.sample(range(17), len(names)), strict=True))
        rates = {name: 1 - fail / 16 for name, fail in fails.items()}
        frame = kept(*({"problem_id": name} for name in names for _ in range(30)))
        budget = source.randint(1, 25)
        wanted = largest_remainder({n: Fraction(fail, 16) for n, fail in fails.items()}, budget)
        ranked = frame.sample(fraction=1, shuffle=True, seed=seed)
        first = in_proportion(ranked, rates, budget).head(budget)
        counts = dict(first["problem_id"].value_counts().iter_rows())
        total = sum(fails.values())
        shares = {n: Fraction(budget * f, total) if total else Fraction(budget, len(names))
                  for n, f in fails.items()}  # fmt: skip
        tied = len({share - int(share) for share in shares.values()}) < len(shares)
        if not tied:
            assert {name: counts.get(name, 0) for name in names} == wanted
        for name in names:
            assert abs(counts.get(name, 0) - shares[name]) < 1, "not a rounding of the share"


def test_proportional_takes_the_best_of_each_problem():
    frame = many(60, 0, problems=3)
    rates = {"p0": 0.0, "p1": 0.5, "p2": 1.0}
    made = chosen(frame, pass_rates=rates, difficulty="proportional", budget=9)
    shares = dict(made.rows["problem_id"].value_counts().iter_rows())
    assert shares == {"p0": 6, "p1": 3}
    for name, share in shares.items():
        own = frame.filter(problem_id=name).sort("mean_entropy", descending=True)
        assert set(own["rollout_id"][:share]) == set(
            made.rows.filter(problem_id=name)["rollout_id"]
        )


def test_what_a_problem_cannot_fill_goes_to_the_best_of_the_others():
    frame = kept(
        {"problem_id": "hard", "mean_entropy": 0.0},
        *({"problem_id": "easy", "mean_entropy": float(index)} for index in range(1, 5)),
        {"problem_id": "solved", "mean_entropy": 9.0},
    )
    rates = {"hard": 0.1, "easy": 0.9, "solved": 1.0}
    made = chosen(frame, pass_rates=rates, difficulty="proportional", budget=4)
    assert ids(made) == ["r0000", "r0005", "r0004", "r0003"]
    assert made.shortfall == ""


def test_where_every_problem_is_solved_all_share_alike():
    frame = many(60, 0, problems=4)
    rates = dict.fromkeys(frame["problem_id"], 1.0)
    made = chosen(frame, pass_rates=rates, difficulty="proportional", budget=8)
    assert set(dict(made.rows["problem_id"].value_counts().iter_rows()).values()) == {2}


# Columns ------------------------------------------------------------------------------------------


def test_what_else_the_rows_hold_passes_through_behind_our_columns():
    frame = many(5, 5).with_columns(pl.lit(7).alias("theirs"), pl.lit("x").alias("__draw"))
    made = select(frame, settings=choice(by="random", noise=0.5), seed=0)
    assert made.rows.columns == [*TABLES["selected"].names, "theirs", "__draw"]
    assert set(made.rows["theirs"]) == {7}
    assert made.passed_over.columns == [*TABLES["passed_over"].names, "theirs", "__draw"]
