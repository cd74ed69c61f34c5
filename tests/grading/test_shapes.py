r"""Pins which lists, points and sets may be one.

Run: python -m pytest tests/grading/test_shapes.py
"""

import pytest

from rft.grading.shapes import items, kind_of, same_shape


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("(1,2,3)", "point"),
        (r"\left(1, 2\right)", "point"),
        (r"\{1,2\}", "set"),
        (r"\left\{1,2\right\}", "set"),
        ("1,2", "list"),
        ("(1)", "list"),
        (r"\{1\}", "list"),
        ("(1,2),(3,4)", "list"),
        ("(x+1)(x,y)", "list"),
        ("", "list"),
    ],
)
def test_what_encloses_a_text_says_what_it_is(text: str, kind: str) -> None:
    assert kind_of(text) == kind


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("(1,2)", r"\{1,2\}", False),
        ("(1,2)", "1,2", True),
        (r"\{1,2\}", "2,1", True),
        ("1,2", "1,1,2", False),
        ("1,1,2", "1,2", False),
        ("1,1,2", "2,1,1", True),
        ("1,1,2", "1,2,2", False),
        (r"\{1,2\}", r"\{1,1,2\}", True),
        ("1,2", "1 and 2", True),
        ("1,2", "1, 1 and 2", False),
        (r"1\text{ and }2", "1, 2", True),
        ("1,-1", r"\pm 1", True),
        ("(1,2),(3,4)", "(3,4),(1,2)", True),
        ("1:2:3", "1:3:2", False),
        ("1:2:3", "2:4:6", True),
        ("12_8", "12_{7}", False),
        ("12_8", "12_{8}", True),
    ],
)
def test_two_texts_are_of_one_shape_or_not(gold: str, answer: str, same: bool) -> None:
    assert same_shape(gold, answer) is same


@pytest.mark.parametrize(
    ("text", "parts"),
    [("1,2", 2), ("(1,2),3", 2), ("f(1,2)", 1), ("1,(2", 1), ("1),2", 1), ("", 1), (",", 2)],
)
def test_only_commas_outside_brackets_part_items(text: str, parts: int) -> None:
    assert len(items(text)) == parts
