"""Verifiers of parts, in the real processes: what they say, how they fail, how they end."""

import pytest

from rft.errors import RFTError
from rft.grading.judgement import Judgement
from rft.grading.verifiers import method_of, open_verifier
from rft.recipe import Grade
from rft.recipe.loading import load_recipe
from tests.part_files import VERIFIER, recipe, write

DEADLINE = 2.0


def settings(folder, text, how="odd", deadline=DEADLINE) -> Grade:
    write(folder, "mine.py", text)
    load_recipe(str(recipe(folder, "parts: [mine.py]\n")))
    return Grade(verifier=how, deadline=deadline)


def body(lines: str) -> str:
    inside = "\n".join(f"    {line}" for line in lines.splitlines())
    return f"def odd(gold: str, answer: str):\n{inside}\nVERIFIERS = {{'odd': odd}}\n"


def test_it_says_right_wrong_and_unreadable_once_for_each_pair(tmp_path):
    pairs = [("7", "7.05"), ("7", "8"), ("7", "x"), ("7", "7.05"), ("nope", "7"), ("7", " ")]
    with open_verifier(settings(tmp_path, VERIFIER, "near")) as verifier:
        judged = verifier.verdicts(pairs)
        assert len(verifier.judged) == 5
        assert verifier.name.startswith("near ")
        assert verifier.bad_golds(["7", "nope", ""]) == {
            "nope": Judgement("bad_gold", "near"),
            "": Judgement("bad_gold", "empty"),
        }
    assert {pair: each.verdict for pair, each in judged.items()} == {
        ("7", "7.05"): "correct",
        ("7", "8"): "wrong",
        ("7", "x"): "unparseable",
        ("nope", "7"): "bad_gold",
        ("7", " "): "unparseable",
    }


def test_its_parameters_are_checked_and_reach_it(tmp_path):
    with open_verifier(settings(tmp_path, VERIFIER, {"near": {"within": 2.0}})) as verifier:
        assert verifier.verdicts([("7", "8")])["7", "8"].verdict == "correct"
    for wrong, told in (
        ({"near": {"without": 1}}, "grade.verifier.near.without: unknown; did you mean .within."),
        ({"near": {"within": "much"}}, "grade.verifier.near.within: .much.: input should be"),
    ):
        with pytest.raises(RFTError, match=told):
            method_of(settings(tmp_path, VERIFIER, wrong))


def test_the_name_in_the_table_of_verdicts_tells_contents_and_parameters_apart(tmp_path):
    names = set()
    for text, how in (
        (VERIFIER, "near"),
        (VERIFIER, {"near": {"within": 0.5}}),
        (VERIFIER + "#", "near"),
    ):
        with open_verifier(settings(tmp_path, text, how)) as verifier:
            names.add(verifier.name)
    assert len(names) == 3


@pytest.mark.parametrize(
    ("lines", "verdict", "path"),
    [
        ("while gold != answer: pass\nreturn True", "timeout", "deadline"),
        ("x = [gold != answer] * (1 << 34 if gold != answer else 1)\nreturn True",
         "timeout", "memory"),
        ("import os\nreturn True if gold == answer else os._exit(3)", "timeout", "crash"),
        ("import os, signal\nif gold != answer: os.kill(os.getpid(), signal.SIGSEGV)\nreturn True",
         "timeout", "crash"),
    ],
    ids=["never ends", "fills the memory", "leaves", "crashes"],
)  # fmt: skip
def test_one_that_does_not_come_back_costs_its_pair_and_no_other(tmp_path, lines, verdict, path):
    with open_verifier(settings(tmp_path, body(lines))) as verifier:
        judged = verifier.verdicts([("7", "7"), ("7", "8"), ("9", "9")])
    assert judged["7", "8"] == Judgement(verdict, path)
    assert judged["7", "7"].verdict == judged["9", "9"].verdict == "correct"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("return float(gold) == float(answer)", "mine.py:2: ValueError: could not convert string"),
        ("return 'yes'", "odd gave 'yes'; it has to give True, False, or None"),
        ("return 1", "odd gave 1; it has to give True, False, or None"),
        ("def deep(n): return deep(n + 1)\nreturn deep(0)", "mine.py:2: RecursionError"),
    ],
)
def test_what_it_raises_ends_in_one_line_that_names_file_and_line(tmp_path, lines, told):
    with open_verifier(settings(tmp_path, body(lines))) as verifier:  # noqa: SIM117
        with pytest.raises(RFTError) as error:
            verifier.verdicts([("7", "seven")])
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_what_it_prints_is_no_verdict(tmp_path):
    lines = "import sys\nprint('correct', flush=True)\nsys.stderr.write('correct\\n')\n"
    with open_verifier(settings(tmp_path, body(lines + "return gold == answer"))) as verifier:
        judged = verifier.verdicts([("7", "8"), ("7", "7")])
    assert {pair: each.verdict for pair, each in judged.items()} == {
        ("7", "8"): "wrong",
        ("7", "7"): "correct",
    }


def test_random_numbers_are_the_same_for_the_same_pair(tmp_path):
    lines = "import random\nreturn gold == answer or random.random() < 0.5"
    with open_verifier(settings(tmp_path, body(lines))) as verifier:
        judged = verifier.verdicts([("7", str(number)) for number in range(20)])
    assert len({each.verdict for pair, each in judged.items() if pair != ("7", "7")}) == 1


def test_a_file_that_changed_meanwhile_is_refused(tmp_path):
    how = settings(tmp_path, VERIFIER, "near")
    (tmp_path / "mine.py").write_text(VERIFIER.lstrip() + "#")
    with open_verifier(how) as verifier:  # noqa: SIM117
        with pytest.raises(RFTError, match="changed since it was read"):
            verifier.verdicts([("7", "7")])


def test_answers_too_long_to_be_answers_are_not_asked_about(tmp_path):
    with open_verifier(settings(tmp_path, body("raise SystemError"))) as verifier:
        judged = verifier.verdicts([("7", "8" * 20_000)])
    assert judged["7", "8" * 20_000] == Judgement("unparseable", "too_long")
