"""Blocks of a report are lines for a terminal: nothing of them is lost there.

Run: python -m pytest tests/pipelines/readers/test_blocks.py
"""

from pipelines.readers import layout
from pipelines.readers.blocks import (
    Heading,
    Labelled,
    Table,
    entry,
    heading,
    in_sections,
    lines_of,
    table,
)

ROWS = [["model", "Pass@1"], ["0 base", "43.8"], ["1", "5.2"]]


def test_a_block_is_what_the_layout_makes_of_it():
    assert table("lr", ROWS) == [Table("lr", ROWS, 4)]
    assert lines_of(table("lr", ROWS)) == layout.table("lr", ROWS, 4)
    assert lines_of(table("lr", ROWS, 2))[1] == "  0 base    43.8"
    assert entry("note", "x") == [Labelled("note", "x", 2, 14)]
    long = "word " * 40
    assert lines_of(entry("note", long)) == layout.entry("note", long, 2, 14)
    assert heading("round 1") == [Heading("round 1")]
    assert lines_of(heading("round 1")) == ["  round 1"]


def test_prose_is_its_own_line_and_blocks_keep_their_order():
    blocks = ["  first", *entry("a", "b"), "", *heading("c"), "  last"]
    assert lines_of(blocks) == ["  first", "  a           b", "", "  c", "  last"]
    assert lines_of([]) == []


def test_sections_stand_under_their_titles_and_empty_ones_are_left_out():
    told = in_sections({"": ["head"], "One": ["  1"], "None": [], "Two": heading("2")})
    assert told == "head\n\nOne\n  1\n\nTwo\n  2"
