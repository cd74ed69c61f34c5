"""Blocks and charts as HTML: all of what they hold, and nothing of it that could act.

Run: python -m pytest tests/pipelines/readers/page/test_markup.py
"""

from html.parser import HTMLParser

import polars as pl

from pipelines.readers.blocks import entry, heading, table
from pipelines.readers.page.markup import ROWS, coded, figure_of, figures_of, html_of, table_of
from rft.charts import Axis, Series, curve, histogram

HOSTILE = "</td></table><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
SAFE = {"p", "code", "h3", "dl", "div", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td"}


class Reader(HTMLParser):
    """Reads a page: its tags with their attributes, and the texts in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def test_lines_of_prose_that_go_on_are_one_paragraph_and_an_empty_one_ends_it():
    assert html_of(["  One goes", "  on.", "", "", "  Two."]) == "<p>One goes on.</p>\n<p>Two.</p>"
    assert html_of([]) == html_of(["", ""]) == ""


def test_each_kind_of_block_is_there_in_order():
    blocks = [
        *heading("round 1"),
        *entry("note", "the form `x`"),
        *entry("more", "y"),
        *table("lr", [["what", "n"], ["a", "1"], ["", "2"]]),
        "  prose",
    ]
    drawn = Reader(html_of(blocks))
    assert [text for text in drawn.texts if text.strip()] == [
        *("round 1", "note", "the form ", "x", "more", "y", "what", "n", "a", "1", "2", "prose"),
    ]
    tags = [tag for tag, _ in drawn.tags]
    assert tags.count("dl") == tags.count("code") == 1
    assert ("th", {"scope": "col", "class": "number"}) in drawn.tags
    assert [tag for tag, _ in drawn.tags if tag in ("th", "td")] == ["th"] * 2 + ["td"] * 4


def test_a_head_without_a_word_heads_nothing():
    head = Reader(table_of([["model", ""], ["1", "Pass@1"]], "ll")).tags
    assert [tag for tag, _ in head if tag in ("th", "td")] == ["th", "td", "td", "td"]


def test_what_is_code_is_marked_and_a_single_mark_is_a_letter():
    assert coded("`rft run` and ` alone") == "<code>rft run</code> and ` alone"
    assert coded("`<b>`") == "<code>&lt;b&gt;</code>"


def test_foreign_words_are_words_wherever_they_stand():
    blocks = [
        f"  {HOSTILE}",
        f"  `{HOSTILE}`",
        *heading(HOSTILE),
        *entry(HOSTILE, HOSTILE),
        *table("ll", [[HOSTILE, "n"], ["a", HOSTILE]]),
    ]
    drawn = Reader(html_of(blocks))
    assert {tag for tag, _ in drawn.tags} <= SAFE
    assert "".join(drawn.texts).count(HOSTILE) == 7
    label = Reader(table_of([["n"], ["1"]], "l", HOSTILE)).tags[0]
    assert label[1]["aria-label"] == HOSTILE


def test_a_figure_has_its_title_and_its_numbers_as_a_table():
    frame = pl.DataFrame({"k": [1, 2, 4], "v": [0.5, None, 1 / 3], "m": ["a", "a", HOSTILE]})
    axes = Axis("k", "k", "log2"), Axis("v", "Pass@k", "share")
    chart = curve(frame, *axes, series=Series("m"), title=HOSTILE)
    drawn = Reader(figure_of("mine", chart))
    assert not {"script", "img"} & {tag for tag, _ in drawn.tags}
    cells = drawn.texts[drawn.texts.index("The numbers") + 1 :]
    kept = [cell for cell in cells if cell.strip()]
    assert kept[:2] == ["k", "Pass@k"]
    assert [cell for cell in kept[2:] if cell in ("0.5", "-", "0.3333")] == ["0.5", "-", "0.3333"]
    assert ("figure", {"id": "figure-mine"}) in drawn.tags
    (svg,) = [about for tag, about in drawn.tags if tag == "svg"]
    assert svg["role"] == "img"
    assert svg["aria-label"].startswith("</td></table><script>alert(1)")


def test_a_table_of_many_numbers_says_how_many_it_shows():
    frame = pl.DataFrame({"x": range(ROWS + 5), "y": range(ROWS + 5)})
    drawn = figure_of("many", curve(frame, Axis("x", "x"), Axis("y", "y")))
    assert Reader(drawn).tags.count(("td", {"class": "number"})) == 2 * ROWS
    assert f"{ROWS} of {ROWS + 5} rows" in drawn


def test_figures_stand_together_and_none_are_nothing():
    chart = histogram(pl.DataFrame({"v": [1.0, 2.0]}), Axis("v", "v"), title="v")
    assert figures_of([]) == ""
    both = Reader(figures_of([("one", chart), ("two", chart)]))
    assert both.tags[0] == ("div", {"class": "figures"})
    ids = [about["id"] for _, about in both.tags if "id" in about]
    assert len(ids) == len(set(ids))
