"""Models that `keep.models` removed cost nothing until they are needed, and then come back."""

import json
import shutil
from pathlib import Path

import pytest

from tests.command import rft_here

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("stages_here")]


def test_a_removed_model_is_trained_again_only_when_a_stage_needs_it(tmp_path: Path, finished):
    out = Path(shutil.copytree(finished, tmp_path / "run"))
    rft_here("run", out, "--set", "rounds=3")
    assert [path.name for path in (out / "models").iterdir()] == ["model-0003"]
    assert "nothing to do" in rft_here("run", out)
    assert "redo" not in rft_here("run", out, "--plan")
    manifest = out / "manifest/round-0002/evaluate.json"
    before = json.loads(manifest.read_text())
    trained = json.loads((out / "manifest/round-0002/sft.json").read_text())["outputs"]["model"]
    manifest.unlink()
    told = rft_here("run", out)
    assert "model 1 was removed" in told
    assert "model 2 was removed" in told
    after = json.loads(manifest.read_text())
    assert after["outputs"] == before["outputs"]
    again = json.loads((out / "manifest/round-0002/sft.json").read_text())["outputs"]["model"]
    assert again["digest"] == trained["digest"]
    assert "nothing to do" in rft_here("run", out)
