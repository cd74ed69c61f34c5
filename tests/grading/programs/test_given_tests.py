"""Pins which golds are tests, and when an output is the one that is wanted.

Run: python -m pytest tests/grading/programs/test_given_tests.py
"""

import json

import pytest

from rft.grading.programs.given_tests import (
    Asserts,
    Calls,
    Streams,
    read_tests,
    same_output,
    same_result,
)


def gold(**parts):
    return json.dumps(parts)


@pytest.mark.parametrize(
    ("text", "tests"),
    [
        (gold(inputs=["1\n"], outputs=["2\n"]), Streams([("1\n", "2\n")])),
        (gold(inputs=[["1", "2"]], outputs=[["3"]]), Streams([("1\n2", "3")])),
        (gold(inputs=[[1, 2]], outputs=[3], fn_name="f"), Calls("f", [([1, 2], 3)])),
        (gold(inputs=["[1]\n2"], outputs=["[3]"], fn_name="f"), Calls("f", [([[1], 2], [3])])),
        (gold(inputs=[["a"]], outputs=["no JSON"], fn_name="f"), Calls("f", [(["a"], "no JSON")])),
        ("assert f(1) == 2", Asserts("assert f(1) == 2")),
        (gold(inputs=[], outputs=[]), None),
        (gold(inputs=["1"], outputs=[]), None),
        (gold(inputs=[1], outputs=[2]), None),
        (gold(inputs=["1"] * 1001, outputs=["1"] * 1001), None),
        (gold(inputs=[1], outputs=[2], fn_name="f"), None),
        (gold(inputs=["{"], outputs=[2], fn_name="f"), None),
        (gold(inputs=[[1]], outputs=[2], fn_name="__import__('os')"), None),
        (gold(inputs=5, outputs=5), None),
        (gold(answer=5), None),
        ("{" * 100_000, None),
        ('{"inputs": ["1"], "outputs": [' + "9" * 5000 + "]}", None),
    ],
)
def test_a_gold_is_tests_or_nothing(text, tests):
    assert read_tests(text) == tests


@pytest.mark.parametrize(
    ("output", "wanted", "same"),
    [
        (b"1\n2\n", "1\n2", True),
        (b"1  \n2\t\n\n\n", "1\n2", True),
        (b"1\r\n2", "1\n2\n", True),
        (b"1 2", "1  2", False),
        (b" 1", "1", False),
        (b"1\n\n2", "1\n2", False),
        (b"", "\n", True),
        (b"\xff", "1", False),
    ],
)
def test_outputs_are_compared_line_by_line(output, wanted, same):
    assert same_output(output, wanted) is same


@pytest.mark.parametrize(
    ("output", "wanted", "same"),
    [
        (b"[1, 2]\n", [1, 2], True),
        (b"5\n", [5], True),
        (b"[5]\n", 5, False),
        (b"1.0\n", 1, True),
        (b"", None, False),
        (b"null\n", None, True),
        (b"[" * 100_000, [1], False),
        (b"9" * 5000, 9, False),
    ],
)
def test_results_are_compared_as_json(output, wanted, same):
    assert same_result(output, wanted) is same
