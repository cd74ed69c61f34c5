"""A chart within a page: a picture in the page's colours, and all its numbers as tables.

Run: python -m pytest tests/charts/test_inline.py
"""

import re
from xml.etree import ElementTree

import polars as pl
import pytest

from rft.charts import (
    Axis,
    Series,
    bars,
    beside,
    curve,
    histogram,
    inline,
    numbers,
    overlaps,
    points,
    specification,
    title_of,
)
from rft.charts.style import COLOURS, FAINT, INK, MUTED

K, SHARE = Axis("k", "k of Pass@k"), Axis("v", "Pass@k", "share")
FRAME = pl.DataFrame(
    {
        "m": ["base", "base", "new", "new"],
        "k": [1, 2, 1, 2],
        "v": [0.25, 0.5, 0.5, None],
        "low": [0.2, 0.4, 0.4, None],
        "high": [0.3, 0.6, 0.6, None],
    }
)
BAND = ("low", "high")


def every_kind():
    yield curve(FRAME, K, SHARE, series=Series("m"), band=BAND, title="curve", note="note")
    yield histogram(FRAME, SHARE, series=Series("m"), bins=4, title="histogram")
    yield bars(FRAME, Axis("m", "", "category"), SHARE, series=Series("m"), title="bars")
    yield points(FRAME, K, SHARE, series=Series("m"), trail="k", title="points")
    yield overlaps({"a": {"1", "2"}, "b": {"2"}}, members="problems", title="overlaps")
    yield beside([curve(FRAME, K, SHARE, narrow=True) for _ in range(3)], title="beside")


def test_a_picture_takes_the_colours_of_the_page_and_has_no_ground_of_its_own():
    for chart in every_kind():
        spec = specification(chart)
        svg = inline(spec, "mine")
        tree = ElementTree.fromstring(svg)  # whole, whatever was put in
        assert (tree.get("role"), tree.get("aria-label")) == ("img", title_of(spec))
        for colour in (INK, FAINT, MUTED, COLOURS[-1], "#FFFFFF"):
            assert f'"{colour}"'.lower() not in svg.lower()
        used = set(re.findall(r'"(var\([^)]*\))"', svg))
        assert {"var(--ink)"} <= used <= {"var(--ink)", "var(--faint)", "var(--muted)"}
        assert svg.count("var(") == sum(svg.count(f'"{each}"') for each in used)


def test_ids_are_of_the_name_so_that_two_pictures_of_a_page_do_not_meet():
    (first, *_) = every_kind()
    svg = inline(specification(first), "one")
    ids = re.findall(r'\bid="([^"]*)"', svg)
    asked = re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', svg)
    assert all(each.startswith("one-") for each in ids)
    assert {"".join(each) for each in asked} <= set(ids)


def test_a_title_is_quoted():
    chart = curve(FRAME, K, SHARE, title='"><script>alert(1)</script>&')
    tree = ElementTree.fromstring(inline(specification(chart), "x"))
    assert tree.get("aria-label") == '"><script>alert(1)</script>&'
    assert title_of(specification(curve(FRAME, K, SHARE))) == ""


def test_the_numbers_of_a_curve_are_its_points_with_their_ends():
    ((head, rows),) = numbers(specification(next(every_kind())))
    assert head == ["", "k of Pass@k", "Pass@k", "low", "high"]
    assert rows == [list(row) for row in FRAME.iter_rows()]


def test_the_numbers_of_a_histogram_are_its_bins_and_each_series_adds_up_to_one():
    chart = histogram(FRAME, SHARE, series=Series("m"), bins=4)
    ((head, rows),) = numbers(specification(chart))
    assert head[1:3] == ["Pass@k", "to"]
    assert len(rows) == 2 * 4
    for name, known in (("base", 2), ("new", 1)):
        shares = [row[-1] for row in rows if row[0] == name]
        assert sum(shares) == pytest.approx(1)
        assert sorted(each for each in shares if each) == [1 / known] * known


def test_each_of_several_plots_has_its_table():
    *_, chart = every_kind()
    tables = list(numbers(specification(chart)))
    assert len(tables) == 3
    assert all(rows == tables[0][1] for _, rows in tables)


def test_a_chart_of_nothing_has_no_numbers():
    nothing = FRAME.clear()
    assert list(numbers(specification(curve(nothing, K, SHARE)))) == []
