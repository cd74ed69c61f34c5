"""Charts hold what they were given and nothing else, and are the same bytes for the same data.

Run: python -m pytest tests/charts/test_charts.py
"""

import json
import sys
from itertools import combinations as pairs_of
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from rft.charts import (
    Axis,
    Series,
    bars,
    beside,
    curve,
    histogram,
    overlaps,
    points,
    refuse_missing_charts,
    specification,
    write,
)
from rft.charts.marks import ROOM
from rft.charts.overlaps import combinations
from rft.charts.style import COLOURS, DASHES, HEIGHT, SHAPES, WIDTH, turns
from rft.errors import RFTError

HOSTILE = "</text><script>alert(1)</script> &amp; \u202e\x00 ${datum} " + "long " * 60
TAGS = {"svg", "g", "path", "text", "tspan", "line", "rect", "defs", "clipPath"}
ARMS = ("control", "entropy", HOSTILE)
K = Axis("k", "k", "log2")
SHARE = Axis("value", "Pass@k", "share")


def passes() -> pl.DataFrame:
    rows = [
        {"arm": arm, "k": k, "round": k.bit_length() - 1, "value": 0.1 * turn + k / 100}
        for turn, arm in enumerate(ARMS)
        for k in (1, 2, 4, 8)
    ]
    return pl.DataFrame(rows).with_columns(low=pl.col("value") - 0.05, high=pl.col("value") + 0.05)


def every_kind():
    frame, arms = passes(), Series("arm", "arm", ARMS)
    ends = ("low", "high")
    note = f"of {HOSTILE}"
    yield "curve", curve(frame, K, SHARE, series=arms, band=ends, title=HOSTILE, note=note)
    yield "histogram", histogram(frame, SHARE, series=arms, title=HOSTILE)
    yield "bars", bars(frame, Axis("arm", "", "category"), SHARE, band=ends)
    yield "groups", bars(frame, Axis("k", "", "category"), SHARE, series=arms, band=ends)
    x = Axis("low", "Pass@1", "share")
    yield "points", points(frame, x, SHARE, series=arms, trail="round")
    yield "overlaps", overlaps({arm: {"1", arm} for arm in ARMS}, members="problems")
    small = [curve(frame, K, SHARE, series=arms, narrow=True) for _ in range(3)]
    yield "beside", beside(small, title="three")


def values_of(made):
    (values,) = made["datasets"].values()
    return values


def test_every_chart_is_drawn_with_foreign_text_as_text_and_the_same_twice(tmp_path):
    charts = dict(every_kind())
    for name, chart in charts.items():
        assert [path.suffix for path in write(chart, tmp_path, name)] == [".svg", ".png", ".json"]
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(first) == 3 * len(charts)
    again = dict(every_kind())
    for name in ("curve", "overlaps"):
        for path in write(again[name], tmp_path / "again", name):
            assert path.read_bytes() == first[path.name]
    for name, content in first.items():
        if name.endswith(".svg"):
            tags = {each.tag.split("}")[-1] for each in ElementTree.fromstring(content).iter()}
            assert tags <= TAGS
        elif name.endswith(".json"):
            assert '"url"' not in content.decode()
        else:
            assert content.startswith(b"\x89PNG")


# XML 1.0: Char ::= #x9 | #xA | #xD | [#x20-#xD7FF] | [#xE000-#xFFFD] | [#x10000-#x10FFFF]
NO_XML = [*range(9), 11, 12, *range(14, 32), 0xD800, 0xDFFF, 0xFFFE, 0xFFFF]


def test_no_character_that_xml_forbids_ends_the_drawing_wherever_it_stands(tmp_path):
    text = "".join(map(chr, NO_XML))
    frame = passes().with_columns(arm=pl.lit(f"a{chr(0xFFFE)}{chr(0xFFFF)}"))
    arms = Series("arm", "arm", (text,))
    drawn = {
        "curve": curve(frame, K, SHARE, series=arms, title=text, note=text),
        "bars": bars(frame, Axis("arm", "", "category"), SHARE, series=arms),
        "overlaps": overlaps({text: {"1"}, "a\uffff": {"1", "2"}}, members="of", title=text),
    }
    for name, chart in drawn.items():
        svg, *_ = write(chart, tmp_path, name)
        ElementTree.fromstring(svg.read_bytes())
    for character in (chr(number) for number in NO_XML if number not in (0xD800, 0xDFFF)):
        made = json.dumps(specification(drawn["curve"]), ensure_ascii=False)
        assert character not in made


def test_the_specification_holds_each_value_once_and_no_column_of_foreign_name():
    frame = passes().rename({"value": "a.b[0]"})
    made = specification(curve(frame, K, Axis("a.b[0]", "Pass@k"), series=Series("arm")))
    rows = values_of(made)
    assert [row["y"] for row in rows] == frame["a.b[0]"].to_list()
    assert {key for row in rows for key in row} == {"x", "y", "series"}


def test_what_is_unknown_or_not_finite_is_null_and_never_zero():
    frame = pl.DataFrame({"x": [1, 2, 3, 4], "y": [0.5, None, float("nan"), float("inf")]})
    text = json.dumps(specification(curve(frame, Axis("x", "x"), Axis("y", "y"))))
    made = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert [row["y"] for row in values_of(made)] == [0.5, None, None, None]


def test_a_series_looks_the_same_in_every_picture_that_is_given_the_same_order():
    frame = passes()
    few = frame.filter(pl.col("arm") == "entropy")
    for shown in (frame, few):
        made = specification(curve(shown, K, SHARE, series=Series("arm", order=ARMS)))
        scale = made["layer"][-1]["encoding"]["color"]["scale"]
        assert scale["range"][scale["domain"].index("entropy")] == COLOURS[1]


def test_a_legend_lists_what_is_drawn_and_no_other_series_of_the_set():
    few = passes().filter(pl.col("arm") == "entropy")
    for shown, names in ((passes(), None), (few, ["entropy"])):
        for chart in (
            curve(shown, K, SHARE, series=Series("arm", order=ARMS)),
            points(shown, K, SHARE, series=Series("arm", order=ARMS)),
        ):
            encoding = specification(chart)["layer"][-1]["encoding"]
            for channel in ("color", "shape"):
                assert encoding[channel]["legend"].get("values") == names


def test_words_beside_points_never_stand_over_each_other_and_ends_of_ways_come_first():
    source = np.random.default_rng(0)
    places = [(0.0, 0.0)] * 13 + [tuple(each) for each in source.normal(0, 0.3, (13 * 3, 2))]
    frame = pl.DataFrame(
        [
            {"arm": f"arm {index % 13}", "round": index // 13, "x": x, "y": y}
            for index, (x, y) in enumerate(places)
        ]
    )
    made = specification(
        points(frame, Axis("x", "x"), Axis("y", "y"), series=Series("arm"), trail="round")
    )
    (words,) = (layer for layer in made["layer"] if layer["mark"]["type"] == "text")
    assert words["encoding"]["text"]["field"] == "word"
    rows = values_of(made)
    assert len(rows) == len(frame)
    assert all(row["word"] in ("", str(row["trail"])) for row in rows)
    told = [row["word"] for row in rows if row["word"]]
    assert told.count("0") == 1
    assert 15 < len(told) < 45
    ends = [row for row in rows if row["trail"] == 3]
    assert sum(bool(row["word"]) for row in ends) >= 10
    spread = {
        name: max(row[name] for row in rows) - min(row[name] for row in rows) for name in "xy"
    }
    seen = [row for row in rows if row["word"]]
    for one, other in pairs_of(seen, 2):
        across = abs(one["x"] - other["x"]) / spread["x"] * (WIDTH - 2 * ROOM)
        up = abs(one["y"] - other["y"]) / spread["y"] * (HEIGHT - 2 * ROOM)
        assert across >= 7 or up >= 11


def test_no_point_of_a_way_lies_on_the_frame():
    made = specification(points(passes(), K, SHARE, series=Series("arm"), trail="round"))
    for layer in made["layer"]:
        for way in "xy":
            scale = layer["encoding"][way]["scale"]
            assert scale["padding"] == ROOM
            assert not scale["nice"]


def test_no_two_of_many_series_look_the_same():
    looks = zip(turns(COLOURS, 56), turns(SHAPES, 56), turns(map_of(DASHES), 56), strict=True)
    assert len(set(looks)) == 56


def map_of(dashes):
    return [tuple(dash) for dash in dashes]


def test_a_histogram_counts_as_counting_does():
    values = np.random.default_rng(0).normal(size=200)
    frame = pl.DataFrame({"v": [*values, None, float("nan")]})
    rows = values_of(specification(histogram(frame, Axis("v", "v"), bins=7)))
    width = (values.max() - values.min()) / 7
    for row in rows:
        last = row["to"] >= values.max()
        inside = (values >= row["from"]) & ((values < row["to"]) | last)
        assert row["share"] == pytest.approx(inside.mean())
        assert row["to"] - row["from"] == pytest.approx(width)


@pytest.mark.parametrize("n", [10, 20, 100])
def test_each_share_is_in_the_bin_that_begins_with_it(n):
    frame = pl.DataFrame({"v": [c / n for c in range(n + 1)]})
    chart = histogram(frame, Axis("v", "v", limits=(0.0, 1.0)), bins=10)
    each = [round(row["share"] * (n + 1)) for row in values_of(specification(chart))]
    assert each == [n // 10] * 9 + [n // 10 + 1]


@pytest.mark.parametrize("values", [[], [None], [2.0], [2.0, 2.0]])
def test_a_histogram_of_nothing_or_of_one_value_is_one(values, tmp_path):
    frame = pl.DataFrame({"v": values}, schema={"v": pl.Float64})
    chart = histogram(frame, Axis("v", "v"))
    assert write(chart, tmp_path, "few")
    shares = [row["share"] for row in values_of(specification(chart))]
    assert sum(shares) == (1 if 2.0 in values else 0)


def test_combinations_agree_with_asking_each_member():
    source = np.random.default_rng(1)
    sets = {name: set(map(str, source.integers(30, size=14))) for name in "abcd"}
    counted = dict(combinations(sets))
    for names, count in counted.items():
        here = [
            member
            for member in set().union(*sets.values())
            if all((member in sets[name]) == (name in names) for name in sets)
        ]
        assert len(here) == count
    assert sum(counted.values()) == len(set().union(*sets.values()))


def test_without_the_extra_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(RFTError, match=r"need vl-convert-python.*pip install 'rft-rounds\[report"):
        refuse_missing_charts()
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(RFTError, match=r"^figures need altair, which is not installed; pip"):
        refuse_missing_charts()


def test_a_chart_that_cannot_be_drawn_leaves_nothing(tmp_path, monkeypatch):
    import vl_convert

    def refuse(*_arguments, **_options):
        raise ValueError("no")

    monkeypatch.setattr(vl_convert, "svg_to_png", refuse)
    with pytest.raises(ValueError, match="no"):
        write(curve(passes(), K, SHARE), tmp_path, "none")
    assert not list(tmp_path.iterdir())
