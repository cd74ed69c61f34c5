"""A budget ends a run while it samples; raised, the run goes on as if nothing had been.

Run: python -m pytest tests/cli/test_budgets.py
"""

import json
import subprocess

import pytest

from pipelines import children
from rft.processes.child import Child
from rft.processes.stopping import Stop
from rft.runs.folder import open_run
from tests.command import SMALL_UNITS, command, rft, rft_here
from tests.same_run import differences, manifests


def test_a_child_of_which_there_is_enough_is_told_to_stop_once():
    script = "trap 'echo stopping; exit 75' TERM; echo ready; while :; do read -t 0.1 _; done"
    child = Child(["bash", "-c", script], env={"PATH": "/usr/bin:/bin"}, piped=True)
    assert child.lines() == ["ready"]
    asked = []
    code = child.outlast(Stop(), lambda: asked.append(True) or True)
    assert (code, len(asked)) == (75, 1)
    child.end()


@pytest.mark.slow
def test_a_budget_ends_the_run_in_the_midst_of_sampling_and_raised_it_goes_on(
    tmp_path, finished, monkeypatch
):
    monkeypatch.setattr(children, "LOOK", 0.0)  # so that a fast machine is not done before a look
    evaluated = json.loads((finished / "manifest/round-0000/evaluate.json").read_text())["tokens"]
    sampled = manifests(finished)["round-0001/sample.json"]["tokens"]
    # Enough for the base and the preflight, and for a part of the round's answers.
    limit = evaluated + manifests(finished)["round-0000/preflight.json"]["tokens"] + sampled // 4
    words = ("run", "smoke", "--out", tmp_path / "run", *SMALL_UNITS)
    told = rft_here(*words, "--set", f"stop={{tokens: {limit}}}")
    assert f"of {limit:,} are spent; --set stop.tokens=N raises it" in told
    run = open_run(tmp_path / "run")
    assert run.manifest("sample", 1) is None, "it ended before the round was sampled"
    receipts = list(run.work("sample", 1).glob("*/[0-9]*.json"))
    assert receipts, "and what was finished is kept"
    status = json.loads(subprocess.check_output(command("status", run.path, "--json")))
    assert (status["state"], status["exit_hint"]) == ("done", 0)
    assert status["spent"]["tokens"] >= limit
    again = rft("run", run.path)
    assert "nothing to do" in again
    assert receipts == list(run.work("sample", 1).glob("*/[0-9]*.json"))
    assert "redo" not in rft("run", run.path, "--set", "stop=null")
    different = [what for what, same in differences(finished, run.path) if not same]
    assert different == []
