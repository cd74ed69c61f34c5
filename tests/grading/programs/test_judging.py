"""Pins the verdicts of programs: right, wrong, unreadable, endless; the same whenever asked.

Run: python -m pytest tests/grading/programs/test_judging.py
"""

import json
from collections.abc import Iterator

import pytest

from rft.errors import RFTError
from rft.grading.verifiers import open_verifier
from rft.recipe import Grade
from tests.sandboxes import needs_bwrap

pytestmark = needs_bwrap

DOUBLE = json.dumps({"inputs": ["1\n", "21\n"], "outputs": ["2\n", "42\n"]})
ADD = json.dumps({"inputs": [[1, 2], [3, 4]], "outputs": [3, 7], "fn_name": "add"})
PAIRS = json.dumps({"inputs": [[[1, 2]]], "outputs": [[[1, 1], [2, 2]]], "fn_name": "f"})
ASSERTS = "assert add(1, 2) == 3\nassert add('a', 'b') == 'ab'"


@pytest.fixture(scope="module")
def verifier() -> Iterator:
    with open_verifier(Grade(verifier="code", deadline=5.0)) as verifier:
        yield verifier


@pytest.mark.parametrize(
    ("gold", "program", "verdict", "path"),
    [
        (DOUBLE, "print(2 * int(input()))", "correct", "tests"),
        (DOUBLE, "import sys\nfor line in sys.stdin: print(2 * int(line))", "correct", "tests"),
        (DOUBLE, "if __name__ == '__main__': print(2 * int(open(0).read()))", "correct", "tests"),
        (DOUBLE, "print(2)", "wrong", "tests"),
        (DOUBLE, "print(2 * int(input()))\nraise SystemExit(1)", "wrong", "crash"),
        (DOUBLE, "print(1 / 0)", "wrong", "crash"),
        (DOUBLE, "print(2 * int(input())", "unparseable", "syntax"),
        (DOUBLE, "This is no program.", "unparseable", "syntax"),
        (DOUBLE, "\0", "unparseable", "syntax"),
        (DOUBLE, "#" * 100_001, "unparseable", "too_long"),
        (DOUBLE, " ", "no_answer", "empty"),
        (ADD, "def add(a, b): return a + b", "correct", "tests"),
        (ADD, "class Solution:\n    def add(self, a, b): return a + b", "correct", "tests"),
        (ADD, "def add(a, b): print('noise'); return a + b", "correct", "tests"),
        (ADD, "def add(a, b): return 3", "wrong", "tests"),
        (ADD, "def plus(a, b): return a + b", "unparseable", "no_function"),
        (ADD, "def add(a): return a", "wrong", "crash"),
        (PAIRS, "def f(a): return [(x, x) for x in a]", "correct", "tests"),
        (PAIRS, "def f(a): return ((x, x) for x in a)", "correct", "tests"),
        (ASSERTS, "def add(a, b): return a + b", "correct", "tests"),
        (ASSERTS, "def add(a, b): return 3", "wrong", "tests"),
        (ASSERTS, "def plus(a, b): return a + b", "unparseable", "no_function"),
        (ASSERTS, "def add(a, b:", "unparseable", "syntax"),
        ("42", "print(42)", "bad_gold", "tests"),
        ("assert f(", "def f(): pass", "bad_gold", "tests"),
        ('{"inputs": []}', "print(1)", "bad_gold", "tests"),
    ],
)
def test_a_program_gets_the_verdict_of_its_tests(verifier, gold, program, verdict, path):
    judgement = verifier.verdicts([(gold, program)])[gold, program]
    assert (judgement.verdict, judgement.path) == (verdict, path)


@pytest.mark.parametrize(
    ("tests", "program"),
    [
        ("x = [3, 1]\nf(x)\nassert x == [1, 3]", "def f(x): x.sort()"),
        ("assert list(f(3)) == [0, 1, 2]", "def f(n): yield from range(n)"),
        ("assert f((1, 2)) == {1: {2}, 'a': None}", "def f(t): return {t[0]: {t[1]}, 'a': None}"),
        ("assert f(2) == 1j and f(1) == b'a'", "def f(n): return 1j if n == 2 else b'a'"),
        ("assert f([P(1), P(2)]) == 3", "class P:\n  def __init__(s, n): s.n = n\n"
         "def f(ps): return sum(p.n for p in ps)"),
        ("try: f()\nexcept ValueError as e: assert str(e) == 'no'\nelse: assert False",
         "class Bad(ValueError): pass\ndef f(): raise Bad('no')"),
        ("def check(g):\n    assert g(2) == 4\ncheck(f)", "def f(n): return 2 * n"),
        ("from fractions import Fraction\nassert f() == Fraction(1, 2)",
         "from fractions import Fraction\ndef f(): return Fraction(1, 2)"),
        ("assert abs(f() - math.pi) < 1e-9", "import math\ndef f(): return math.pi"),
        ("assert f() == float('inf') and f(2) == 2 ** 100000",
         "def f(n=0): return n ** 100000 if n else float('inf')"),
        ("assert all(f(str(i)) == i for i in range(200))", "def f(s): return int(s)"),
        ("assert f('\\ud800') == 1", "def f(s): return len(s)"),
    ],
)  # fmt: skip
def test_asserts_see_what_a_program_defines(verifier, tests, program):
    assert verifier.verdicts([(tests, program)])[tests, program].verdict == "correct"


def test_a_test_that_hands_over_an_object_of_its_own_cannot_be_put(verifier):
    pair = ("assert f(lambda x: x) == 1", "def f(g): return g(1)")
    judgement = verifier.verdicts([pair])[pair]
    assert (judgement.verdict, judgement.path) == ("bad_gold", "tests")


def test_golds_that_test_nothing_are_found_many_at_once(verifier):
    deep = "assert " + "(" * 50_000
    golds = [f"assert f({n}) == {n}" for n in range(150)] + ["42", "f(1)", deep, "x = ("]
    assert set(verifier.bad_golds([*golds, DOUBLE, "{}"])) == {"42", "f(1)", deep, "x = (", "{}"}


def test_verdicts_do_not_depend_on_who_is_judged_beside_them(verifier):
    program = "import random\nprint(2 * int(input()) if {*'abc'} and random.random() else 0)"
    wanted = [(DOUBLE, program), (DOUBLE, "print(2)"), (ADD, "def add(a, b): return a + b")]
    first = verifier.verdicts(wanted)
    verifier.judged.clear()
    assert verifier.verdicts(reversed(wanted)) == first
    assert list(verifier.verdicts(wanted)) == wanted


def test_sets_and_chance_come_out_the_same_each_time(verifier):
    gold = json.dumps({"inputs": [""], "outputs": ["?"]})
    program = "import random\nprint(*{str(n) for n in range(99)}, random.random())"
    runs = {verifier.sandbox.run("run", {"source": program}, most=10_000).output for _ in range(2)}
    assert len(runs) == 1, gold


def test_a_machine_without_bubblewrap_is_told_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RFTError, match="there is no `bwrap` on this machine; install it"):
        open_verifier(Grade(verifier="code"))


def test_a_bubblewrap_that_runs_nothing_is_quoted(monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RFTError, match=r"runs none \(bwrap: No permissions to create a name"):
        open_verifier(Grade(verifier="code"))


def test_too_little_memory_is_refused():
    with pytest.raises(
        RFTError, match=r"memory_mb: 1: input should be greater than or equal to 64"
    ):
        open_verifier(Grade(verifier={"code": {"memory_mb": 1}}))
