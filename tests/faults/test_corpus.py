"""Every hostile input of the corpus ends in its one line, and touches nothing.

No traceback, no hang, no raw control character, no file outside the folder, no code run.
"""

import contextlib
import faulthandler
import fnmatch
import hashlib
import re
import traceback
import unicodedata
from pathlib import Path

import pytest

from tests.command import invoke
from tests.faults.cases import STARTS, cases, lay_out

CASES = list(cases())
# What hostile code would leave if it were run.
CANARY = "pwned"
# A call that takes longer hangs, and ends the tests with the stack that it hangs in.
SECONDS = 600
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f]")


def listing(folder: Path) -> dict[str, str]:
    """Give what lies in a folder: path -> what it is."""
    there = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            there[name] = f"-> {path.readlink()}"
        elif path.is_file():
            there[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            there[name] = "folder"
    return there


def control_characters(text: str) -> list[str]:
    """List what in a text acts on a terminal, or cannot be seen."""
    # A progress line on a terminal returns to its beginning; a log has none.
    return [unicodedata.name(c, f"U+{ord(c):04X}") for c in sorted(set(CONTROLS.findall(text)))]


@pytest.mark.usefixtures("stages_here")
@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_a_hostile_input_ends_in_its_line_and_touches_nothing(case, tmp_path, monkeypatch, request):
    run = request.getfixturevalue("finished") if "run" in case.get("start", ()) else Path()
    folder, outside = tmp_path / "case", tmp_path / "outside"
    outside.mkdir()
    for variable in ("HOME", "HF_HOME", "TMPDIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(outside))
    for variable, value in case.get("env", {}).items():
        monkeypatch.setenv(variable, value)
    with contextlib.ExitStack() as around:
        server = ""
        if "server" in case:
            from tests.faults.replies import serve

            server = around.enter_context(serve(case["server"]))
        lay_out(case, folder, run, server)
        monkeypatch.chdir(folder)
        before = listing(folder)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            done = invoke(*(str(word).replace("{server}", server) for word in case["command"]))
        finally:
            faulthandler.cancel_dump_traceback_later()
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise AssertionError("".join(traceback.format_exception(done.exception)))
    code = case.get("code", 2)
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    assert control_characters(done.output) == []
    ends = [line for line in done.stderr.splitlines() if line.startswith(("Error: ", "Stopped: "))]
    last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""
    if code == 2:
        assert ends == [last], f"not exactly one line at the end: {done.stderr[-2000:]}"
    assert len(last) < 2_000, "a line that nobody reads"
    said = case.get("says", [])
    for part in [said] if isinstance(said, str) else said:
        assert part in (last if code else done.output), last or done.output
    after = listing(folder)
    if code == 2:
        changed = {name for name in before | after if before.get(name) != after.get(name)}
        allowed = case.get("leaves", [])
        left = [n for n in changed if not any(fnmatch.fnmatch(n, glob) for glob in allowed)]
        assert left == [], "left behind or changed"
    assert [path for path in tmp_path.rglob("*") if path.name == CANARY] == [], "code was run"
    strangers = {path.name for path in tmp_path.iterdir()} - {"case", "outside"}
    assert not strangers, "outside its folder"


def test_no_two_cases_are_the_same_and_each_says_what_it_expects():
    names = [case["case"] for case in CASES]
    assert len(set(names)) == len(names)
    known = {"case", "start", "files", "damage", "env", "server", "command", "code", "says"}
    for case in CASES:
        assert not case.keys() - known - {"leaves"}, case["case"]
        assert set(case.get("start", ())) <= set(STARTS), case["case"]
        assert case.get("code", 2) in (0, 2, 75), case["case"]
        assert case.get("says") or case.get("code", 2) == 0, case["case"]
