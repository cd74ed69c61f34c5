"""Pins what a lenient reader takes for the answer.

Run: python -m pytest tests/grading/test_lenient.py
"""

import time

import pytest

from rft.grading.lenient import LAST, lenient_answers


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        (r"\boxed{1}", ["1"]),
        (r"\boxed{1} then \boxed{2}", ["1", "2", "1, 2"]),
        (r"\boxed{} \boxed{1} then \boxed{}", ["1"]),
        ("the answer is 4", ["4"]),
        ("The answer is x + 4. Done.", ["x + 4"]),
        (r"The answer is $\sqrt{3}$.", [r"\sqrt{3}"]),
        ("The answer is 2^4", ["2^4"]),
        ("The answer is 3x", ["3x"]),
        (r"The answer is $\boxed5$", [r"\boxed5", "5"]),
        ("The answer is 2 * 3 = 6 pears", ["2 * 3 = 6 pears", "6"]),
        ("answer: $3.5$", ["3.5"]),
        ("The answer is 3 apples", ["3 apples", "3"]),
        ("#### 1,200", ["1,200"]),
        ("first 3 then 4", ["4"]),
        (r"it makes \frac{3}{4} of it", [r"\frac{3}{4}"]),
        ("it makes -3/4", ["-3/4"]),
        ("nothing", []),
        ("", []),
    ],
)
def test_the_answer_may_be_in_the_first_box_the_last_or_none(text: str, answers: list[str]) -> None:
    assert lenient_answers(text) == answers


def test_only_the_end_of_a_text_without_a_box_is_looked_at() -> None:
    assert lenient_answers("5" + " word" * LAST) == []


@pytest.mark.parametrize(
    "text", ["answer is " * 50_000, "1" * 500_000, "-" * 500_000, "#" * 500_000]
)
def test_hostile_text_takes_no_time(text: str) -> None:
    began = time.process_time()
    lenient_answers(text)
    assert time.process_time() - began < 1
