"""A comparison as files: there whole, the same each time, and figures where they can be made."""

import io
import json
import sys

import polars as pl
import pytest

from pipelines.readers.comparison.files import PROBLEMS, as_tree, csv_of, write_files
from pipelines.readers.comparison.text import reach
from rft.foreign_text import json_line
from tests.compared_runs import everywhere, unsolved_by_hand


def test_tables_and_figures_are_written_and_the_same_each_time(known, tmp_path):
    part = known.part(tmp_path / "part", everywhere(["rules", "entropy"], [0, 5])).side_by_side()
    told = write_files(part, tmp_path / "one")
    assert told == [
        f"comparison.md, .csv, .json and .parquet are in {tmp_path / 'one'}",
        "figures (pass-at-k-easy, differences-easy, unsolved-easy, pass-at-k-hard, "
        "differences-hard, unsolved-hard, rounds, entropy) are in "
        f"{tmp_path / 'one' / 'figures'}",
        f"the page is {tmp_path / 'one' / 'comparison.html'}",
    ]
    write_files(part, tmp_path / "two")
    names = {str(path.relative_to(tmp_path / "one")) for path in (tmp_path / "one").rglob("*.*")}
    assert len(names) == 5 + 8 * 3
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert json.loads((tmp_path / "one" / "comparison.json").read_text()) == as_tree(part)


def test_what_is_solved_at_all_is_in_all_files_as_it_is_in_the_table(known):
    compared = known.side_by_side()
    written = pl.read_csv(io.StringIO(csv_of(compared)))
    for name, told in as_tree(compared)["benchmarks"].items():
        head, *rows = reach(compared.on[name]).rows
        assert [each["arm"] for each in told["reach"]] == [*compared.arms]
        for each, row in zip(told["reach"], rows, strict=True):
            after = [known.after[each["arm"], seed] for seed in (0, 5)]
            assert each["by_no_seed"] == len(unsolved_by_hand(after, name))
            cells = dict(zip(head, row, strict=True))
            assert cells["never solved"] == f"{each['never_solved']:.1f}"
            for cell, what in (("gained", "newly_solved"), ("lost", "newly_lost")):
                numbers = f"{each[what]:.1f} ({each[f'{what}_by_luck']:.1f})"
                assert cells[f"{cell} (luck)"] == numbers
            lines = written.filter(benchmark=name, arm=each["arm"])
            means = ("mean_value", "mean_low", "mean_high")
            for what in PROBLEMS:
                (line,) = lines.filter(metric=what).select("seeds", *means).rows()
                assert line == (2, pytest.approx(each[what]), None, None)
            (line,) = lines.filter(metric="crossover").select(means).rows()
            assert line == tuple(each["crossover"][end] for end in ("k", "low", "high"))


def test_for_programs_it_is_one_line(known):
    line = json_line(as_tree(known.side_by_side()))
    assert "\n" not in line
    assert "NaN" not in line
    assert json.loads(line)["control"] == "rules"


@pytest.mark.parametrize("package", ["altair", "vl_convert"])
def test_what_figures_lack_is_said_in_one_line_and_tables_are_there(
    known, tmp_path, monkeypatch, package
):
    monkeypatch.setitem(sys.modules, package, None)
    tables, figures = write_files(known.side_by_side(), tmp_path)
    assert (tmp_path / "comparison.csv").is_file()
    assert tables
    assert figures.startswith("figures need ")
    assert "pip install 'rft-rounds[report]'" in figures
    assert "\n" not in figures
    assert not (tmp_path / "figures").exists()


def test_where_nothing_is_done_the_files_say_so(known, tmp_path):
    write_files(known.part(tmp_path / "part", []).side_by_side(), tmp_path)
    assert "none of 8 runs is done yet" in (tmp_path / "comparison.md").read_text()
    assert (tmp_path / "comparison.csv").read_text() == ""
