"""Pins what hostile pairs cannot do: hang, take others down, run code, or cost more than time.

Run: python -m pytest tests/grading/test_verifier_hostile.py
"""

import subprocess
import sys
import time
from pathlib import Path

from rft.grading.judgement import Judgement
from rft.grading.verifier import Verifier
from tests.command import ROOT

HANG = "9^{9^{9^{9}}}"


def test_a_pair_that_never_ends_leaves_the_others_alone() -> None:
    gold, same = r"\sin x+1", r"1+\sin x"
    easy = [(gold, rf"\sin x+{number}") for number in range(2, 40)]
    with Verifier(deadline=2, workers=1) as verifier:
        found = verifier.verdicts([*easy[:20], (gold, HANG), *easy[20:], (gold, same)])
        assert found.pop((gold, HANG)) == Judgement("timeout", "deadline")
        assert found.pop((gold, same)) == Judgement("correct", "math_verify")
        assert set(found.values()) == {Judgement("wrong", "math_verify")}


def test_a_gold_that_never_ends_is_bad_and_costs_one_deadline() -> None:
    began = time.monotonic()
    with Verifier(deadline=1, workers=1) as verifier:
        found = verifier.verdicts((rf"\gcd({HANG}, 3)", str(number)) for number in range(200))
        assert set(found.values()) == {Judgement("bad_gold", "deadline")}
        assert verifier.bad_golds([rf"\gcd({HANG}, 3)"])
    assert time.monotonic() - began < 20


HOSTILE = [
    "9**9**9**9",
    "= 9**9**9**9",
    "10^{10^{10^{10}}}",
    r"\frac{1}{" * 5_000 + "2" + "}" * 5_000,
    r"\sqrt{" * 200 + "2" + "}" * 200,
    "(" * 900 + "1" + ")" * 900,
    "x" * 1_000_000,
    "1\x002",
    "\u202e21",
    "\ud800",
    "__import__('os').system('touch pwned')",
    "$5",
    "5$$",
    "$" * 1_500,
    "1,2,3,$",
    "1e999999999",
    r"\text{__import__('os')}",
    '"; drop',
    "\n",
    "\u2028}\n{",
]


def test_hostile_answers_get_a_verdict_in_time_and_the_service_lives_on() -> None:
    began = time.monotonic()
    with Verifier(deadline=1, workers=2) as verifier:
        found = verifier.verdicts(("4", answer) for answer in HOSTILE)
        assert {judgement.verdict for judgement in found.values()} <= {
            "wrong",
            "unparseable",
            "timeout",
            "no_answer",
        }
        # Whoever is left, fresh or used, still works.
        assert verifier.verdicts([("y+1", "1+y")])["y+1", "1+y"].verdict in ("correct", "timeout")
    assert time.monotonic() - began < 3 * len(HOSTILE)
    assert not (Path.cwd() / "pwned").exists()


def test_of_what_a_model_wrote_only_number_literals_are_evaluated() -> None:
    # latex2sympy makes numbers with sympy.Number("4711"), which evaluates the literal.
    script = r"""
import re, sys
from rft.grading.verifier_worker import judge
seen = []
def watch(event, arguments):
    if event == "compile" and arguments[0] is not None:
        source = arguments[0]
        seen.append(source if isinstance(source, str) else bytes(source).decode(errors="replace"))
sys.addaudithook(watch)
answers = [
    "__import__('zebra').getpid() + 4711", "= 4711*2 - 1", "x = 4711**2", "4711 @ 4711",
    "(4711)(lambda: zebra)", r"\text{zebra}", "zebra_{4711 + 1}", "about 4711 + 4711!?", "4711//2",
    r"\operatorname{zebra}(4711, 1)", "zebra = 4711 - 4711/2 #", "4711.5*2",
    "# 4711 + 1", "(# 4711",
]
for answer in answers:
    judge("5", answer)
    judge("x", answer)
ours = [source.strip() for source in seen if "4711" in source or "zebra" in source]
literal = re.compile(r"(Integer|Float) \('?4711(\.5)?'? \)")
assert ours, "the hook saw nothing"
assert all(literal.fullmatch(source) for source in ours), ours
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_a_pair_is_judged_once_in_the_life_of_a_verifier() -> None:
    with Verifier(deadline=1, workers=1) as verifier:
        first = verifier.verdicts([("4", HANG), ("4", HANG)])
        started = verifier.started
        assert verifier.verdicts([("4", HANG)]) == first
        assert verifier.started == started == 1
