"""A comparison as files: there whole, the same each time, and figures where they can be made."""

import json
import sys

import pytest

from pipelines.readers.comparison.files import as_tree, write_files
from rft.foreign_text import json_line
from tests.compared_runs import everywhere


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
