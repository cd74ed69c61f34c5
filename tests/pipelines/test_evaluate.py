"""Pins that an evaluation samples once: what changes grading alone grades the same answers again.

Run: python -m pytest tests/pipelines/test_evaluate.py
"""

import shutil
from pathlib import Path

import polars as pl
import pytest

from pipelines import evaluate
from pipelines.perform import models_for
from pipelines.readers.report import text_report
from pipelines.readers.status import command_on
from rft.ending import spent_by
from rft.recipe.loading import load_recipe
from rft.runs import stages
from rft.runs.folder import Run, open_run
from rft.runs.retention import remove
from tests.command import invoke, rft_here, stage_here
from tests.small_run import RIGHT, new_run, prepare, whole_round
from tests.small_run import evaluate as write_evaluation

BASE = ["--set", "rounds=0", "--set", "prepare.test.limit=4", "--set", "evaluate.n=3"]
BASE += ["--set", "evaluate.k=[1]", "--set", "prepare.train.limit=4"]
# The same problems are read by it, and what it says of each answer is told in other words.
EXACT = ["--set", "grade.verifier=exact"]
MEASURED = {("test", "test", "t0"): [RIGHT] * 4}


pytestmark = pytest.mark.usefixtures("stages_here")


class Killed(BaseException):
    """Stands for kill -9."""


def measure(out: Path, *settings: str) -> Run:
    rft_here("run", "smoke", "--out", out, *BASE, *settings)
    return open_run(out)


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.perform.in_child", stage_here)
        return measure(tmp_path_factory.mktemp("measured") / "run").path


@pytest.fixture(scope="module")
def by_text(tmp_path_factory) -> Run:
    """Measure with the other verifier from the beginning."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.perform.in_child", stage_here)
        return measure(tmp_path_factory.mktemp("by-text") / "run", *EXACT)


@pytest.fixture
def run(measured, tmp_path) -> Run:
    return open_run(Path(shutil.copytree(measured, tmp_path / "run")))


@pytest.fixture
def no_engine(monkeypatch) -> None:
    """Fail where anything would be sampled."""

    def refuse(*_):
        raise AssertionError("an engine was opened")

    monkeypatch.setattr("rft.sampling.worker.open_engine", refuse)


def parts(run: Run) -> dict[str, bytes]:
    return {
        name: path.read_bytes()
        for name in ("evaluations", "eval_rollouts")
        for path in run.parts(name, 0)
    }


@pytest.mark.usefixtures("no_engine")
def test_another_verifier_grades_the_answers_that_are_there_as_a_fresh_run_does(run, by_text):
    before, spent = parts(run), spent_by(run).tokens
    told = rft_here("run", run.path, *EXACT, code=2)
    assert "evaluate  extend: finished rollouts are used again" in told
    rft_here("run", run.path, *EXACT, "--update")
    after = open_run(run.path)
    assert parts(after) == parts(by_text)
    assert parts(after)["eval_rollouts"] == before["eval_rollouts"]
    assert parts(after)["evaluations"] != before["evaluations"]
    made, fresh = after.manifest("evaluate", 0), by_text.manifest("evaluate", 0)
    assert made["key"] == fresh["key"]
    assert made["tokens"] == fresh["tokens"] == fresh["tokens_sampled_now"]
    assert (made["taken_over"], made["tokens_sampled_now"]) == (12, 0)
    assert fresh["taken_over"] == 0
    assert spent_by(after).tokens == spent, "tokens are paid for once"
    assert "took over 12 answers" in text_report(after)
    assert "nothing to do" in rft_here("run", run.path)


@pytest.mark.usefixtures("no_engine")
def test_what_counts_as_right_may_change_as_well(run, monkeypatch):
    before = parts(run)
    monkeypatch.setattr("rft.grading.grade.READING", 99)
    assert stages.state_of(evaluate.STAGE, run, 0) == "extend"
    assert command_on(run, (0, "evaluate")).endswith("--update")
    rft_here("run", run.path, "--update")
    assert parts(run) == before
    assert run.manifest("evaluate", 0)["settings"]["reading"] == 99


@pytest.mark.usefixtures("no_engine")
def test_a_killed_grading_is_gone_on_from_and_comes_to_the_same(run, by_text, monkeypatch):
    for place in ("grade", "other_verdicts"):
        with monkeypatch.context() as patch:

            def kill(*_args, **_options):
                raise Killed

            patch.setattr(evaluate, place, kill)
            with pytest.raises(Killed):
                raise invoke("run", run.path, *EXACT, "--update").exception
    assert run.manifest("evaluate", 0)["settings"]["grade"]["verifier"] == "math"
    # One between putting the old away and the new manifest: what is in work/ is enough.
    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_manifest", kill)
        with pytest.raises(Killed):
            raise invoke("run", run.path).exception
    assert run.manifest("evaluate", 0) is None
    rft_here("run", run.path)
    assert parts(open_run(run.path)) == parts(by_text)
    assert run.manifest("evaluate", 0)["taken_over"] == 12


@pytest.mark.usefixtures("no_engine")
def test_a_file_of_verdicts_makes_nothing_out_of_date(run, tmp_path):
    known = tmp_path / "verdicts.parquet"
    told = rft_here("run", run.path, "--set", f"grade.verdicts={known}")
    assert "nothing to do" in told
    assert open_run(run.path).recipe.grade.verdicts == str(known)


def test_another_temperature_samples(run):
    before = run.read("evaluations", 0)
    told = rft_here("run", run.path, "--set", "evaluate.temperature=0.7", code=2)
    assert "evaluate  redo" in told
    rft_here("run", run.path, "--set", "evaluate.temperature=0.7", "--update")
    made = run.manifest("evaluate", 0)
    assert made["taken_over"] == 0
    assert made["tokens_sampled_now"] == made["tokens"] > 0
    assert not run.read("evaluations", 0).equals(before)


def test_more_answers_are_added_to_those_that_are_there(run):
    before = run.read("eval_rollouts", 0)
    rft_here("run", run.path, "--set", "evaluate.n=5", "--update")
    after = run.read("eval_rollouts", 0)
    assert len(after) == len(run.read("evaluations", 0)) == 20
    same = after.join(before.select("rollout_id"), on="rollout_id", how="semi")
    assert same.equals(before)
    made = run.manifest("evaluate", 0)
    assert made["taken_over"] == 12
    assert made["tokens_sampled_now"] == made["tokens"] - before["num_tokens"].sum()


def test_a_damaged_table_is_refused_and_without_it_the_answers_are_sampled(run, by_text):
    [part] = run.parts("eval_rollouts", 0)
    changed = pl.read_parquet(part).with_columns(completion=pl.lit(r"\boxed{A}"))
    changed.write_parquet(part)
    told = rft_here("run", run.path, *EXACT, "--update", code=2)
    assert "eval_rollouts/round-0000: damaged, not what `evaluate` of round 0 wrote" in told
    part.unlink()
    rft_here("run", run.path)
    assert parts(open_run(run.path)) == parts(by_text)
    assert run.manifest("evaluate", 0)["taken_over"] == 0


def test_an_evaluation_of_before_there_was_the_table_is_current_and_redone_whole(run):
    shutil.rmtree(run.folder("eval_rollouts", 0))
    manifest = run.manifest("evaluate", 0)
    del manifest["outputs"]["eval_rollouts"]
    run.write_manifest("evaluate", 0, manifest)
    assert "nothing to do" in rft_here("run", run.path)
    assert "evaluate  redo\n" in rft_here("run", run.path, *EXACT, code=2) + "\n"
    rft_here("run", run.path, *EXACT, "--update")
    assert run.manifest("evaluate", 0)["taken_over"] == 0


def test_a_removed_model_is_not_trained_again_to_grade_what_it_said(tmp_path):
    run = new_run(tmp_path / "run", "select.noise=0", "keep.models=last")
    prepare(run, answers=MEASURED)
    write_evaluation(run, 0, MEASURED)
    whole_round(run, 1, [("p0", RIGHT, "stop", 0.5), ("p1", RIGHT, "stop", 0.5)], MEASURED)
    remove(run, 1)
    assert models_for(evaluate.STAGE, run, 1) == [1], "an old evaluation has no rollouts"
    made = run.manifest("evaluate", 1)
    made["outputs"]["eval_rollouts"] = {"digest": "d", "files": {}}
    run.write_manifest("evaluate", 1, made)
    regraded = Run(run.path, load_recipe("smoke", ["grade.verifier=exact"]))
    assert models_for(evaluate.STAGE, regraded, 1) == []
    for change in ("evaluate.n=7", "evaluate.temperature=0.5", "seed=9"):
        assert models_for(evaluate.STAGE, Run(run.path, load_recipe("smoke", [change])), 1) == [1]
    made["inputs"]["model"] = "another"
    run.write_manifest("evaluate", 1, made)
    assert models_for(evaluate.STAGE, regraded, 1) == [1]
