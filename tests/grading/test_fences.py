"""Pins which code block of a text is its program: the last closed one that holds any code.

Run: python -m pytest tests/grading/test_fences.py
"""

import pytest

from rft.grading.answers import Form, answer_of, form_of, read
from rft.grading.fences import blocks

CODE = Form(finds="code block")


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\nprint(1)\n```", "print(1)"),
        ("so\n```\nprint(1)\n```\nis it", "print(1)"),
        ("```py\na\n```\n```python3\nb\n```", "b"),
        ("```Python\na\n```", "a"),
        ("```python\na\n```\n```cpp\nb\n```", "a"),
        ("```python\na\n```\n```\n\n# nothing\n```", "a"),
        ("```python\na\n```\n```python\nnever closed", "a"),
        ("```python\nnever closed\n```python\nb\n```", "b"),
        ("````\n```\na\n````", "```\na"),
        ("1. so\n   ```python\n   if x:\n       y\n   ```", "if x:\n    y"),
        ("```python\r\na\r\n```\r\n", "a"),
        ("```python\na ``` b\n```", "a ``` b"),
        (r"\boxed{4}", None),
        ("`print(1)`", None),
        ("```\n```", None),
        ("```python\nprint(1)", None),
        ("", None),
    ],
)
def test_the_program_is_the_last_closed_block_with_code(text, program):
    assert answer_of(text, CODE) == program


def test_a_block_that_the_prompt_shows_is_no_program():
    shown = "Answer as\n```python\n# YOUR CODE HERE\npass\n```"
    form = form_of(shown, finds="code block")
    assert answer_of(shown, form) is None
    reading = read(f"```python\na\n```\n{shown}", form)
    assert (reading.answer, len(reading.answers), len(reading.placeholders)) == ("a", 1, 1)
    assert reading.together is None


def test_a_block_stands_where_it_says():
    text = "so\n  ```python\n  a\n  ```  \nend"
    (block,) = blocks(text)
    assert text[block.start : block.end] == "  ```python\n  a\n  ```  "


def test_many_fences_take_time_in_proportion():
    text = "```python\n" * 200_000
    assert blocks(text) == []
    assert len(blocks("```\na\n```\n" * 50_000)) == 50_000
