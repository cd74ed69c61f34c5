"""What a run measures at its end, what an update remembers, and what a removal leaves."""

import shutil
from pathlib import Path

from pipelines.evaluate import ended_with, splits
from rft.problems.order import problems_of_round
from rft.runs.retention import prune
from tests import small_loop
from tests.small_run import RIGHT, WRONG, evaluate, new_run, prepare, solved, whole_round

SAMPLES = [("p0", "a1 " + RIGHT, "stop", 0.5), ("p1", "b2 " + RIGHT, "stop", 0.75)]
BOTH = {("dev", "dev", f"d{i}"): solved(4, 4) for i in range(20)}
BOTH |= {("test", "test", f"t{i}"): solved(4, 4) for i in range(2)}
WORSE = {place: [WRONG] * 4 for place in BOTH}
GATED = ("gate={on: dev}", "prepare.dev={holdout: 20}", "evaluate.test=end", "rounds=4")


def gated(path: Path, *settings: str):
    run = new_run(path, "select.noise=0", *GATED, *settings)
    prepare(run, answers=BOTH)
    evaluate(run, 0, BOTH)
    return run


def test_test_problems_are_measured_at_both_ends_only(tmp_path):
    run = gated(tmp_path / "run")
    assert [splits(run, round)[-1] for round in (0, 1, 3, 4)] == ["test", "dev", "dev", "test"]


def test_a_run_that_the_gate_ends_measures_the_model_that_stays(tmp_path):
    run = gated(tmp_path / "run")
    whole_round(run, 1, SAMPLES, BOTH)
    assert run.manifest("gate", 1)["counts"]["adopted"]
    assert ended_with(run) is None
    whole_round(run, 2, SAMPLES, WORSE)
    assert not run.manifest("gate", 2)["counts"]["adopted"]
    assert ended_with(run) is None
    whole_round(run, 3, SAMPLES, WORSE)
    assert ended_with(run) == 1
    assert splits(run, 1) == ["dev", "test"]
    assert splits(run, 3) == ["dev"]


def test_the_adopted_and_the_last_model_stay_and_a_torn_removal_is_finished(tmp_path):
    run = gated(tmp_path / "run")
    for round, answers in ((1, BOTH), (2, BOTH), (3, WORSE)):
        whole_round(run, round, SAMPLES, answers)
    torn = run.path / "models" / ".model-0009.removed"
    torn.mkdir()
    prune(run, 3)
    assert sorted(path.name for path in (run.path / "models").iterdir()) == [
        "model-0002",
        "model-0003",
    ]
    assert run.manifest("sft", 1)["removed"] == "keep.models: adopted"


def test_an_agreement_holds_for_its_recipe_until_the_update_is_through(tmp_path):
    run = gated(tmp_path / "run")
    assert not run.agreed_to_redo()
    run.agree_to_redo()
    assert run.agreed_to_redo()
    other = type(run)(run.path, run.recipe.model_copy(update={"seed": 5}))
    assert not other.agreed_to_redo()
    run.forget_agreement()
    assert not run.agreed_to_redo()


def test_a_round_never_asks_for_more_problems_than_there_are():
    assert sorted(problems_of_round(["a", "b"], 5, 3, 0)) == ["a", "b"]


def test_what_is_on_disk_depends_on_the_state_not_on_how_it_came_about(tmp_path, monkeypatch):
    run = small_loop.gated(tmp_path / "run", "rounds=2", "keep.models=last")
    small_loop.stand_in(monkeypatch, 20, 25, 30)
    small_loop.follow(run)
    assert [path.name for path in (run.path / "models").iterdir()] == ["model-0002"]
    # As if a kill had come between the last decision and the removal of the model before it.
    shutil.copytree(run.model_folder(2), run.model_folder(1))
    small_loop.follow(run)
    assert [path.name for path in (run.path / "models").iterdir()] == ["model-0002"]


def test_work_of_a_stage_that_is_done_goes_with_the_next_run(tmp_path, monkeypatch):
    run = small_loop.gated(tmp_path / "run", "rounds=1")
    small_loop.stand_in(monkeypatch, 20, 25)
    small_loop.follow(run)
    # As if a kill had come between the manifest and the removal.
    left = run.work("sample", 1) / "worker-0" / "00000.json"
    left.parent.mkdir(parents=True)
    left.write_text("{}")
    small_loop.follow(run)
    assert not run.work("sample", 1).exists()
