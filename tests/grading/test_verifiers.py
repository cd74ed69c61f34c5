r"""Pins the verifiers that a recipe can name besides mathematics: by text, by letter.

Run: python -m pytest tests/grading/test_verifiers.py
"""

import pytest

from rft.grading.verifiers import letter_of, open_verifier
from rft.recipe import Grade


@pytest.mark.parametrize(
    ("name", "gold", "answer", "verdict", "path"),
    [
        ("exact", "x + 1", "x+1", "correct", "exact"),
        ("exact", "1000", r"1\,000", "correct", "exact"),
        ("exact", "1/2", "0.5", "wrong", "exact"),
        ("exact", "42", "42.0", "wrong", "exact"),
        ("exact", "0", "-0", "wrong", "exact"),
        ("exact", "4", "", "no_answer", "empty"),
        ("exact", "", "4", "bad_gold", "empty"),
        ("choice", "B", "(B)", "correct", "choice"),
        ("choice", "B", r"\text{B}", "correct", "choice"),
        ("choice", "B", "B. 12", "correct", "choice"),
        ("choice", "(B)", "b", "correct", "choice"),
        ("choice", "B", "option B", "correct", "choice"),
        ("choice", "B", "C", "wrong", "choice"),
        ("choice", "A", "A, B", "unparseable", "choice"),
        ("choice", "A", "A) 5, B) 6", "unparseable", "choice"),
        ("choice", "A", "A and B", "unparseable", "choice"),
        ("choice", "A", "A, A", "correct", "choice"),
        ("choice", "A", "A. a", "correct", "choice"),
        ("choice", "A, C", "A", "bad_gold", "choice"),
        ("choice", "42", "42.0", "bad_gold", "choice"),
        ("choice", "B", "12", "unparseable", "choice"),
        ("choice", "B", "Bananas", "unparseable", "choice"),
        ("choice", "12", "B", "bad_gold", "choice"),
    ],
)
def test_a_pair_gets_the_verdict_of_its_verifier(name, gold, answer, verdict, path):
    with open_verifier(Grade(verifier=name)) as verifier:
        judgement = verifier.verdicts([(gold, answer)])[gold, answer]
    assert (judgement.verdict, judgement.path) == (verdict, path)


def test_a_gold_that_chooses_nothing_is_bad():
    with open_verifier(Grade(verifier="choice")) as verifier:
        assert set(verifier.bad_golds(["B", "12", "", "C"])) == {"12", ""}
        assert verifier.name == "choice"
    with open_verifier(Grade(verifier="exact")) as verifier:
        assert set(verifier.bad_golds(["B", "12", ""])) == {""}
    with open_verifier(Grade()) as verifier:
        assert verifier.name.startswith("math-verify")


@pytest.mark.parametrize(
    ("text", "letter"), [("a)", "A"), ("[D]", "D"), ("A cat", None), ("", None)]
)
def test_a_letter_is_one_by_itself_or_first(text, letter):
    assert letter_of(text) == letter
