"""`rft check` finds what is wrong with a part: one planted mistake after the other."""

import json

import pytest

from pipelines.checking import check
from pipelines.checking.check import checked, checks_of, things_of
from rft.processes.stopping import Stop
from tests.command import ROOT, invoke, rft
from tests.part_files import ORDER, RULE, VERIFIER, write

RULE_OF = """
import polars as pl
def odd() -> pl.Expr:
    return {}
RULES = {{"odd": odd}}
"""
STATISTIC_OF = """
import polars as pl
def odd() -> pl.Expr:
    return {}
STATISTICS = {{"odd": odd}}
"""
ORDER_OF = """
import polars as pl
from rft.recipe.selection import Order
ORDERS = {{"odd": Order("odd", {})}}
"""
VERIFIER_OF = """
def odd(gold: str, answer: str):
    {}
VERIFIERS = {{"odd": odd}}
EXAMPLES = {{"odd": [("7", "7.0", True), ("7", "8", False)]}}
"""
TEXT = "pl.col('response')"
NUMBERS = "pl.col('entropies').list"


def found(folder, text: str) -> dict[str, str]:
    """Try a part in this process, and give what is wrong by check."""
    path = write(folder, "mine.py", text)
    return {
        name: fault
        for kind, thing in things_of(str(path))
        for name, fault in checks_of(kind, thing)
        if fault is not None
    }


@pytest.mark.parametrize("text", [RULE, ORDER, VERIFIER], ids=["rule", "order", "verifier"])
def test_nothing_is_found_in_what_is_sound(tmp_path, text):
    assert found(tmp_path, text) == {}


@pytest.mark.parametrize(
    ("text", "name", "told"),
    [
        (RULE_OF.format(f"{TEXT}.str.len_chars()"), "says true or false", "gives UInt32"),
        (RULE_OF.format("pl.col('responce').is_null()"), "reads columns of graded", "responce"),
        (RULE_OF.format(f"{TEXT}.is_duplicated()"), "one row at a time", "looks at other rows"),
        (
            RULE_OF.format("pl.col('redundancy') > pl.col('redundancy').mean()"),
            "one row at a time",
            "give a Grouped for that",
        ),
        (RULE_OF.format(f"({TEXT} == '').any()"), "a value for each row", "1 values for"),
        (RULE_OF.format("True"), "gives an expression", "it gives bool"),
        (STATISTIC_OF.format(f"{NUMBERS}.mean()"), "the response alone", "tokens behind"),
        (
            STATISTIC_OF.format(f"{NUMBERS}.head('num_response_tokens').list.sum().fill_null(0)"),
            "null where nothing was recorded",
            "it is 0.0, not null",
        ),
        (
            STATISTIC_OF.format("pl.col('num_response_tokens').rank()"),
            "one row at a time",
            "a statistic is of one answer",
        ),
        (STATISTIC_OF.format(f"{TEXT}.str.to_uppercase()"), "gives a number", "gives String"),
        (STATISTIC_OF.format("pl.lit(1.0) + pl.col('round')"), "tells rows apart", "every row"),
        (STATISTIC_OF.format("pl.col('entropy')"), "reads columns of a graded rollout", "entropy"),
        (ORDER_OF.format("'verdict'"), "a number to rank by", "String"),
        (
            ORDER_OF.format("expression=pl.col('redundancy').cum_sum()"),
            "any order of rows",
            "depends on the order",
        ),
        (ORDER_OF.format("'round'"), "tells rows apart", "all rows have 1"),
        (VERIFIER_OF.format("return True"), "its examples", "'8' for '7' is correct"),
        (VERIFIER_OF.format("return gold == answer"), "its examples", "'7.0' for '7' is wrong"),
        (
            VERIFIER_OF.format("return answer == '7.0'"),
            "a gold is right by itself",
            "'7' is not right for itself",
        ),
        (
            VERIFIER_OF.format("return len(answer) > 9 or answer in ('7', '7.0')"),
            "hostile answers are not right",
            "it takes ",
        ),
        (
            VERIFIER.replace("EXAMPLES", "EXEMPLES"),
            "has examples",
            "nobody can know what it should say",
        ),
        (
            "READERS = {'odd': lambda text: len(text)}",
            "a text or None",
            "neither a text nor None",
        ),
        (
            "TEMPLATES = {'odd': '{question} in \\\\boxed{}'}",
            "asks the question",
            "braces other than those of {question} are doubled",
        ),
        (
            "from rft.training.objectives.objective import Objective\n"
            "class Odd(Objective):\n    def loss(self, logps, entropies):\n"
            "        return 1 - logps\nOBJECTIVES = {'odd': Odd}",
            "none on padding",
            "1.0 where both are zero",
        ),
        (
            "from rft.exploration.plugin import Plugin\n"
            "class Odd(Plugin):\n    def adjustt(self, advantages, batch):\n"
            "        return advantages\nPLUGINS = {'odd': Odd}",
            "hooks that are called",
            "adjustt, which nobody calls; did you mean adjust",
        ),
        (
            "from rft.recipe.engine import EngineKind\n"
            "ENGINES = {'odd': EngineKind('odd', 'exact')}",
            "can be opened",
            "no open_for(demand, seed)",
        ),
    ],
)
def test_a_planted_mistake_is_found_and_named(tmp_path, text, name, told):
    faults = found(tmp_path, text)
    assert told in faults.get(name, ""), faults


def test_what_raises_is_told_with_its_file_and_line(tmp_path):
    text = VERIFIER_OF.format("return float(gold) == float(answer)")
    path = write(tmp_path, "mine.py", text)
    (fault,) = [each for each in checked(str(path), Stop()) if each.fault]
    assert fault.check == "runs to its end"
    assert f"{path}:2: ValueError: could not convert string to float" in fault.fault


def test_a_rule_that_breaks_on_a_hostile_text_names_its_line(tmp_path):
    text = RULE_OF.format(
        f"{TEXT}.map_elements(lambda text: text.split()[0] == 'a', return_dtype=pl.Boolean)"
    )
    path = write(tmp_path, "mine.py", text)
    (fault,) = [each for each in checked(str(path), Stop()) if each.fault]
    assert "IndexError" in fault.fault


def test_what_never_ends_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "SECONDS", 8.0)
    text = "import polars as pl\ndef odd():\n    while True: pass\nSTATISTICS = {'odd': odd}\n"
    path = write(tmp_path, "mine.py", text)
    (fault,) = checked(str(path), Stop())
    assert fault.fault == "it did not end within 8 seconds, and was killed"


def test_what_leaves_is_told(tmp_path):
    text = "import os\ndef odd():\n    os._exit(7)\nSTATISTICS = {'odd': odd}\n"
    path = write(tmp_path, "mine.py", text)
    (fault,) = checked(str(path), Stop())
    assert fault.fault == "it ended with 7"


@pytest.mark.slow
def test_a_plug_in_that_changes_nothing_is_found(tmp_path):
    text = (
        "from rft.exploration.plugin import Plugin\n"
        "class Odd(Plugin):\n    def adjust(self, advantages, batch):\n"
        "        return advantages * 1.0\nPLUGINS = {'odd': Odd}"
    )
    faults = found(tmp_path, text)
    assert "the same to the bit without it" in faults["changes the gradient"]


@pytest.mark.slow
def test_a_plug_in_whose_gradient_is_no_number_is_found(tmp_path):
    text = (
        "from rft.exploration.plugin import Plugin\n"
        "class Odd(Plugin):\n    def adjust(self, advantages, batch):\n"
        "        return advantages / 0\nPLUGINS = {'odd': Odd}"
    )
    assert "not a number" in str(found(tmp_path, text))


@pytest.mark.parametrize("name", ["language", "early_entropy", "chemistry"])
def test_the_examples_of_the_documentation_are_sound(name):
    path = ROOT / "docs" / "examples" / f"{name}.py"
    faults = {
        check: fault
        for kind, thing in things_of(str(path))
        for check, fault in checks_of(kind, thing)
        if fault is not None
    }
    assert faults == {}


@pytest.mark.parametrize("kind", ["rule", "order", "verifier"])
def test_what_rft_new_begins_is_sound_and_so_is_its_test(tmp_path, kind):
    import subprocess
    import sys

    rft("new", kind, "begun", "--into", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "begun_test.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_lists_each_check_and_ends_with_2_if_one_fails(tmp_path):
    good = write(tmp_path, "good.py", RULE)
    told = invoke("check", good)
    assert (told.exit_code, told.stdout.count("ok    rules shouting: ")) == (0, 10)
    assert "all 10 checks of shouting hold" in told.stderr
    bad = write(tmp_path, "bad.py", RULE_OF.format(f"{TEXT}.is_duplicated()"))
    told = invoke("check", bad)
    assert told.exit_code == 2
    assert "FAILS rules odd: one row at a time" in told.stdout
    assert "1 of 10 checks fail" in told.stderr
    told = invoke("check", good, "--json")
    rows = [json.loads(line) for line in told.stdout.splitlines()]
    assert rows[0] == {
        "kind": "rules",
        "name": "shouting",
        "check": "gives an expression",
        "fault": None,
    }


def test_names_that_cannot_be_begun_are_refused(tmp_path):
    for words, told in (
        (["rule", "no_box"], "RULES has no_box, which is the name of one of ours"),
        (["rule", "Bad"], "a name of one's own is of small letters"),
        (["rule", "class"], "a word of Python's own"),
        (["rule", "fine", "--into", tmp_path / "no"], "no such folder; make it"),
    ):
        done = (
            invoke("new", *words)
            if "--into" in words
            else invoke("new", *words, "--into", tmp_path)
        )
        assert done.exit_code == 2
        assert told in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert invoke("new", "rule", "fine", "--into", tmp_path).exit_code == 0
    told = invoke("new", "rule", "fine", "--into", tmp_path)
    assert "there already; choose another name" in told.stderr
