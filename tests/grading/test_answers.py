r"""Pins what a box is: balanced `\boxed{...}`, the one that starts first wins, linear time.

Run: python -m pytest tests/grading/test_answers.py
"""

import random
import time

import pytest

from rft.grading.answers import answer_of, boxes, count_boxes, first_box, last_answer_of

PIECES = ["\\boxed{", "\\boxed  {", "{", "}", "\\{", "\\}", "a", "\\\\", "\\", "boxed{"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{42}.", "42"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{1/3}", "1/3"),
        (r"\boxed {5}", "5"),
        ("\\boxed\n {5}", "5"),
        (r"\boxed{ 7 }", "7"),
        (r"\boxed{1} or \boxed{2}", "1"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\}}", r"\}"),
        (r"\boxed{a \\ b}", r"a \\ b"),
        (r"\boxed{a \\}", r"a \\"),
        (r"\boxed{}", ""),
        (r"\boxed{\boxed{3}}", r"\boxed{3}"),
        # The first one never closes; the next does.
        (r"\boxed{1 and then \boxed{2}", "2"),
        (r"{ \boxed{4}", "4"),
        (r"} \boxed{4}", "4"),
        (r"\boxed{4}}}", "4"),
        (r"\boxed{\phantom{2}} hence \boxed{4}", r"\phantom{2}"),
    ],
)
def test_the_answer_is_the_content_of_the_first_balanced_box(text: str, answer: str) -> None:
    assert answer_of(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no box",
        r"\boxed",
        r"\boxed 5",
        r"\boxed{5",
        r"\boxed{{5}",
        r"\boxed{5\}",
        r"\boxed\{5}",
        r"\\boxed{5}",
        r"boxed{5}",
        r"\boxedx{5}",
        r"\fbox{5}",
        "\\",
    ],
)
def test_what_is_no_box_gives_no_answer(text: str) -> None:
    assert answer_of(text) is None
    assert last_answer_of(text) is None
    assert count_boxes(text) == 0


def test_a_box_says_where_it_is() -> None:
    text = r"so \boxed{\frac{1}{2}}$."
    box = first_box(text)
    assert box is not None
    assert text[box.start : box.end] == r"\boxed{\frac{1}{2}}"
    assert box.content == r"\frac{1}{2}"


def test_nested_boxes_are_listed_outermost_first() -> None:
    text = r"\boxed{a \boxed{b} c} \boxed{d}"
    assert [box.content for box in boxes(text)] == [r"a \boxed{b} c", "b", "d"]
    assert count_boxes(text) == 3
    assert last_answer_of(text) == "d"


def test_random_texts_agree_with_a_scanner_that_starts_over_at_every_box() -> None:
    generator = random.Random(0)
    found = 0
    for _ in range(20_000):
        text = "".join(generator.choices(PIECES, k=generator.randrange(14)))
        expected = _slow_boxes(text)
        assert [(box.start, box.end, box.content) for box in boxes(text)] == expected, text
        first = first_box(text)
        assert (first and first.content) == (expected[0][2] if expected else None), text
        found += len(expected)
    assert found > 3_000


def test_cutting_after_the_first_box_keeps_the_answer() -> None:
    generator = random.Random(1)
    for _ in range(5_000):
        text = "".join(generator.choices(PIECES, k=12))
        box = first_box(text)
        if box is not None:
            # A token may carry more than the brace: any longer cut must not change the answer.
            cut = generator.randrange(box.end, len(text) + 1)
            assert answer_of(text[:cut]) == answer_of(text), text


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 100_000,
        "\\boxed{" * 100_000 + "}" * 100_000,
        "\\boxed{1}" + "{" * 1_000_000,
        "\\boxed{1}" + "}" * 1_000_000,
        "\\boxed{" + "\\" * 1_000_001,
        "\\boxed" + " " * 1_000_000,
        "\\boxed " * 150_000,
    ],
)
def test_hostile_text_takes_linear_time(text: str) -> None:
    began = time.process_time()
    answer_of(text)
    count_boxes(text)
    last_answer_of(text)
    # A quadratic scan of a million characters takes minutes.
    assert time.process_time() - began < 10


def _slow_boxes(text: str) -> list[tuple[int, int, str]]:
    found = []
    position = 0
    while position < len(text):
        if text[position] != "\\":
            position += 1
            continue
        after = text[position + 1 :]
        if after.startswith("boxed") and after[5:].lstrip().startswith("{"):
            inside = text.index("{", position) + 1
            end = _slow_end(text, inside)
            if end is not None:
                found.append((position, end, text[inside : end - 1]))
            position = inside
        else:
            position += 2
    return found


def _slow_end(text: str, inside: int) -> int | None:
    depth, position = 1, inside
    while position < len(text):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position + 1
        position += 2 if text[position] == "\\" else 1
    return None
