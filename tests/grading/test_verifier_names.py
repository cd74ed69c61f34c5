"""Pins verdicts on variables, indices and bases, which math-verify takes for units and numbers.

Run: python -m pytest tests/grading/test_verifier_names.py
"""

from collections.abc import Iterator

import pytest

from rft.grading.verifier import Verifier


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(deadline=60, workers=1) as verifier:
        yield verifier


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        # Variables that math-verify takes for units at the end, or we for a word.
        ("6xy", "6", "wrong"),
        ("3ab", "3ba", "correct"),
        ("x+5d", "x+5", "wrong"),
        ("1+2m", "3", "wrong"),
        ("1+2m", "2m+1", "correct"),
        ("3s", "3t", "wrong"),
        ("2i+3", "3+2i", "correct"),
        ("A, B", "B, A", "correct"),
        # Names that it takes for numbers and functions.
        ("E_{1}+E_{2}", "E_2+E_1", "correct"),
        (r"\frac{1}{3}E_{1}+\frac{2}{3}E_{2}", r"\frac{1}{4}E_{1}+\frac{2}{3}E_{2}", "wrong"),
        ("I_{1}", "I_{2}", "wrong"),
        (r"c\left(\gamma^{2}-1\right)", r"c(\gamma^2-2)", "wrong"),
        (r"c\left(\gamma^{2}-1\right)", r"c\gamma^2-c", "correct"),
        (r"m \frac{d v}{d t}+b v=f", r"f=bv-m\frac{dv}{dt}", "wrong"),
        (r"m \frac{d v}{d t}+b v=f", r"f=bv+m\frac{dv}{dt}", "correct"),
        ("2x", r"\frac{dy}{dx}=2x", "correct"),
        (r"\frac{dy}{dx}=2x", r"\dfrac{d y}{d x}=2x", "correct"),
        (r"\frac{1}{m} t", r"\boxed{\frac{1}{m} t}", "correct"),
        ("y''+y=0", "2y=0", "wrong"),
        (r"M_{\odot}+1", r"1+M_\odot", "correct"),
        (r"\frac{GMm}{r^2}", r"\frac{Gm^2}{r^2}", "wrong"),
        (r"\frac{GMm}{r^2}", r"GmMr^{-2}", "correct"),
        ("x+1", "X+1", "correct"),
        ("n(n+1)", "N=n(n+1)", "correct"),
        (r"\text{Anna}", "Anna", "correct"),
        (r"\text{III}", "III", "correct"),
        (r"5\sqrt{2}", r"5\sqrt{2} cm", "correct"),
        ("2516_8", "2516_7", "wrong"),
        ("1:2:3", "1:3:2", "wrong"),
    ],
)
def test_a_name_is_what_it_says(verifier: Verifier, gold: str, answer: str, verdict: str) -> None:
    assert verifier.verdicts([(gold, answer)])[gold, answer].verdict == verdict
