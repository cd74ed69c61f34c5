r"""Pins labels by majority: one as mathematics, enough of all rollouts, and nobody as many.

Run: python -m pytest tests/grading/test_majority.py
"""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from rft.grading.judgement import AnswerKey
from rft.grading.majority import by_majority
from rft.grading.verifiers import open_verifier
from rft.recipe import Grade


@pytest.fixture(scope="module")
def verifier() -> Iterator:
    with open_verifier(Grade(verifier="majority", deadline=60)) as verifier:
        yield verifier


def judged(verifier, answers, at_least=0.5, keys=None):
    """Judge the answers to one problem, each as (verdict, path)."""
    found = by_majority(["p"] * len(answers), answers, keys or {}, verifier, at_least=at_least)
    return [(each.verdict, each.path) for each in found]


RIGHT, WRONG = ("correct", "majority"), ("wrong", "majority")
UNLABELLED, EMPTY = ("bad_gold", "no_majority"), ("no_answer", "empty")


@pytest.mark.parametrize(
    ("answers", "at_least", "verdicts"),
    [
        (["4", "4", "5"], 0.5, [RIGHT, RIGHT, WRONG]),
        (["0.5", r"\frac{1}{2}", "3", r"\frac12"], 0.5, [RIGHT, RIGHT, WRONG, RIGHT]),
        (["4", "5"], 0.5, [UNLABELLED] * 2),
        (["4", "4", "5", "5"], 0.5, [UNLABELLED] * 4),
        (["4", "4", "5", "6"], 0.5, [RIGHT, RIGHT, WRONG, WRONG]),
        (["4", "4", "5", "6"], 0.6, [UNLABELLED] * 4),
        (["4", "4", None, " ", "5"], 0.5, [UNLABELLED, UNLABELLED, EMPTY, EMPTY, UNLABELLED]),
        (["4", "4", None], 0.5, [RIGHT, RIGHT, EMPTY]),
        ([None, None], 0.5, [EMPTY, EMPTY]),
        (["4"], 1.0, [RIGHT]),
        (["cats", "cats", "dogs"], 0.5, [RIGHT, RIGHT, WRONG]),
        (["x+1", "1+x", "x+2"], 0.5, [RIGHT, RIGHT, WRONG]),
    ],
)
def test_the_largest_class_is_the_label_if_it_is_large_enough_and_alone(
    verifier, answers, at_least, verdicts
):
    assert judged(verifier, answers, at_least) == verdicts


def test_the_order_of_rollouts_does_not_matter(verifier):
    answers = ["0.5", r"\frac{1}{2}", "3", "3", r"\frac12", None, "7"]
    wanted = dict(zip(answers, judged(verifier, answers, 0.4), strict=True))
    for seed in range(20):
        shuffled = random.Random(seed).sample(answers, len(answers))
        assert dict(zip(shuffled, judged(verifier, shuffled, 0.4), strict=True)) == wanted


def test_plain_numbers_agree_with_a_count(verifier):
    for seed in range(50):
        answers = random.Random(seed).choices("123", k=7)
        (most, count), *rest = Counter(answers).most_common()
        labelled = count >= 3.5 and not (rest and rest[0][1] == count)
        wanted = [
            (RIGHT if each == most else WRONG) if labelled else UNLABELLED for each in answers
        ]
        assert judged(verifier, answers) == wanted


def test_problems_are_apart_and_golds_are_not_looked_at(verifier):
    keys = {"p": AnswerKey(["9"]), "q": AnswerKey([])}
    found = by_majority(["p", "q", "p", "q"], ["4", "5", "4", "5"], keys, verifier, at_least=0.5)
    assert [each.verdict for each in found] == ["correct"] * 4


def test_a_unit_that_the_question_does_not_ask_for_makes_another_answer(verifier):
    answers = ["7", r"7\%", "7"]
    asked = {"p": AnswerKey([], "What percent is it?")}
    assert judged(verifier, answers, keys=asked) == [RIGHT] * 3
    other = {"p": AnswerKey([], "What is it?")}
    assert judged(verifier, answers, keys=other) == [RIGHT, WRONG, RIGHT]
