"""`rft run --plan` says what a run would take, and leaves nothing behind."""

from pathlib import Path

import pytest
from click.testing import Result

from tests.command import invoke, rft_here

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("stages_here")]


def plan(*arguments: object, code: int = 0) -> Result:
    done = invoke("run", *arguments, "--plan")
    assert done.exit_code == code, done.stderr
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
    rft_here("prepare", "smoke", "--out", run)
    rft_here("sample", run)
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
