"""Pins what ranking needs recorded, by the table of orders, and that an order is one row of it."""

import polars as pl
import pyarrow as pa
import pytest

from pipelines.readers.show import listing
from pipelines.readers.why import why
from rft.errors import RFTError
from rft.recipe.loading import load_recipe
from rft.recipe.selection import ORDERS, Order
from rft.runs.schemas import TABLES
from rft.selection.ranking import may_lack, rank, ranked_by
from tests.small_run import RIGHT, do, grade, new_run, prepare, sample


def needed(*overrides: str) -> bool:
    return may_lack(load_recipe("smoke", overrides))


def test_scoring_is_needed_only_where_rows_are_ranked_by_what_they_may_lack():
    replay = ("engine.kind=replay", "engine.path=x")
    assert not needed("select.by=entropy")
    assert not needed("select.by=perplexity", "sample.statistics.entropy=false")
    assert not needed("select.by=random", *replay)
    assert not needed("select.by=random", "select.noise_by=entropy", "select.noise=0", *replay)
    assert needed("select.by=random", "select.noise_by=entropy", *replay)
    assert needed("select.by=perplexity", *replay)
    assert needed("select.by=entropy", "engine={kind: server, url: http://x/v1}")
    assert needed("select.by=branching", "sample.statistics.branching=false")
    off = ("sample.statistics.branching=false", "sample.statistics.entropy=false")
    assert needed("select.by=perplexity", *off)
    assert not needed("select.by=random", *off)


def test_rows_that_have_no_role_are_ranked_by_nothing():
    by = {"select.by": "entropy", "select.noise_by": "branching"}
    named = [f"{key}={value}" for key, value in by.items()]

    def ranked(*more: str) -> dict[str, str]:
        return ranked_by(load_recipe("smoke", [*named, *more]).select)

    assert ranked() == {"correct": "mean_entropy", "wrong": "mean_branching"}
    assert ranked("select.noise=0") == {"correct": "mean_entropy"}
    assert ranked("select.noise=1") == {"wrong": "mean_branching"}
    assert ranked("select.by=random") == {"wrong": "mean_branching"}


# The table ----------------------------------------------------------------------------------------


def test_every_order_says_what_it_is_and_reads_what_kept_rows_have():
    for name, order in ORDERS.items():
        assert order.about, name
        assert order.column is None or order.column in TABLES["kept"].names
        assert order.needs is None or order.column in TABLES["scored"].names, "score computes it"


def test_the_recipe_takes_each_order_of_the_table_and_no_other():
    for name in ORDERS:
        assert load_recipe("smoke", [f"select.by={name}"]).select.by == name
    with pytest.raises(
        RFTError, match=r"by is .length., and should be 'random', .* or 'perplexity'"
    ):
        load_recipe("smoke", ["select.by=length"])


def test_an_order_more_is_a_row_of_the_table(tmp_path, monkeypatch):
    monkeypatch.setitem(ORDERS, "length", Order("the longest answers", "num_response_tokens"))
    recorded = ("select.by=length", "engine.kind=replay", "engine.path=x", "select.noise=0")
    assert not may_lack(load_recipe("smoke", recorded)), "no statistic is needed for it"
    run = new_run(tmp_path / "run", "select.by=length", "select.budget=2", "select.noise=0")
    prepare(run, answers={})
    samples = [("p0", "1" * size + RIGHT, "stop", None) for size in (5, 30, 10, 20)]
    sample(run, 1, samples)
    grade(run, 1, samples)
    do(run, "filter", 1)
    do(run, "select", 1)
    selected = run.read("selected", 1)
    assert selected["num_response_tokens"].to_list() == [42, 32]
    assert set(selected["ranked_by"]) == {"length"}
    told = [why(run, row) for row in listing(run).sort("num_response_tokens").to_dicts()]
    assert told[3].endswith("selected as positive, rank 1 of 2 by length (42)")
    assert told[0].endswith("budget: place 4 by length (17), while the budget took 2 positive")


def test_an_order_that_nothing_recorded_names_those_that_would_do():
    rows = pl.DataFrame({"rollout_id": ["a"], "mean_nll": [0.5]})
    with pytest.raises(RFTError, match=r"no row has a mean_entropy; .* random or perplexity$"):
        rank(rows, "entropy")


def test_an_order_that_nothing_recorded_is_refused_without_naming_score(monkeypatch):
    monkeypatch.setitem(ORDERS, "length", Order("the longest answers", "num_response_tokens"))
    rows = pl.DataFrame({"rollout_id": ["a"], "num_response_tokens": [None]}, strict=False)
    rows = rows.with_columns(pl.col("num_response_tokens").cast(pl.Int32))
    with pytest.raises(RFTError, match=r"no row has a num_response_tokens; set select.by: random"):
        rank(rows, "length")


@pytest.mark.parametrize("name", ["early", "long", "name", "draw"])
def test_the_value_of_an_order_that_is_an_expression_stands_in_both_tables(
    tmp_path, monkeypatch, name
):
    order = Order("the shortest", name, expression=-pl.col("num_response_tokens"))
    monkeypatch.setitem(ORDERS, name, order)
    for table in ("selected", "passed_over"):
        whole = TABLES[table].append(pa.field(name, pa.float32()))
        monkeypatch.setitem(TABLES, table, whole)
    run = new_run(tmp_path / "run", f"select.by={name}", "select.budget=2", "select.noise=0")
    prepare(run, answers={})
    samples = [("p0", "1" * size + RIGHT, "stop", None) for size in (5, 30, 10, 20)]
    samples.append(("p0", "none", "stop", None))
    sample(run, 1, samples)
    grade(run, 1, samples)
    do(run, "filter", 1)
    do(run, "select", 1)
    assert run.read("selected", 1)[name].to_list() == [-17.0, -22.0]
    passed_over = run.read("passed_over", 1, [name, "num_response_tokens"])
    assert len(passed_over) >= 2
    assert passed_over[name].to_list() == [-each for each in passed_over["num_response_tokens"]]
