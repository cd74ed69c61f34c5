"""A damaged model stops a run where it is loaded, and the line's advice makes it whole again.

Run: python -m pytest tests/cli/test_damaged_model.py
"""

import json
import shutil

import pytest

from rft.runs.folder import open_run
from tests.command import rft_here
from tests.faults.cases import DAMAGES


@pytest.mark.slow
@pytest.mark.usefixtures("stages_here")
def test_rounds_do_not_go_on_from_a_damaged_model_until_it_is_moved_away(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    run = open_run(tmp_path / "run")
    made = run.model_folder(1)
    DAMAGES["flip"](made / "model.safetensors", {"at": -5})
    rft_here("run", run.path, "--rounds", 2, code=2)
    (error,) = [each for each in run.events() if each["event"] == "error"]
    assert f"{made}: model.safetensors is not what it was when this model was made" in str(error)
    assert "move the folder away and go on with the run" in str(error)
    rft_here("status", run.path)
    rft_here("report", run.path)

    shutil.move(made, tmp_path / "away")
    rft_here("run", run.path, "--rounds", 2)
    digest = run.output_digest("sft", 1, "model")
    done = [each for each in run.events() if each["event"] == "done" and each["stage"] == "sft"]
    assert [each["round"] for each in done] == [1, 1, 2]
    told = json.loads((finished / "manifest/round-0001/sft.json").read_text())
    assert digest == told["outputs"]["model"]["digest"], "the same model again"
