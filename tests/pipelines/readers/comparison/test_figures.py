"""Figures of a comparison: what is in them, and that they can be made of whatever there is."""

import numpy as np
import polars as pl
import pytest

from pipelines.readers.comparison import figures as pictures
from pipelines.readers.comparison.figures import by_round, figures, ways_of
from pipelines.readers.comparison.published import read_numbers, write_numbers
from pipelines.readers.comparison.side_by_side import SideBySide
from pipelines.readers.comparison.sources import of_arms, of_runs
from rft.charts import specification
from tests.compared_runs import begin, by_hand, draw, everywhere, make

ARMS = ("rules", "entropy", "noise", "same")
NAMES = ("pass-at-k-easy", "rounds", "entropy")


def drawn(comparison: SideBySide) -> dict[str, dict]:
    return {name: specification(chart) for name, chart in figures(comparison)}


def test_without_the_control_or_of_one_arm_there_is_no_figure_of_differences(known, tmp_path):
    part = known.part(tmp_path / "a", everywhere(["entropy", "noise"], [0, 5])).side_by_side()
    assert {"pass-at-k-easy", "unsolved-easy", "rounds"} <= (names := set(drawn(part)))
    assert not any(name.startswith("differences") for name in names)
    part = known.part(tmp_path / "b", [("rules", 5)]).side_by_side()
    assert not any(name.startswith("differences") for name in drawn(part))
    assert drawn(known.part(tmp_path / "c", []).side_by_side()) == {}


def test_a_figure_has_the_numbers_of_the_table(known):
    compared = known.side_by_side()
    curves = str(drawn(compared)["pass-at-k-hard"])
    for row in compared.on["hard"].rows(compared.on["hard"].metric("pass@2")):
        assert str(row.mean.value) in curves


def test_where_all_is_solved_the_overlap_of_what_is_not_can_be_drawn(tmp_path):
    whole, runs = begin(tmp_path / "arms", seeds=[0])
    texts = draw((1, 0, 0, 0, 0), 0)
    for each in runs:
        make(each.run, texts, texts)
    assert "unsolved-easy" in drawn(of_arms(tmp_path / "arms", whole, runs))


@pytest.mark.parametrize("dev_of_its_own", [False, True])
def test_each_arm_is_followed_over_its_rounds_on_dev(tmp_path, dev_of_its_own):
    dev = "prepare.dev={source: 'bundled:arithmetic', split: dev}"
    whole, runs = begin(tmp_path / "arms", dev, "evaluate.dev_n=2")
    texts = {}
    for place, each in enumerate(runs):
        sizes = 3 + each.seed if dev_of_its_own else 3
        answers = [draw((1, 1, 1, 1, 1), 2 * place + r, problems=sizes, n=2) for r in (0, 1)]
        texts[each.arm, each.seed] = answers
        given = draw((1, 1, 1, 1, 1), place)
        make(each.run, given, given, answers)
    compared = of_arms(tmp_path / "arms", whole, runs)
    split, way = by_round(compared)
    assert split == "dev"
    assert set(way["k"]) == {2}
    assert len(way) == 4
    for row in way.iter_rows(named=True):
        for name, metric in (("first", "pass@1"), ("last", "pass@2"), ("entropy", "entropy")):
            means = [
                np.mean(
                    [
                        value
                        for benchmark in ("easy", "hard")
                        for value in by_hand(
                            texts[row["arm"], seed][row["round"]], benchmark, metric, row["round"]
                        )
                    ]
                )
                for seed in (0, 1)
            ]
            assert row[name] == pytest.approx(np.mean(means))
            assert (row[f"{name} low"] is None) == dev_of_its_own
    told = drawn(compared)
    assert "on the dev problems" in str(told["rounds"]["title"])
    assert "dev" in str(told["entropy"]["title"])


def test_without_dev_in_one_of_them_all_are_followed_on_test(known):
    split, ways = ways_of(known.side_by_side())
    assert split == "test"
    assert {round for runs in ways.values() for way in runs for round in way} == {0, 1}
    assert "on the test problems" in str(drawn(known.side_by_side())["rounds"]["title"])


def legend(made: dict) -> list[str]:
    """Give what a legend lists."""
    told = made["layer"][-1]["encoding"].get("color") or made["layer"][0]["encoding"]["color"]
    return told["legend"].get("values", told["scale"]["domain"])


def test_the_base_is_in_the_legend_where_it_is_drawn_and_arms_look_alike_everywhere(known):
    told = drawn(known.side_by_side())
    assert legend(told["pass-at-k-easy"]) == ["base", *ARMS]
    assert legend(told["rounds"]) == legend(told["entropy"]) == [*ARMS]
    scales = [told[name]["layer"][0]["encoding"]["color"]["scale"] for name in NAMES]
    assert scales[0] == scales[1] == scales[2]


@pytest.mark.parametrize("few", [3, 4])
def test_more_bands_than_a_few_are_not_drawn_and_no_note_is_of_another_figure(
    known, monkeypatch, few
):
    monkeypatch.setattr(pictures, "FEW", few)
    made = drawn(known.side_by_side())["entropy"]
    marks = [layer["mark"]["type"] for layer in made["layer"]]
    assert ("area" in marks) == (few == len(ARMS))
    assert made["title"]["subtitle"] == [
        "0 is the base; means over seeds" + "; 95% intervals over problems and seeds" * (few == 4)
    ]


def test_a_run_is_followed_up_to_the_model_that_is_compared_and_no_further(known, tmp_path):
    run = str(known.run("rules", 0).path)
    compared = of_runs([f"{run}@0", run])
    write_numbers(compared, tmp_path / "comparison.parquet")
    for each in (compared, read_numbers([tmp_path / "comparison.parquet"])):
        _, ways = ways_of(each)
        assert [sorted(way) for runs in ways.values() for way in runs] == [[0], [0, 1]]
        _, way = by_round(each)
        assert way["round"].to_list() == [0, 0, 1]


def test_where_an_entropy_is_not_known_there_is_no_figure_of_it(known):
    _, way = by_round(known.side_by_side())
    assert way["entropy"].null_count() == 0
    assert isinstance(way, pl.DataFrame)
