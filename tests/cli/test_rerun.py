"""Running again: what changed is redone, what did not is used again, and nothing is ever mixed."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from tests.command import rft, rft_here

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("stages_here")]


@pytest.fixture
def run(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def manifest(run: Path, stage: str, round: int = 1) -> dict:
    return json.loads((run / f"manifest/round-{round:04d}/{stage}.json").read_text())


def table(run: Path, name: str, round: int = 1) -> pl.DataFrame:
    return pl.read_parquet(run / name / f"round-{round:04d}" / "*.parquet")


def test_a_changed_threshold_shows_its_plan_and_with_update_uses_the_rollouts_again(run):
    rollouts, kept = table(run, "rollouts"), table(run, "kept")
    change = ["run", run, "--set", "filter.redundant.threshold=0.0"]
    told = rft_here(*change, code=2)
    assert "filter.redundant.threshold: 0.31 -> 0.0" in told
    for line in ("sample    reuse", "grade     reuse", "filter    redo"):
        assert line in told
    assert table(run, "kept").equals(kept)
    told = rft_here(*change, "--update")
    assert "round 1: sample" not in told
    assert "round 1: filter" in told
    assert table(run, "rollouts").equals(rollouts)
    assert len(table(run, "kept")) < len(kept)
    stale = next((run / "stale").rglob("kept/round-0001/part-00000.parquet"))
    assert pl.read_parquet(stale).equals(kept)
    assert "nothing to do" in rft_here("run", run)


def test_an_interrupted_update_goes_on_without_being_agreed_to_again(run):
    change = ["run", run, "--set", "sample.temperature=0.9"]
    rft(*change, "--update", "--stop-after", "0.1s", code=75)
    told = rft_here("run", run)
    assert "round 1: sample" in told
    assert "nothing to do" in rft_here("run", run)
    assert not (run / "work" / "agreed").exists()


def test_an_unchanged_output_stops_the_wave(run):
    before = manifest(run, "filter")
    told = rft_here("run", run, "--set", "grade.deadline=6", "--update")
    assert "round 1: grade" in told
    assert "round 1: filter" not in told
    assert "round 1: sft" not in told
    assert manifest(run, "filter") == before


def test_execution_settings_are_in_no_key(run):
    told = rft_here("run", run, "--set", "sft.save_every=3", "--set", "keep.models=all")
    assert "nothing to do" in told


def test_one_round_more_leaves_the_first_as_it_was(run):
    before = {stage: manifest(run, stage) for stage in ("sample", "select", "evaluate")}
    model = manifest(run, "sft")["outputs"]["model"]["digest"]
    told = rft_here("run", run, "--next")
    assert "round 2: sample" in told
    assert "round 1: " not in told
    assert {stage: manifest(run, stage) for stage in before} == before
    assert manifest(run, "sample", 2)["inputs"]["model"] == model
    ids = [set(table(run, "rollouts", round)["rollout_id"]) for round in (1, 2)]
    assert not ids[0] & ids[1]
    assert "nothing to do" in rft_here("run", run)


def test_next_finishes_a_broken_round_first(run):
    (run / "manifest/round-0001/evaluate.json").unlink()
    told = rft_here("run", run, "--next")
    assert "round 1: evaluate" in told
    assert "round 2" not in told


def test_fewer_samples_keep_the_same_ones(run):
    before = table(run, "rollouts")
    told = rft_here("run", run, "--set", "sample.n=3", "--update")
    assert "64/64" not in told
    after = table(run, "rollouts")
    assert after.equals(before.filter(pl.col("sample_index") < 3))


def test_replaying_a_run_gives_its_tables(run, tmp_path):
    out = tmp_path / "replayed"
    rft_here(
        "run", "smoke", "--out", out, "--set", "engine.kind=replay", "--set", f"engine.path={run}"
    )
    names = ["problem_id", "sample_index"]
    for name, columns in {
        "rollouts": ["completion", "token_ids", "entropies", "branching", "logprobs"],
        "graded": ["response", "verdict", "mean_entropy", "mean_branching"],
        "evaluations": ["completion", "verdict"],
    }.items():
        ours, theirs = (table(folder, name).select(names + columns) for folder in (out, run))
        assert ours.sort(names).equals(theirs.sort(names))


def test_replaying_more_than_was_recorded_is_refused(run, tmp_path):
    settings = ["--set", "engine.kind=replay", "--set", f"engine.path={run}"]
    more = [*settings, "--set", "sample.n=9"]
    told = rft_here("run", "smoke", "--out", tmp_path / "x", *more, code=2)
    assert "no recorded answer" in told


def test_every_trained_row_leads_back_to_its_seed(run):
    selected, rollouts = table(run, "selected"), table(run, "rollouts")
    joined = selected.join(rollouts, on="rollout_id", how="left", validate="1:1")
    assert joined["seed"].null_count() == 0
    assert set(joined["model"]) == {manifest(run, "sample")["inputs"]["model"]}
    for stage in ("sample", "grade", "filter", "select", "sft", "evaluate"):
        found = manifest(run, stage)
        assert found["key"]
        assert found["versions"]["torch"]
        assert found["inputs"]
