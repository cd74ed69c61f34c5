"""`rft run --plan` says what a run would take, and leaves nothing behind."""

import subprocess
from pathlib import Path

import pytest

from tests.command import command, rft

pytestmark = pytest.mark.slow


def plan(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    words = command("run", *arguments, "--plan")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_a_run_that_is_not_begun_is_probed_and_not_begun(tmp_path):
    done = plan("smoke", "--out", tmp_path / "run")
    assert "from probes made just now (8 rollouts, 95% intervals)" in done.stdout
    for word in ("sampling", "accepted", "grading", "training", "evaluation", "in all"):
        assert f"    {word}" in done.stdout
    assert "in 64 rollouts" in done.stdout
    assert not (tmp_path / "run").exists()


def test_a_run_that_was_probed_is_not_probed_again_and_other_settings_count(tmp_path):
    run = tmp_path / "run"
    rft("prepare", "smoke", "--out", run)
    rft("sample", run)
    before = sorted(str(path) for path in Path(run).rglob("*"))
    done = plan(run, "--set", "sample.n=40")
    assert "from its preflight" in done.stdout
    assert "in 640 rollouts" in done.stdout
    assert "preflight:" not in done.stderr
    assert sorted(str(path) for path in Path(run).rglob("*")) == before


def test_probes_that_show_something_wrong_end_the_plan_with_their_line(tmp_path):
    done = plan("smoke", "--out", tmp_path / "run", "--set", "sample.max_tokens=2", code=2)
    assert "preflight: of 8 probe rollouts only" in done.stderr
    assert not (tmp_path / "run").exists()
