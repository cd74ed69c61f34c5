"""Pins the stage `score`: which rows are scored, with which tokens, and that `select` ranks by it.

The model is the bundled one; the statistics are compared with its own logits, row by row.
"""

from typing import Any

import polars as pl
import pytest
import torch
from click.testing import CliRunner

from pipelines import score as stage
from pipelines.perform import STAGES, models_for
from pipelines.readers.blocks import lines_of
from pipelines.readers.report_rounds import exploration, statistics
from pipelines.readers.show import listing, whole
from pipelines.run import plan, walk
from rft.cli import cli
from rft.prompt import Prompter
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run
from rft.runs.models import model_before
from rft.runs.schemas import TABLES
from rft.runs.stages import is_current
from rft.seeds import digest
from tests import small_run
from tests.scored_run import (
    OFF,
    answers,
    begin,
    go_on,
    manifest,
    oracle,
    recorded,
    sample,
    without_ids,
)

# What is scored -----------------------------------------------------------------------------------


def test_the_ranked_rows_have_the_statistics_of_exactly_their_response(tmp_path, prompts, model):
    run = begin(tmp_path, "select.by=entropy")
    sample(run, prompts, answers(9, 5))
    go_on(run, "grade", "filter", "score")
    kept, rollouts, scored = (run.read(name, 1) for name in ("kept", "rollouts", "scored"))
    assert scored.columns == TABLES["scored"].names
    right = kept.filter(pl.col("verdict") == "correct")
    assert sorted(scored["rollout_id"]) == sorted(right["rollout_id"])
    rows = scored.join(right, on="rollout_id", suffix=" kept").join(
        rollouts, on="rollout_id", suffix=" sampled"
    )
    assert len(rows) == 9
    for row in rows.iter_rows(named=True):
        ids = row["token_ids sampled"][: row["num_response_tokens kept"]]
        assert row["token_ids"] == ids
        assert prompts.decode(ids) == row["response"]
        assert len(ids) < row["num_tokens"]
        for name in ("logprobs", "entropies", "branching"):
            assert len(row[name]) == len(ids) == row["num_response_tokens"]
        wanted = oracle(model, prompts.encode(row["prompt"]), ids)
        means = (row["mean_entropy"], row["mean_branching"], row["mean_nll"])
        assert means == pytest.approx(wanted, abs=1e-4)
        assert row["mean_entropy"] == pytest.approx(sum(row["entropies"]) / len(ids), abs=1e-4)
    assert set(scored["stats_origin"]) == {"scored"}
    assert scored["stats_mass"].to_list() == pytest.approx([0.95] * 9)
    made = manifest(run)
    assert made["counts"] == {
        "in": 14,
        "scored": 9,
        "longer_than_context": 0,
        "had_exact": 0,
        "not_ranked": 5,
    }
    assert made["tokens"] == scored["num_response_tokens"].sum() == made["tokens_scored_now"]
    assert (made["dtype"], made["device"]) == ("float32", scoring_device())
    assert made["model"] == model_before(run, 1).digest == made["inputs"]["model"]


def scoring_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def test_noise_is_scored_where_a_statistic_ranks_it(tmp_path, prompts):
    run = begin(tmp_path, "select.noise=0.4", "select.by=random", "select.noise_by=branching")
    sample(run, prompts, answers(6, 4))
    go_on(run, "grade", "filter", "score", "select")
    wrong = run.read("kept", 1).filter(pl.col("verdict") == "wrong")
    assert sorted(run.read("scored", 1)["rollout_id"]) == sorted(wrong["rollout_id"])
    noise = run.read("selected", 1).filter(pl.col("role") == "noise").sort("rank")
    assert noise["mean_branching"].is_sorted(descending=True)
    assert noise["mean_branching"].null_count() == 0


def test_text_without_ids_is_tokenised_once_and_its_length_is_known_from_then_on(
    tmp_path, prompts, model
):
    run = begin(tmp_path, "select.by=perplexity", "sft.max_length=50")
    sample(run, prompts, answers(12, 0), change=without_ids)
    go_on(run, "grade", "filter", "score", "select")
    scored = run.read("scored", 1).join(run.read("kept", 1), on="rollout_id", suffix=" kept")
    text = prompts.encode(run.read("rollouts", 1)["prompt"][0])
    for row in scored.iter_rows(named=True):
        assert row["token_ids"] == prompts.encode(row["response"])
        assert row["num_response_tokens kept"] is None
        wanted = oracle(model, text, row["token_ids"])
        assert row["mean_nll"] == pytest.approx(wanted[2], abs=1e-4)
    selected = run.read("selected", 1)
    assert selected["num_response_tokens"].null_count() == 0
    lengths = scored["num_response_tokens"] + len(text) + 1
    assert 0 < (lengths > 50).sum() < 12
    assert manifest(run, "select")["counts"]["dropped"]["max_length"] == (lengths > 50).sum()


def test_text_that_its_tokens_do_not_spell_is_scored_all_the_same(tmp_path, prompts):
    class Lossy:
        """A tokenizer that changes the case, as some do."""

        def __getattr__(self, name: str) -> Any:
            return getattr(prompts.tokenizer, name)

        def encode(self, text: str, **rest: Any) -> list[int]:
            return list(prompts.tokenizer.encode(text.upper(), **rest))

    lossy = Prompter(Lossy(), prompts.settings, prompts.end, prompts.end_id)
    run = begin(tmp_path, "select.by=entropy")
    sample(run, prompts, answers(5, 0), change=without_ids)
    go_on(run, "grade", "filter")
    todo, _ = stage.without_exact(run.read("kept", 1), {"correct": "mean_entropy"})
    rows = stage.tokens_of(run, 1, todo, lossy)
    text = dict(todo.select("rollout_id", "response").iter_rows())
    for name, ids in rows.select("rollout_id", "response_ids").iter_rows():
        assert lossy.decode(ids) == text[name].upper() != text[name]


@pytest.mark.usefixtures("no_model")
def test_what_has_exact_statistics_is_left_alone_and_no_model_is_loaded(tmp_path, prompts):
    run = begin(tmp_path, "select.by=perplexity")
    sample(run, prompts, answers(6, 3), change=lambda i, row: recorded(i / 10)(row))
    go_on(run, "grade", "filter", "score", "select")
    assert run.read("scored", 1).is_empty()
    counts = manifest(run)["counts"]
    assert (counts["scored"], counts["had_exact"], counts["not_ranked"]) == (0, 6, 3)
    assert set(run.read("selected", 1)["stats_origin"]) == {"engine"}


@pytest.mark.parametrize("origin", ["topk", None, "engine"])
def test_where_one_row_lacks_them_all_that_rank_are_scored(tmp_path, prompts, origin):
    def change(number: int, row: dict[str, Any]) -> dict[str, Any]:
        if number:
            return recorded(99.0)(row)
        return recorded(98.0, "topk")(row) | {
            "stats_origin": origin,
            "entropies": None if origin == "engine" else [98.0] * row["num_tokens"],
        }

    run = begin(tmp_path, "select.by=entropy")
    sample(run, prompts, answers(6, 2), change=change)
    go_on(run, "grade", "filter", "score", "select")
    assert len(run.read("scored", 1)) == 6
    selected = run.read("selected", 1)
    assert set(selected["stats_origin"]) == {"scored"}
    assert selected["mean_entropy"].max() < 10
    assert run.read("kept", 1)["mean_entropy"].max() == 99.0


def test_rows_that_were_scored_before_are_not_scored_with_the_others(tmp_path, prompts):
    run = begin(tmp_path, "select.by=entropy")
    change = [recorded(1.0, "scored"), recorded(1.0, "engine"), lambda row: row]
    sample(run, prompts, answers(9, 0), change=lambda i, row: change[i % 3](row))
    go_on(run, "grade", "filter", "score")
    counts = manifest(run)["counts"]
    assert (counts["scored"], counts["had_exact"]) == (6, 3)


def test_two_exact_origins_become_one(tmp_path, prompts):
    run = begin(tmp_path, "select.by=entropy")
    origins = ["scored", "engine"]
    sample(run, prompts, answers(8, 0), change=lambda i, row: recorded(1.0, origins[i % 2])(row))
    go_on(run, "grade", "filter", "score", "select")
    assert manifest(run)["counts"]["scored"] == 4
    assert set(run.read("selected", 1)["stats_origin"]) == {"scored"}


def kept_rows(**columns: list[Any]) -> pl.DataFrame:
    size = len(columns["verdict"])
    plain = {
        "rollout_id": [f"r{number}" for number in range(size)],
        "response": ["x"] * size,
        "stats_origin": ["engine"] * size,
        "mean_entropy": [1.0] * size,
    }
    return pl.DataFrame(plain | columns, strict=False)


def test_only_what_can_be_ranked_is_looked_at():
    verdicts = ["correct", "wrong", "timeout", "no_answer", "bad_gold", "unparseable", "correct"]
    rows = kept_rows(verdict=verdicts, mean_entropy=[None] * 7, response=["x"] * 6 + [""])
    rows = rows.with_columns(pl.col("mean_entropy").cast(pl.Float32))
    todo, exact = stage.without_exact(rows, {"correct": "mean_entropy"})
    assert (todo["rollout_id"].to_list(), exact) == (["r0"], 0)
    todo, exact = stage.without_exact(rows, {})
    assert (len(todo), exact) == (0, 0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_a_mean_that_is_no_number_is_none(value):
    rows = kept_rows(verdict=["correct", "correct"], mean_entropy=[1.0, value])
    todo, _ = stage.without_exact(rows, {"correct": "mean_entropy"})
    assert len(todo) == 2


def test_a_row_over_the_context_has_no_statistics_and_is_counted(tmp_path, prompts, monkeypatch):
    completions = answers(6, 0)
    completions[2] = "so " * 300 + completions[2]
    monkeypatch.setattr(stage, "longest", lambda _: 300.0)
    run = begin(tmp_path, "select.by=entropy", "filter={no_box: {}}", "sft.max_length=5000")
    sample(run, prompts, completions, change=lambda _, row: recorded(5.0, "topk")(row))
    go_on(run, "grade", "filter", "score", "select")
    counts = manifest(run)["counts"]
    assert (counts["scored"], counts["longer_than_context"]) == (5, 1)
    row = run.read("scored", 1).filter(pl.col("rollout_id") == digest("r", 2)).row(0, named=True)
    assert {value for name, value in row.items() if name != "rollout_id"} == {None}
    last = run.read("selected", 1).sort("rank").row(-1, named=True)
    assert (last["rollout_id"], last["mean_entropy"]) == (digest("r", 2), None)
    assert manifest(run, "select")["counts"]["unranked"] == 1


def test_rollouts_of_another_model_are_a_bug_of_ours(tmp_path, prompts):
    run = begin(tmp_path, "select.by=entropy")
    sample(run, prompts, answers(3, 0), change=lambda _, row: row | {"model": "other"})
    go_on(run, "grade", "filter")
    with pytest.raises(AssertionError, match="another model"):
        go_on(run, "score")


# What follows from it -----------------------------------------------------------------------------


def test_select_ranks_by_what_was_scored(tmp_path, prompts):
    run = begin(tmp_path, "select.by=entropy", "select.budget=4", "select.per_problem=null")
    sample(run, prompts, answers(9, 2))
    go_on(run, "grade", "filter", "score", "select")
    scored = run.read("scored", 1).sort("mean_entropy", descending=True)
    selected = run.read("selected", 1).sort("rank")
    assert selected["rollout_id"].to_list() == scored["rollout_id"].to_list()[:4]
    assert selected["mean_entropy"].to_list() == scored["mean_entropy"].to_list()[:4]
    assert manifest(run, "select")["inputs"]["scored"] == run.output_digest("score", 1, "scored")


def test_without_a_need_the_walk_and_the_key_of_select_are_as_they_were(tmp_path, prompts):
    plain = load_recipe("smoke")
    assert [each.name for _, each in walk(Run(tmp_path, plain), 1)] == [
        *("prepare", "evaluate", "sample", "grade", "filter", "select", "sft", "evaluate")
    ]
    needy = load_recipe("smoke", [OFF])
    names = [each.name for _, each in walk(Run(tmp_path, needy), 1)]
    assert names[names.index("filter") :][:3] == ["filter", "score", "select"]
    run = small_run.new_run(tmp_path, "select.noise=0")
    small_run.prepare(run, answers={})
    sample(run, prompts, answers(4, 0), change=lambda _, row: recorded(1.0)(row))
    go_on(run, "grade", "filter", "select")
    assert set(manifest(run, "select")["inputs"]) == {"kept", "graded"}


def current_with(run: Run, *overrides: str) -> bool:
    changed = Run(run.path, load_recipe("smoke", [OFF, "select.noise=0", *overrides]))
    return is_current(STAGES["score"], changed, 1)


def test_the_key_has_what_changes_rows_or_values_and_nothing_else(tmp_path, prompts):
    run = begin(tmp_path, "select.by=entropy")
    sample(run, prompts, answers(4, 0))
    go_on(run, "grade", "filter", "score")
    same = "select.by=entropy"
    assert current_with(run, same, "score.micro_batch=1", "select.budget=7", "sft.epochs=2")
    assert current_with(run, same, "select.noise_by=entropy")  # no noise is wanted
    assert not current_with(run, "select.by=branching")
    assert not current_with(run, same, "select.noise=0.1", "select.noise_by=entropy")
    assert not current_with(run, same, "sample.statistics.mass=0.5")


def test_it_loads_the_model_that_the_round_was_sampled_from(tmp_path):
    run = begin(tmp_path)
    assert models_for(STAGES["score"], run, 1) == [0]


def test_the_command_scores_a_round_and_says_what_it_did(tmp_path, prompts):
    run = begin(tmp_path, "select.by=entropy")
    sample(run, prompts, answers(4, 3))
    go_on(run, "grade", "filter")
    done = CliRunner().invoke(cli, ["score", str(run.path)])
    assert done.exit_code == 0, done.output
    assert "7 kept = 4 scored + 3 not ranked" in done.stderr
    done = CliRunner().invoke(cli, ["score", str(run.path), "--round", "1"])
    assert (done.exit_code, "is current" in done.stderr) == (0, True)


def test_a_plan_tells_that_scoring_follows_from_other_rollouts(tmp_path, prompts):
    run = begin(tmp_path, "select.by=entropy")
    sample(run, prompts, answers(4, 0))
    go_on(run, "grade", "filter", "score", "select")
    states = {step.stage: step.state for step in plan(run, 1) if step.round}
    assert (states["score"], states["select"]) == ("reuse", "reuse")
    other = Run(run.path, load_recipe("smoke", [OFF, "select.noise=0", "select.by=perplexity"]))
    states = {step.stage: step.state for step in plan(other, 1) if step.round}
    assert (states["filter"], states["score"], states["select"]) == ("reuse", "redo", "redo")


def test_readers_show_what_was_scored(tmp_path, prompts):
    run = begin(tmp_path, "select.by=entropy", "select.budget=3")
    sample(run, prompts, answers(8, 4), change=lambda _, row: recorded(77.0, "topk")(row))
    go_on(run, "grade", "filter", "score", "select")
    scored = dict(run.read("scored", 1).select("rollout_id", "mean_entropy").iter_rows())
    rows = listing(run)
    for row in rows.iter_rows(named=True):
        assert row["mean_entropy"] == scored.get(row["rollout_id"], 77.0)
        assert row["stats_origin"] == ("scored" if row["rollout_id"] in scored else "topk")
    left = rows.filter(pl.col("left_out") == "budget").sort("place")
    assert left["mean_entropy"].is_sorted(descending=True)
    assert left["place"].to_list() == [3, 4, 5, 6, 7]
    told = whole(run, left.row(0, named=True))["why"]
    assert f"place 4 by entropy ({left['mean_entropy'][0]:.3f})" in told
    groups = dict(statistics(run, 1))
    assert set(groups["pool"]["mean_entropy"]) == set(scored.values())
    assert set(groups["positive"]["mean_entropy"]) <= set(scored.values())
    small_run.sft(run, 1)
    # The wrong ones are estimates still.
    assert any(
        "topk" in line for line in lines_of(exploration(run))
    )  # the wrong ones are estimates still
