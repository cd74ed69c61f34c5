r"""Pins the one spelling of golds and answers: what is rewritten, what is left, that it is stable.

Run: python -m pytest tests/grading/test_spelling.py
"""

import random
import time
from fractions import Fraction

import pytest

from rft.grading.spelling import canonical


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        (r"1\,000", "1000"),
        (r"1\ 000", "1000"),
        ("1 000 000", "1000000"),
        ("1{,}000", "1000"),
        (r"1,\!000", "1000"),
        ("1,000,", "1,000"),
        ("5;", "5"),
        ("5.", "5"),
        (" 2 .", "2"),
        ("C.", "C"),
        ("B)", "B"),
        ("(B)", "B"),
        (r"\textbf{(B)}", "B"),
        ("36°", r"36^\circ"),
        (r"90\degree", r"90^\circ"),
        ("2 1/2", r"2\frac{1}{2}"),
        ("-2 1/2", r"-2\frac{1}{2}"),
        ("½", r"\frac{1}{2}"),
        ("2½", r"2\frac{1}{2}"),
        ("√2", r"\sqrt{2}"),
        ("√(x+1)", r"\sqrt{x+1}"),
        ("∞", r"\infty"),
        ("–5", "-5"),  # noqa: RUF001
        ("x²", "x^{2}"),
        ("2.88×10⁻¹⁹", r"2.88 \times 10^{-19}"),  # noqa: RUF001
        ("2.88*10^-19", r"2.88 \times 10^{-19}"),
        ("2.88e-19", r"2.88 \times 10^{-19}"),
        ("4.5E33", r"4.5 \times 10^{33}"),
        ("1 million", r"1 \times 10^{6}"),
        ("2.5 Billion", r"2.5 \times 10^{9}"),
        (r"\frac{1}{\mathrm{e}}", r"\frac{1}{e}"),
        ("-1./3", "-1/3"),
        ("= 5", "5"),
        (r"\text{5 eggs}", "5 eggs"),
        (r"\text{\$}5", r"\$5"),
        (r"\boldsymbol{5}", "5"),
        (r"\mathbf{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\text{The answer is } 5", "5"),
        (r"\text{The answer is 5}", "5"),
        (r"\text{Answer: }5", "5"),
        (r"2\text{ million}", r"2 \times 10^{6}"),
        (r"\$2.5\text{ million}", r"\$2.5 \times 10^{6}"),
        (r"2\text{ million people}", r"2 million \text{people}"),
        (r"\frac{1 \pm x}{2}", r"\frac{1 + x}{2},\frac{1 - x}{2}"),
        (r"\{(1,2)\}", "(1,2)"),
        (r"\varnothing", r"\emptyset"),
        ("5\\ ", "5"),
        ("+2", "2"),
        ("$5$", "5"),
        (r"\(x\)", "x"),
    ],
)
def test_a_spelling_becomes_the_one_that_is_read(written: str, spelled: str) -> None:
    assert canonical(written) == spelled


@pytest.mark.parametrize(
    "text",
    [
        "2 3/2",
        "100, 200",
        "1200 300",
        "f(x)",
        r"\$5",
        "$x=2$ or $x=3$",
        "1,00",
        "x",
        "B. 12",
        "answers",
        r"1 \pm x",
        r"\text{B}",
        r"\mathbf{a}+\mathbf{b}",
        r"\{(1,2),(3,4)\}",
        "1:2",
    ],
)
def test_what_could_mean_two_things_is_left(text: str) -> None:
    assert canonical(text) == text


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (r"0.\overline{3}", Fraction(1, 3)),
        (r"0.1\overline{6}", Fraction(1, 6)),
        (r"12.0\bar{45}", Fraction(12045 - 120, 990)),
        (r".\overline{9}", Fraction(1)),
        ("0.333...", Fraction(1, 3)),
        (r"0.1666\ldots", Fraction(1, 6)),
    ],
)
def test_a_repeating_decimal_is_the_fraction_that_it_is(written: str, value: Fraction) -> None:
    above, below = canonical(written).removeprefix(r"\frac{").removesuffix("}").split("}{")
    assert Fraction(int(above), int(below)) == value


def test_a_second_pass_changes_nothing() -> None:
    source = random.Random(0)
    signs = "0123456789.,;$ \u2013½√∞²⁻°()/\\{}eExC%+-="
    parts = [*signs, r"\,", "{,}", r"\times", "10^", "million"]
    for _ in range(5_000):
        text = "".join(source.choices(parts, k=source.randrange(10)))
        once = canonical(text)
        assert canonical(once) == once, text


@pytest.mark.parametrize(
    "text",
    ["=" * 2000, "," * 2000, "1 000" * 400, "√" * 2000, "²" * 2000, "0." + "3" * 1990, "(" * 2000],
)
def test_hostile_text_takes_no_time(text: str) -> None:
    began = time.process_time()
    canonical(text)
    assert time.process_time() - began < 0.5
