"""Pins verdicts: they agree with math-verify but where we decide otherwise, and depend on the
(gold, answer) pair alone.

What hostile pairs can do is in test_verifier_hostile.py, the processes in test_verifier_pool.py.
Run: python -m pytest tests/grading/test_verifier.py
"""

import random
import sys
import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from math_verify import parse, verify

from rft.grading import verifier_worker
from rft.grading.at_sight import MAX_LENGTH, settle
from rft.grading.judgement import AnswerKey, Judgement, judgement_of
from rft.grading.verifier import Verifier

# Spellings of numbers around every edge: zero, rounding, separators, 15 digits.
NUMBER_TEXT = """
0 -0 0.0 -0.0 1 -1 1.0 01 001.50 1.5 1.500001 1.5000001 1.5000006 1.49999999 1.50002 0.5 0.50
1,000 1000 1,000.0 $1,000 1000.000001 1000.0000001 $18 18 $18.00 12,345,678 12345678
0.333333 0.3333333 0.3333334 0.000001 0.0000001 0.0000004 99999999999999 99999999999999.9
123456789012345 123456789012345.0 1234567890123456.0 12345678901234567890 12345678901234567890.0
1234567890.12345 1234567890.12346 -1,000 $-5 -5 01,000 0,000 1,0000 007 1.10 1.1
"""
NUMBERS = NUMBER_TEXT.split()

GOLD_TEXT = r"""
4 0.5 \frac{1}{2} x+1 4a-2 \pi 3\sqrt{2} (1,2) [1,2) \{1,2\} 1,2 x=2 x>1 50\% A -7
"""
TABLE_GOLDS = GOLD_TEXT.split()
TABLE_ANSWERS = [
    *TABLE_GOLDS[::2],
    r"\text{Monday}",
    "4 cm",
    "x = 4",
    "1/2",
    ".5",
    "1+x",
    "4:30 p.m.",
    r"1 \text{ and } 2",
    "€ 4",
    "y=2",
    "1<x",
    "4.0000001",
    r"\phantom{4}",
    "no solution",
    "4@",
]


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    # A generous deadline: nothing that is asked of this one is slow, but the machine may be.
    with Verifier(deadline=60, workers=2) as verifier:
        yield verifier


def test_plain_numbers_are_settled_as_math_verify_would() -> None:
    boxed = {number: _parsed(rf"\boxed{{{number}}}") for number in NUMBERS}
    bare = {number: _parsed(number) for number in NUMBERS}
    settled = 0
    for gold, answer in product(NUMBERS, NUMBERS):
        judgement = settle(gold, answer)
        if judgement is not None:
            settled += 1
            expected = verify(boxed[gold], boxed[answer], timeout_seconds=None)
            if expected and tiny(gold, answer):
                assert judgement.verdict == "wrong", (gold, answer)
                continue
            assert (judgement.verdict == "correct") is expected, (gold, answer)
            if judgement.path == "numeric":
                assert verify(bare[gold], boxed[answer], timeout_seconds=None) is expected
    # Not vacuous: nearly all of them are plain.
    assert settled > 0.7 * len(NUMBERS) ** 2


def tiny(gold: str, answer: str) -> bool:
    """Tell whether two numbers are alike to six decimals for want of digits that count."""
    one, other = (float(text.replace(",", "").replace("$", "")) for text in (gold, answer))
    return one != other and abs(one - other) > 1.1e-6 * max(abs(one), abs(other))


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("18", "$18"),
        ("18", "18.0"),
        ("18.0", "18"),
        ("1000", "1,000"),
        ("-2.50", "-2.5"),
        ("18", r"\$18.00"),
        ("007", "7"),
    ],
)
def test_spellings_of_one_number_are_equal_without_a_worker(gold: str, answer: str) -> None:
    assert settle(gold, answer) == Judgement("correct", "numeric")


@pytest.mark.parametrize(
    "answer",
    [
        "50%",
        "1e5",
        "1e999999999",
        "1,00",
        "1,0000",
        "01,000",
        "1.2.3",
        "٣",
        "9" * 16,
        "1234567890.123456",
        "x",
        ".",
    ],
)
def test_what_is_no_plain_number_is_left_to_math_verify(answer: str) -> None:
    assert settle("4", answer) is None
    assert settle(answer, "4") is None


def test_a_huge_number_costs_nothing_to_refuse() -> None:
    began = time.process_time()
    for _ in range(1_000):
        assert settle("4", "9" * MAX_LENGTH) is None
        assert settle("4", "1" + ",000" * 400) is None
    assert time.process_time() - began < 5


def test_the_judge_agrees_with_math_verify_on_readable_pairs() -> None:
    for gold, answer in product(TABLE_GOLDS, TABLE_ANSWERS):
        expected = verify(
            _parsed(rf"\boxed{{{gold}}}"), _parsed(rf"\boxed{{{answer}}}"), timeout_seconds=None
        )
        assert (verifier_worker.judge(gold, answer) == "correct") is expected, (gold, answer)


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        (r"\frac{1}{2}", "1/2", "correct"),
        ("1/3", r"\frac{1}{2}", "wrong"),
        ("4a-2", "-2+4a", "correct"),
        ("4a-2", "4", "wrong"),
        ("$x=2$", "2", "correct"),
        ("x=2", "x = 2", "correct"),
        ("(1,2)", r"\left(1, 2\right)", "correct"),
        ("[1,2]", "(1,2)", "wrong"),
        # Decided otherwise than math-verify decides: see docs/reference/verdicts.md.
        (r"5\text{ cm}", r"5\text{ m}", "wrong"),
        ("5 cm", "5 m", "wrong"),
        ("5 cm", "5 centimeters", "correct"),
        ("1,2", "1,1,2", "wrong"),
        ("1,1,2", "1,2", "wrong"),
        (r"\{1,2\}", r"\{1,1,2\}", "correct"),
        ("1,-1", r"\pm 1", "correct"),
        ("(1,2,3)", r"\{1,2,3\}", "wrong"),
        (r"\{1,2,3\}", "(1,2,3)", "wrong"),
        ("(1,2,3)", "1,2,3", "correct"),
        ("3", "4=3", "wrong"),
        ("3", "2+2=3", "wrong"),
        ("3", "1+2=3", "correct"),
        ("3", "x=3", "correct"),
        ("2/3", "0.666667", "correct"),
        ("1/6", "0.166667", "correct"),
        ("1/3", "0.333333", "correct"),
        ("2/3", "0.66667", "wrong"),
        ("1/700", "0.001429", "wrong"),
        ("1/700", "0.00142857", "correct"),
        (r"10^{-9}", "0", "wrong"),
        (r"\frac{1}{10^{10}}", "0.0000000002", "wrong"),
        (r"(10^{-9}, 1)", r"(10^{-10}, 1)", "wrong"),
        # Read by nobody before.
        (r"\frac{1}{\mathrm{e}}", "1/e", "correct"),
        (r"0.\overline{3}", r"\frac{1}{3}", "correct"),
        ("1/6", r"0.1\overline{6}", "correct"),
        ("1/3", "0.333...", "correct"),
        ("12:00", "12:00 p.m.", "wrong"),
        ("12:00", "12:05", "wrong"),
        ("4:30 p.m.", "4:30pm", "correct"),
        ("12:00", "noon", "wrong"),
        ("27.0", "27", "correct"),
        (r"12\frac{3}{5}", r"\frac{63}{5}", "correct"),
        ("The answer is $5$", "5", "correct"),
        (r"\boxed{7}", "7.0", "correct"),
        (r"\text{Monday}", r"\text{monday}", "correct"),
        ("5", "5.", "correct"),
        ("-1./3", r"-\frac{1}{3}", "correct"),
        ("4.5e33", r"4.5 \times 10^{33}", "correct"),
        ("4.5e33", "4.5", "wrong"),
        ("3e6", "3,000,000", "correct"),
        ("3/4", "= 3/4", "correct"),
        ("0.5", r"50\%", "correct"),
        # The order of the two matters to math-verify.
        ("1<x<2", "(1,2)", "correct"),
        ("(1,2)", "1<x<2", "wrong"),
        ("4", "x = 5.", "wrong"),
        ("4", "#", "unparseable"),
        ("4", "E@{1},E@{2}", "unparseable"),
        ("E@{1},E@{2}", "4", "bad_gold"),
        ("E@{1},E@{2}", "E@{1},E@{2}", "correct"),
        ("True", "true", "correct"),
        ("4:30 PM", r"\text{4:30 p.m.}", "correct"),
        ("4:30 PM", r"4{:}30\text{ pm}", "correct"),
        ("1/0", "4", "bad_gold"),
        ("", "4", "bad_gold"),
        ("4", "", "no_answer"),
        ("4", " \n", "no_answer"),
        ("1/0", "", "no_answer"),
        ("4", "x" * (MAX_LENGTH + 1), "unparseable"),
        ("x" * (MAX_LENGTH + 1), "4", "bad_gold"),
    ],
)
def test_a_pair_gets_its_verdict(verifier: Verifier, gold: str, answer: str, verdict: str) -> None:
    assert verifier.verdicts([(gold, answer)])[gold, answer].verdict == verdict


def test_every_path_names_itself(verifier: Verifier) -> None:
    pairs = {
        ("4", "4"): "exact",
        (r"\pi", " \\pi\n"): "exact",
        ("4", "4.0"): "numeric",
        ("4", "5"): "numeric",
        ("1000", r"1\,000"): "exact",
        ("800", r"800\text{ ml}"): "unit_ignored",
        ("5 cm", "5 m"): "unit",
        ("1,2", "1,1,2"): "shape",
        ("12:00", "12:05"): "text",
        ("x+1", "1+x"): "closed_form",
        (r"\sin x", r"\sin(x)"): "math_verify",
        ("4", " "): "empty",
        ("", "4"): "empty",
        ("4", "x" * (MAX_LENGTH + 1)): "too_long",
    }
    found = verifier.verdicts(pairs)
    assert {pair: judgement.path for pair, judgement in found.items()} == pairs


def test_bad_golds_are_found_without_an_answer(verifier: Verifier) -> None:
    golds = ["4", r"\frac{1}{2}", "", " ", "np.arcsin(10/13)", r"\frac{0}{0}", "y" * 2001, "$x=2$"]
    assert verifier.bad_golds(golds) == {
        "": Judgement("bad_gold", "empty"),
        " ": Judgement("bad_gold", "empty"),
        "np.arcsin(10/13)": Judgement("bad_gold", "math_verify"),
        r"\frac{0}{0}": Judgement("bad_gold", "math_verify"),
        "y" * 2001: Judgement("bad_gold", "too_long"),
    }


def test_order_batches_and_workers_do_not_change_a_verdict() -> None:
    pairs = list(product(["4", "x+1", r"\{1,2\}", "x=2", "1/0"], [*TABLE_ANSWERS[::2], "4@", "#"]))
    shuffled = random.Random(0).sample(pairs, len(pairs))
    with Verifier(deadline=60, workers=1) as alone, Verifier(deadline=60, workers=2) as two:
        together = two.verdicts(shuffled)
        one_by_one = {pair: alone.verdicts([pair])[pair] for pair in pairs}
    assert together == one_by_one
    assert {judgement.verdict for judgement in together.values()} == {
        "correct",
        "wrong",
        "unparseable",
        "bad_gold",
    }


# All golds of Minerva math below a millionth.
TINY_TEXT = """
1e-8 3.89e-10 5.89e-7 7.4e-12 3.61e-10 1.39e-10 1.24e-8 2.55e-10 7.25e-11 3.3e-10 2.26e-10 5.3e-9
2.88e-19 1.325e-27 4.6e-24
"""
TINY = TINY_TEXT.split()


@pytest.mark.parametrize("gold", TINY)
def test_a_tiny_number_is_neither_its_double_nor_its_tenth_nor_its_opposite(
    verifier: Verifier, gold: str
) -> None:
    mantissa, exponent = gold.split("e")
    spellings = [
        gold,
        rf"{mantissa} \times 10^{{{exponent}}}",
        rf"{mantissa} \cdot 10^{{{exponent}}}",
        f"{mantissa}*10^{exponent}",
        f"{mantissa}E{exponent}",
        rf"\frac{{{mantissa}}}{{10^{{{exponent[1:]}}}}}",
    ]
    others = [
        f"{float(mantissa) * 2:g}e{exponent}",
        f"{mantissa}e{int(exponent) - 1}",
        f"-{gold}",
        rf"-\frac{{{mantissa}}}{{10^{{{exponent[1:]}}}}}",
        "0",
        f"{mantissa}5e{exponent}" if "." in mantissa else f"{mantissa}.05e{exponent}",
    ]
    judged = verifier.verdicts([(gold, answer) for answer in spellings + others])
    assert {judged[gold, answer].verdict for answer in spellings} == {"correct"}
    assert {judged[gold, answer].verdict for answer in others} == {"wrong"}
    # Plain math-verify takes the double of the tiniest for the same: it is ours to pin.
    double = rf"${float(mantissa) * 2:g} \times 10^{{{exponent}}}$"
    same = verify(_parsed(f"${spellings[1]}$"), _parsed(double), timeout_seconds=None)
    assert same is (int(exponent) < -15)


def test_golds_combine_to_the_verdict_that_decides() -> None:
    order = ["correct", "timeout", "wrong", "unparseable", "bad_gold"]
    judged = {(verdict, "a"): Judgement(verdict, "exact") for verdict in order}
    for index, verdict in enumerate(order):
        for golds in (order[index:], order[index:][::-1]):
            assert judgement_of(AnswerKey(golds), "a", judged).verdict == verdict


@pytest.mark.parametrize("answer", [None, "", "  "])
def test_without_an_answer_no_gold_is_asked(answer: str | None) -> None:
    assert judgement_of(AnswerKey(["4"]), answer, {}) == Judgement("no_answer", "empty")


@pytest.mark.parametrize(
    ("question", "answer", "verdict"),
    [
        ("How many ml are there?", r"800\text{ ml}", "correct"),
        ("How many milliliters are there?", "800ml", "correct"),
        ("How much is there?", "800{ml}", "correct"),
        ("How many litres are there?", "800 ml", "wrong"),
        ("How many apples has she?", "800 apples", "correct"),
        ("How many apples has she?", r"800 \text{ red apples}", "correct"),
        ("How many pears has she?", "800 apples", "wrong"),
        ("What percent is it?", r"800\%", "correct"),
        ("How much is it?", r"800\%", "wrong"),
        ("How long is the path in meters?", "800 m", "correct"),
        ("What is x?", "800 m", "wrong"),
        ("What does it cost?", "800 dollars", "correct"),
        ("How many dollars?", r"\$800", "correct"),
        ("What is it?", "x = 800 ml", "correct"),
        ("How many eggs?", "800 dozen eggs", "wrong"),
        ("How much a week?", r"\$800\text{ per week}", "correct"),
        (None, "800 ml", "correct"),
        (None, "800 apples", "wrong"),
    ],
)
def test_a_unit_is_ignored_where_the_question_asks_for_it_or_leaves_it_open(
    verifier: Verifier, question: str | None, answer: str, verdict: str
) -> None:
    judged = verifier.verdicts([("800", answer)])
    assert judgement_of(AnswerKey(["800"], question), answer, judged).verdict == verdict


@pytest.mark.parametrize(
    ("gold", "question", "answer", "verdict"),
    [
        ("5m", "How many in all, by m?", "5", "wrong"),
        ("5m", "How many meters?", "5", "correct"),
        ("5 m", "How far?", "5", "correct"),
        ("5m", "How far?", "5 m", "correct"),
    ],
)
def test_a_letter_of_a_gold_may_be_a_variable(
    verifier: Verifier, gold: str, question: str, answer: str, verdict: str
) -> None:
    judged = verifier.verdicts([(gold, answer)])
    assert judgement_of(AnswerKey([gold], question), answer, judged).verdict == verdict


def test_the_fast_path_takes_few_calls_a_pair_and_starts_no_worker() -> None:
    # Some 50,000 pairs a second. Calls are counted, since seconds depend on the machine.
    pairs = [(str(number % 997), f"{number}.5") for number in range(20_000)]
    calls = 0

    def count(_frame: object, event: str, _about: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    with Verifier(workers=1) as verifier:
        verifier.verdicts(pairs)  # what is imported on the way
        verifier.judged.clear()
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            judged = verifier.verdicts(pairs)
        finally:
            sys.setprofile(before)
        assert len(judged) == len(pairs)
        assert verifier.started == 0
    assert 1 < calls / len(pairs) < 80  # 68 as this is written


def test_texts_too_long_to_parse_are_not_kept(verifier: Verifier) -> None:
    verifier.verdicts([("4", "y" * 1_000_000)])
    assert max(len(answer) for _, answer in verifier.judged) <= MAX_LENGTH


def test_the_verifier_names_its_version(verifier: Verifier) -> None:
    assert verifier.name.startswith("math-verify 0.")


def _parsed(text: str) -> Any:
    return parse(text, parsing_timeout=None)
