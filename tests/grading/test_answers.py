r"""Pins which box is the answer: balanced, the first that holds one, in linear time.

Run: python -m pytest tests/grading/test_answers.py
"""

import random
import time

import pytest

from rft.grading.answers import answer_box, answer_of, boxes, form_of, last_answer_of, read
from rft.grading.placeholders import LONGEST, is_placeholder, names_a_kind

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
        (r"\boxed{\boxed{3}}", r"\boxed{3}"),
        # The first one never closes; the next does.
        (r"\boxed{1 and then \boxed{2}", "2"),
        (r"{ \boxed{4}", "4"),
        (r"} \boxed{4}", "4"),
        (r"\boxed{4}}}", "4"),
        (r"\boxed{\phantom{2}} hence \boxed{4}", "4"),
        (r"within \boxed{}. So \boxed{5}", "5"),
        (r"\boxed{\boxed{}} \boxed{5}", "5"),
        (r"\boxed{your answer} \boxed{5} \boxed{6}", "5"),
    ],
)
def test_the_answer_is_the_content_of_the_first_balanced_box_that_holds_one(
    text: str, answer: str
) -> None:
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
        r"\boxed{}",
        r"\boxed{ }",
        r"\boxed{...} \boxed{\text{answer}}",
    ],
)
def test_what_is_no_box_or_holds_no_answer_gives_no_answer(text: str) -> None:
    assert answer_of(text) is None
    assert last_answer_of(text) is None
    assert not read(text).answers


# What base models echo of their instruction, and what looks like it and is an answer.
FORMS = r"""|  |...|. . .|\ldots|\cdots|\dots|…|_|__|\_\_\_|?|-|*|\square|\Box|\phantom{12}|
\hspace{1cm}|\,|\quad|~|\text{}|\text{ }|\boxed{}|{}|$ $|answer|Answer|ANSWER|answer here|
your answer|Your Answer|\text{answer}|\text{your answer}|\text{Your final answer}|
\textbf{Final Answer}|\mathrm{answer}|the answer|final answer|the final answer here|
insert answer here|[answer]|
<answer>|(answer)|your_answer|your\_answer|result|\text{result}|number|the number|your choice|
letter|the correct option|numerical value|\text{integer}|solution|final result|
\underline{\hspace{1cm}}|put your answer here|ans|the correct answer"""
ANSWERS = r"""0|5|-1|x|n|a|A|C|\text{A}|\text{no}|\text{Yes}|no solution|\text{no solution}|
\text{one solution}|\emptyset|\varnothing|\{\}5|()1|x_1|\text{answer: }5|answer is 5|\frac{1}{2}|
\pi|e|+|5!|i|1...|0.333...|1,2,\ldots,n|\text{two}|\text{integers}|\text{even number}|
\text{Monday}|\infty|\mathbb{R}|?1|\cdot 5|\text{undefined}|\text{DNE}|\phantom{1}5|2\,000"""


@pytest.mark.parametrize("content", FORMS.replace("\n", "").split("|"))
def test_the_form_repeated_is_no_answer(content: str) -> None:
    assert is_placeholder(content) or names_a_kind(content)
    reading = read(rf"put it in \boxed{{{content}}}. So \boxed{{7}}.")
    assert reading.answer == "7"
    assert len(reading.answers) == 1
    assert reading.placeholders


@pytest.mark.parametrize("content", ANSWERS.replace("\n", "").split("|"))
def test_what_could_be_an_answer_is_one(content: str) -> None:
    assert not is_placeholder(content)
    assert answer_of(rf"so \boxed{{{content}}} or \boxed{{7}}") == content


@pytest.mark.parametrize("kind", ["fraction", r"\text{integer}", "number", "letter"])
def test_a_kind_of_answer_is_an_answer_where_no_other_is_given(kind: str) -> None:
    assert answer_of(rf"It is \boxed{{{kind}}} and not \boxed{{}}.") == kind
    assert answer_of(rf"I write \boxed{{{kind}}}: \boxed{{7}}") == "7"


def test_a_long_text_is_never_a_placeholder() -> None:
    assert is_placeholder("." * LONGEST)
    assert not is_placeholder("." * (LONGEST + 1))


def test_a_letter_that_the_prompt_shows_in_a_box_is_no_answer() -> None:
    echo = r"I write \boxed{n}. It is \boxed{12}."
    assert answer_of(echo) == "n"
    assert answer_of(echo, form_of(r"Give it as \boxed{n}.")) == "12"
    assert answer_of(r"It is \boxed{n}.", form_of(r"Give it as \boxed{n}.")) is None
    assert answer_of(r"It is \boxed{m}.", form_of(r"Give it as \boxed{n}.")) == "m"
    assert answer_of(r"\boxed{N}", form_of(r"Give it as \boxed{n}.")) == "N"


def test_an_example_that_the_prompt_gives_is_an_answer_if_nothing_else_is() -> None:
    form = form_of(r"Write, for example, \boxed{42} or \boxed{C}.", "Be brief.")
    assert answer_of(r"As \boxed{42}: it is \boxed{7}.", form) == "7"
    assert answer_of(r"It is \boxed{42}.", form) == "42"
    assert answer_of(r"It is \boxed{C}, not \boxed{}.", form) == "C"
    reading = read(r"\boxed{42} \boxed{} \boxed{7} \boxed{C}", form)
    assert [box.content for box in reading.answers] == ["7"]
    assert [box.content for box in reading.placeholders] == ["42", "", "C"]


def test_answers_and_placeholders_are_all_of_the_boxes() -> None:
    generator = random.Random(3)
    parts = [r"\boxed{}", r"\boxed{5}", r"\boxed{...}", r"\boxed{n}", r"\boxed{", "}", " so "]
    form = form_of(r"\boxed{n} \boxed{5}")
    for _ in range(3_000):
        text = "".join(generator.choices(parts, k=8))
        reading = read(text, form)
        both = sorted(reading.answers + reading.placeholders, key=lambda box: box.start)
        assert [box.start for box in both] == [box.start for box in boxes(text)]


def test_several_answers_are_read_together_as_a_list() -> None:
    assert read(r"\boxed{1} and \boxed{2}").together == "1, 2"
    assert read(r"\boxed{} \boxed{1} and \boxed{1}, so \boxed{2}").together == "1, 2"
    assert read(r"\boxed{1}").together is None
    assert read(r"\boxed{\boxed{1} \boxed{2}}").together is None
    assert read(r"\boxed{1}" * 9).together is None


def test_a_box_says_where_it_is() -> None:
    text = r"so \boxed{\frac{1}{2}}$."
    box = answer_box(text)
    assert box is not None
    assert text[box.start : box.end] == r"\boxed{\frac{1}{2}}"
    assert box.content == r"\frac{1}{2}"


def test_nested_boxes_are_listed_outermost_first() -> None:
    text = r"\boxed{a \boxed{b} c} \boxed{d}"
    assert [box.content for box in boxes(text)] == [r"a \boxed{b} c", "b", "d"]
    assert len(read(text).answers) == 3
    assert last_answer_of(text) == "d"


def test_random_texts_agree_with_a_scanner_that_starts_over_at_every_box() -> None:
    generator = random.Random(0)
    found = 0
    for _ in range(20_000):
        text = "".join(generator.choices(PIECES, k=generator.randrange(14)))
        expected = _slow_boxes(text)
        assert [(box.start, box.end, box.content) for box in boxes(text)] == expected, text
        first = answer_box(text)
        holding = [content for _, _, content in expected if not is_placeholder(content)]
        assert (first and first.content) == (holding[0] if holding else None), text
        found += len(expected)
    assert found > 3_000


def test_cutting_after_the_answers_box_keeps_the_answer() -> None:
    generator = random.Random(1)
    for _ in range(5_000):
        text = "".join(generator.choices(PIECES, k=12))
        box = answer_box(text)
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
    read(text)
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
