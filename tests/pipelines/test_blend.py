"""A search blends as is best on dev, by sampling that a kill does not change.

Run: python -m pytest tests/pipelines/test_blend.py
"""

import shutil
from pathlib import Path

import polars as pl
import pytest

from pipelines import blend, cleaning, sft
from pipelines.perform import do, prune, refuse_absent
from pipelines.run import walk
from rft.errors import Interrupted, RFTError
from rft.model_folders.content import content_digest
from rft.processes.stopping import Stop
from rft.recipe.loading import load_recipe
from rft.runs import stages, tables
from rft.runs.folder import Run, open_run, save_recipe
from rft.runs.models import resolve
from rft.runs.stages import Job
from rft.training.blending import trained_at, write_blend
from tests import small_run
from tests.recipe_files import refusal

SEARCH = "sft.blend={search: [0.001, 1.0], on: pass@2}"
DEV = ["prepare.dev={holdout: 4}", "evaluate.dev_n=3", "evaluate.max_tokens=48"]


@pytest.fixture
def begun(tmp_path, finished) -> Run:
    """Give a run with dev problems that the base solves at times, about to ruin the model."""
    path = Path(shutil.copytree(finished, tmp_path / "run"))
    ruin = ["sft.learning_rate=0.1", "sft.epochs=1"]
    run = Run(path, load_recipe(str(path / "recipe.yaml"), [SEARCH, *DEV, *ruin]))
    save_recipe(run)
    problems = run.read("problems", 0)
    graded = run.read("graded", 1).filter(pl.col("verdict") == "correct").sort("num_tokens")
    easy = pl.col("problem_id").is_in(graded["problem_id"].unique(maintain_order=True)[:2])
    split = pl.when(easy).then(pl.lit("dev")).otherwise("split").alias("split")
    tables.write(run.folder("problems", 0), "problems", problems.with_columns(split))
    small_run.reseal(run, "problems", 0)
    return open_run(path)


def made(run: Run, stage: stages.Stage, say=lambda _: None) -> dict:
    stages.perform(Job(run, stage, 1, Stop(), say))
    manifest = run.manifest(stage.name, 1)
    assert manifest is not None
    return manifest


def test_the_best_on_dev_is_chosen_and_a_kill_changes_nothing(begun, tmp_path):
    plan = [stage.name for round, stage in walk(begun, 1) if round]
    assert plan[-4:] == ["train", "blend", "sft", "evaluate"]
    learnt = made(begun, sft.TRAIN)
    other = open_run(Path(shutil.copytree(begun.path, tmp_path / "killed")))
    said: list[str] = []
    choice = made(begun, blend.STAGE, said.append)
    values = {each["delta"]: each["value"] for each in choice["candidates"]}
    assert values[1.0] == 0 < values[0.001]
    assert choice["delta"] == 0.001
    assert said[-1] == f"  chosen: delta {choice['delta']:g}"
    assert choice["tokens_sampled_now"] == choice["tokens"]
    assert sum(each["tokens"] for each in choice["workers"].values()) == choice["tokens"]
    model = made(begun, sft.STAGE)
    assert model["losses"] == learnt["losses"]
    assert model["counts"] == learnt["counts"]
    assert model["blend"]["delta"] == choice["delta"]
    # The candidate that was measured is the model that is made, to the bit.
    assert model["outputs"]["model"]["digest"] == choice["model"]
    assert content_digest(begun.model_folder(1)) == choice["model"]

    def killed(line: str) -> None:
        if "delta 0.001" in line:
            raise Interrupted("killed")

    with pytest.raises(Interrupted):
        made(other, blend.STAGE, killed)
    again = made(other, blend.STAGE)
    assert again["candidates"] == choice["candidates"]
    assert again["tokens"] == choice["tokens"] > again["tokens_sampled_now"] > 0
    assert made(other, sft.STAGE)["outputs"] == model["outputs"]


@pytest.mark.usefixtures("stages_here")
def test_what_was_blended_is_removed_and_trained_again_where_it_is_needed(begun, tmp_path):
    made(begun, sft.TRAIN)
    trained = begun.folder("trained", 1)
    choose(begun, 0.5)
    made(begun, sft.STAGE)
    before = begun.output_digest("sft", 1, "model")
    prune(begun, 1)
    assert not trained.exists()
    assert stages.is_current(sft.TRAIN, begun, 1)
    assert stages.is_current(sft.STAGE, begun, 1)
    choose(begun, 0.25)
    said: list[str] = []
    do(sft.STAGE, begun, 1, Stop(), said.append)
    assert "what model 1 is a blend of was removed: trained again" in said
    assert begun.output_digest("sft", 1, "model") != before
    base = resolve(begun.recipe.model)
    end = trained_at(begun, trained, begun.output_digest("train", 1, "trained"))
    (tmp_path / "wanted").mkdir()
    write_blend(tmp_path / "wanted", base, end, 0.25)
    assert content_digest(tmp_path / "wanted") == begun.output_digest("sft", 1, "model")


def choose(run: Run, delta: float) -> None:
    """Have a blend chosen without measuring any."""

    def work(job: Job) -> None:
        job.notes["delta"] = delta

    stages.perform(
        Job(run, stages.Stage("blend", blend.settings, blend.inputs, work), 1, Stop(), print)
    )


def test_of_equal_candidates_the_most_of_what_was_trained_is_taken():
    equal = [{"delta": delta, "value": 0.3 + 1e-12 * delta} for delta in (0.25, 0.75, 0.5)]
    assert blend.best(equal)["delta"] == 0.75
    assert blend.best([*equal, {"delta": 0.1, "value": 0.31}])["delta"] == 0.1


def test_a_run_that_searches_nothing_has_no_such_stages(finished):
    run = open_run(finished)
    assert {"train", "blend"}.isdisjoint(stage.name for _, stage in walk(run, 1))
    for stage in (sft.TRAIN, blend.STAGE):
        with pytest.raises(RFTError, match=r"the recipe has no sft\.blend\.search"):
            refuse_absent(stage, run)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sft.blend={search: [0.5, 1.0]}", "search needs the metric that decides"),
        ("sft.blend={delta: 0.5, search: [0.5, 1.0], on: pass@1}", "give one of the two"),
        ("sft.blend={anchor: base}", "it needs delta, or search"),
        ("sft.blend={search: [0.5], on: pass@1}", "sft.blend.search"),
        ("sft.blend={search: [1.0, 0.5], on: pass@1}", "list each delta once, rising"),
        ("sft.blend={search: [0.5, 1.0], on: entropy}", "write pass@K"),
        ("sft.blend={search: [0.5, 1.0], on: pass@8}", "raise evaluate.dev_n"),
    ],
)
def test_a_search_that_cannot_decide_is_refused(override, words):
    assert words in refusal(override)


def test_a_search_needs_dev_problems():
    assert "prepare.dev is null" in refusal(SEARCH, recipe="smoke")


@pytest.mark.parametrize("given_up", [True, False])
def test_a_candidate_is_of_the_work_that_clean_knows(begun, given_up):
    candidate = blend.candidate_folder(begun, 1)
    candidate.mkdir(parents=True)
    (candidate / "model.safetensors").write_text("weights")
    if given_up:
        recipe = load_recipe(str(begun.path / "recipe.yaml"), ["sft.blend=null"])
        save_recipe(Run(begun.path, recipe))
    goes, _ = cleaning.plan(open_run(begun.path), unfinished=not given_up)
    assert [item.path for item in goes] == [begun.work("blend", 1)]
    cleaning.clean(begun, goes)
    assert not candidate.exists()
