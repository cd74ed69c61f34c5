"""Rows that are dealt out come back part by part, each once and in their order."""

import random

import polars as pl
import pytest

from rft.runs import dealing
from rft.runs.dealing import dealt, parts_for
from rft.runs.tables import empty, pad


def rows(places: list[int]) -> pl.DataFrame:
    """Make verdicts of which each says when it came."""
    frame = pl.DataFrame({"answer": [str(place) for place in places]})
    return pad(frame, "verdicts").with_columns(pl.exclude("answer").cast(pl.String).fill_null("x"))


@pytest.mark.parametrize("waiting", [0, 1 << 30])
def test_each_part_has_its_rows_in_the_order_in_which_they_came(tmp_path, monkeypatch, waiting):
    monkeypatch.setattr(dealing, "WAITING_BYTES", waiting)
    source = random.Random(0)
    where = [source.randrange(5) for _ in range(200)]
    frames = [
        rows([*range(start, start + 20)]).with_columns(part=pl.Series(where[start : start + 20]))
        for start in range(0, 200, 20)
    ]
    made = list(dealt(frames, "verdicts", 7, tmp_path / "scratch"))
    for number, part in enumerate(made):
        wanted = [str(place) for place in range(200) if where[place] == number]
        assert part["answer"].to_list() == wanted
    assert [len(part) for part in made[5:]] == [0, 0], "parts of no rows are there too"
    assert made[6].schema == empty("verdicts").schema
    assert not (tmp_path / "scratch").exists()


def test_a_single_part_needs_no_file(tmp_path):
    frames = [rows([at]).with_columns(part=pl.lit(0)) for at in range(3)]
    [made] = dealt(frames, "verdicts", 1, tmp_path / "scratch")
    assert made.equals(rows([0, 1, 2]))
    [nothing] = dealt([], "verdicts", 1, tmp_path / "scratch")
    assert nothing.equals(empty("verdicts"))
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_of_another_attempt_is_no_part_and_what_breaks_leaves_nothing(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "000.arrow").write_bytes(b"half")

    def breaking():
        yield rows([1]).with_columns(part=pl.lit(0))
        raise RuntimeError("here")

    with pytest.raises(RuntimeError, match="here"):
        list(dealt(breaking(), "verdicts", 2, scratch))
    assert not scratch.exists()


def test_parts_hold_so_many_bytes_and_are_so_many_at_most():
    assert [parts_for(size, 10) for size in (0, 10, 10.5, 100, 10**9)] == [1, 1, 2, 10, 200]
