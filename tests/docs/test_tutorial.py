"""The tutorial is done, command by command, and prints what it shows.

Run: python -m pytest tests/docs/test_tutorial.py -m slow
"""

import os
import re
import subprocess
import sys

import pytest

from tests.command import ROOT

PAGE = (ROOT / "docs/tutorial.md").read_text()
BLOCK = re.compile(r"(?ms)^(<!-- not run: [^\n]+ -->\n)?```(sh|text)\n(.*?)^```$")
# What a model came to on the machine of whoever wrote the page.
OUTCOMES = {"better", "worse", "cannot", "tell", "correct", "wrong"}


def words(line: str) -> str:
    """Leave of a line what no number, identifier or outcome changes."""
    plain = re.findall(r"[A-Za-z_@]+(?![0-9a-z])", re.sub(r"\b[0-9a-f]{8,}\b", "", line))
    return " ".join(word for word in plain if word not in OUTCOMES)


def test_each_block_of_commands_is_run_or_says_why_not():
    kinds = [kind for _, kind, _ in BLOCK.findall(PAGE)]
    assert kinds.count("sh") == PAGE.count("\n```sh\n")
    assert sum(bool(marked) for marked, _, _ in BLOCK.findall(PAGE)) == PAGE.count("<!-- not run")


@pytest.mark.slow
def test_the_tutorial_can_be_done_and_prints_what_it_shows(tmp_path):
    program = tmp_path / "bin" / "rft"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.one_process "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
    }
    printed: set[str] = set()
    ran = True
    for marked, kind, text in BLOCK.findall(PAGE):
        if kind == "sh":
            ran = not marked
            if ran:
                done = subprocess.run(
                    ["bash", "-ec", text],
                    cwd=tmp_path,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, f"{text}{done.stderr[-2000:]}"
                printed = {words(line) for line in (done.stdout + done.stderr).splitlines()}
        elif ran:
            for line in text.splitlines():
                assert words(line) in printed, f"the page shows a line that is not printed: {line}"
