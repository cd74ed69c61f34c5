"""What a page holds is drawn: some of every kind, whole problems, and counts that are of all rows.

Run: python -m pytest tests/pipelines/readers/page/test_draw.py
"""

from collections import Counter
from itertools import product

import polars as pl
import pytest

from pipelines.readers.page.draw import GROUP, KIND, OF_EACH, counted, drawn, everything
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run
from tests.token_run import EVALUATED, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("draw") / "run", whole=True)


def many(problems: int, samples: int) -> pl.DataFrame:
    """Make rows of two rounds and of two models, most of which are alike and a few are rare."""
    rows = []
    for kind, round, problem, sample in product(
        ("round", "model"), (1, 2), range(problems), range(samples)
    ):
        number = problem * samples + sample
        rows.append(
            {
                "id": f"{kind}.{round}.{problem}.{sample}",
                "kind": kind,
                "round": round,
                "benchmark": "train" if kind == "round" else "test",
                "problem_id": f"p{problem}",
                "sample": sample,
                "verdict": "timeout" if number % 997 == 5 else "correct" if sample % 2 else "wrong",
                "fate": "rejected: rare" if number == 77 else "graded",
                "finish": "stop",
            }
        )
    return pl.DataFrame(rows)


def kinds_of(rows: pl.DataFrame) -> Counter:
    return Counter(rows.select(KIND).iter_rows())


def test_all_rows_of_the_tables_are_there_with_what_became_of_each(run):
    rows = everything(run)
    mine = rows.filter(kind="round")
    assert sorted(mine["id"]) == sorted(run.read("rollouts", 1, ["rollout_id"])["rollout_id"])
    assert rows["id"].is_unique().all()
    rejected = Counter(run.read("rejected", 1, ["rejected_by"])["rejected_by"])
    roles = Counter(run.read("selected", 1, ["role"])["role"])
    left = Counter(run.read("passed_over", 1, ["reason"])["reason"])
    wanted = {f"rejected: {name}": count for name, count in rejected.items()}
    wanted |= {f"selected: {name}": count for name, count in roles.items()}
    wanted |= {f"passed over: {name}": count for name, count in left.items()}
    assert Counter(mine["fate"]) == wanted
    for model in (0, 1):
        told = rows.filter(kind="model", round=model)
        table = run.read("evaluations", model, ["verdict"])
        assert Counter(told["verdict"]) == Counter(table["verdict"])
        assert len(told) == sum(map(len, EVALUATED.values()))


def test_counts_are_of_all_rows_and_add_up_to_the_tables(run):
    rows = everything(run)
    counts = counted(rows)
    assert sum(row[-1] for row in counts) == len(rows)
    for column, table in (("verdict", "graded"), ("finish", "graded")):
        told: Counter = Counter()
        for row in counts:
            if row[KIND.index("kind")] == "round":
                told[row[KIND.index(column)]] += row[-1]
        name = {"finish": "finish_reason"}.get(column, column)
        assert told == Counter(run.read(table, 1, [name])[name])


def test_what_fits_is_held_whole(run):
    rows = everything(run)
    assert drawn(rows, 0, most=len(rows)).equals(rows)


def test_of_more_there_are_some_of_every_kind_and_then_whole_problems():
    rows = many(400, 8)
    held = drawn(rows, seed=0, most=600)
    assert len(held) <= 600
    assert held["id"].is_unique().all()
    all_of_them, some = kinds_of(rows), kinds_of(held)
    for kind, count in all_of_them.items():
        assert some[kind] >= min(count, OF_EACH)
    sizes, there = (Counter(each.select(GROUP).iter_rows()) for each in (rows, held))
    torn = sum(count for key, count in there.items() if count < sizes[key])
    assert torn <= OF_EACH * len(all_of_them)
    assert len(held) - torn > 300  # most of what is held has all its siblings
    assert set(held["kind"]) == {"round", "model"}
    alone = drawn(rows.filter(kind="round"), seed=0, most=600)
    assert len(alone) > 600 - 8  # no room is left for what is not there


def test_where_there_are_more_kinds_than_room_each_has_one_before_any_has_two():
    rows = many(120, 4).with_columns(finish=pl.format("{}", pl.int_range(pl.len()) % 40))
    held = drawn(rows, seed=0, most=2 * len(kinds_of(rows)))
    assert set(kinds_of(held)) == set(kinds_of(rows))


def test_a_draw_is_the_same_whatever_the_order_of_rows_and_another_seed_draws_others():
    rows = many(200, 8)
    first = drawn(rows, seed=0, most=500)
    assert first["id"].to_list() == drawn(rows, seed=0, most=500)["id"].to_list()
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=3)
    assert drawn(shuffled, seed=0, most=500)["id"].to_list() == first["id"].to_list()
    assert set(drawn(rows, seed=1, most=500)["id"]) != set(first["id"])


def test_a_run_that_did_nothing_has_nothing(tmp_path):
    assert everything(Run(tmp_path, load_recipe("smoke"))).is_empty()
    assert everything(Run(tmp_path, load_recipe("grpo-quickstart"))).is_empty()
