"""Sums that are read exactly: what they are, and that math-verify says the same of each pair.

Run: python -m pytest tests/grading/test_closed_forms.py
"""

import random
import time
from fractions import Fraction

import pytest

from rft.grading import verifier_worker
from rft.grading.at_sight import settle
from rft.grading.closed_forms import closed_form, value
from tests.closed_forms import drawn, spelled


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "x", "(x)", "A", "even", "Tom", "1,000", "12:30", "5 cups of x", "01", "1.2.3"),
        *(
            "2 3",
            r"2\frac{1}{2}",
            r"1/2\pi",
            "1/2/3",
            "2^3^2",
            "2^{1/2}",
            "7(12)",
            "f(x)",
            r"\pi(2)",
        ),
        *(
            "e^2",
            "2i",
            "dx",
            r"\sqrt{x}",
            r"\sqrt{-1}",
            r"\frac{1}{0}",
            r"\frac{1}{x+1}",
            "0^0",
            "0^{-1}",
        ),
        *(
            "0.5x",
            "1.5+2",
            r"\sqrt{2.25}",
            "-(7-7)^3",
            "2^{99}",
            "(1+x",
            "1+x)",
            "{2",
            "x=3",
            "x!",
            "50%",
        ),
        *(r"\sin x", "x_1", r"\frac12", "3**2", "9" * 16, "(" * 100 + "2" + ")" * 100 + "^2" * 9),
    ],
)
def test_what_may_be_meant_otherwise_is_not_read(text):
    assert closed_form(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (r"\frac{3}{4}-\frac{1}{4}", "1/2"),
        ("-2^2", "-4"),
        ("(-2)^{2}", "4"),
        ("2^{-3}", "1/8"),
        (r"\sqrt{8}\cdot\sqrt{2}", "4"),
        (r"\sqrt{\frac{9}{4}}", "3/2"),
        (r"\left( 3-\frac{1}{2} \right)\, \cdot 2", "5"),
        ("-1.50", "-3/2"),
        ("12/8", "3/2"),
    ],
)
def test_numbers_are_what_they_are(text, number):
    assert closed_form(text) == (((1, ()), Fraction(number)),)


def test_roots_and_pi_have_the_value_that_sympy_gives_them():
    from sympy import N, pi, sqrt

    terms = closed_form(
        r"\frac{7}{3}\sqrt{45} - 2\pi^2 + \frac{1}{\pi} - \frac{\sqrt{2}}{\sqrt{3}}"
    )
    assert terms is not None
    oracle = 7 * sqrt(45) / 3 - 2 * pi**2 + 1 / pi - sqrt(2) / sqrt(3)
    assert str(value(terms))[:50] == str(N(oracle, 60))[:50]
    assert value(closed_form("x^2-x")) is None


@pytest.mark.parametrize("shape", ["{}", "({},{})", "[{},{})", r"\{{{},{}\}}"])
def test_math_verify_says_the_same_of_each_pair_that_is_decided(shape):
    source, decided = random.Random(shape), 0
    pool = [drawn(source) for _ in range(60)]
    for text in pool[:20]:
        other, third = source.choices(pool, k=2)
        gold = shape.format(text, other)
        for answer in (
            shape.format(spelled(text), spelled(other)),
            shape.format(spelled(other), spelled(text)),
            shape.format(text, third),
        ):
            judgement = settle(gold, answer)
            if judgement is None:
                continue
            decided += 1
            assert verifier_worker.gold_is_good(gold), gold
            said = verifier_worker.judge(gold, answer)
            assert judgement.verdict == said, (gold, answer)
    assert decided > 15


def test_no_text_takes_long():
    texts = ["(a+b+c)^{12}" * 9, "((((a+b)^{9})^{9})^{9})^{9}", r"\sqrt{999983}" * 15, "(" * 200]
    texts += ["-" * 200, "1+" * 100, "x^" * 100, r"\frac{" * 33, "(1+x)" * 40, "2^{12}" * 33]
    began = time.process_time()
    for text in texts:
        closed_form(text)
    assert time.process_time() - began < 2
