"""What models are measured on has one name everywhere, and a file's name of its own.

Run: python -m pytest tests/pipelines/readers/test_measured_on.py
"""

import re

import polars as pl

from pipelines.readers.measured_on import NAME, MeasuredOn, measured_on, slugs

BENCHMARKS = [
    *("test", "AIME24", "aime24", "a/b", "a-b", "../../etc", "", ".", "数学", "x" * 1_000),
    *("x" * 999, "$(reboot)", "a\nb", "-rf"),
]


def test_names_of_files_are_safe_and_no_two_are_the_same():
    names = slugs(BENCHMARKS)
    assert list(names) == BENCHMARKS
    assert names["test"] == "test"
    assert len(set(names.values())) == len(BENCHMARKS)
    for name in names.values():
        assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*", f"pass-at-k-{name}")
        assert len(name) < 60


def test_dev_is_one_whole_and_each_benchmark_of_test_is_told_apart():
    rows = pl.DataFrame(
        {
            "split": ["test", "dev", "dev", "test", "test"],
            "benchmark": ["test", "dev", "b", "aime24", "aime24"],
        }
    )
    there = measured_on({0: rows.head(2), 3: rows})
    assert there == [MeasuredOn("dev"), MeasuredOn("test", "aime24"), MeasuredOn("test", "test")]
    assert [what.name for what in there] == ["dev", "test aime24", "test"]
    assert [len(what.of(rows)) for what in there] == [2, 2, 1]
    for what in there[1:]:
        assert set(what.of(rows).select(NAME).to_series()) == {what.name}
    assert measured_on({}) == []
