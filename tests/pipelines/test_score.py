"""Pins the stage `score`: which rows are scored, with which tokens, and that `select` ranks by it.

The model is the bundled one; the statistics are compared with its own logits, row by row.
"""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from click.testing import CliRunner, Result

from pipelines import score as stage
from pipelines.perform import STAGES, models_for
from pipelines.readers.report_rounds import exploration, statistics
from pipelines.readers.show import listing, whole
from pipelines.rows import tokens_as
from pipelines.run import plan, walk
from rft.cli import cli
from rft.errors import Interrupted
from rft.prompt import Prompter, load_tokenizer, prompter
from rft.recipe import Model
from rft.recipe.loading import load_recipe
from rft.runs import tables
from rft.runs.folder import Run, open_run
from rft.runs.models import ModelRef, model_before, resolve
from rft.runs.schemas import TABLES
from rft.runs.stages import is_current
from rft.seeds import digest
from rft.token_stats import forward
from tests import small_run
from tests.command import ROOT
from tests.small_run import RIGHT, WRONG

OFF = "sample.statistics={entropy: false, branching: false, mass: 0.95}"
TINY = ModelRef(resolve(Model(path="bundled:tiny")).path, "")

# Words of which answers are made that no rule rejects.
WORDS = ["We", "add", "so", "first", "make", "the", "value", "is", "must", "be", "then", "next"]
WORDS += ["sum", "it", "has", "all", "é", "∑", "数", "\U0001d7dc"]


@pytest.fixture(scope="module")
def prompts() -> Prompter:
    return prompter(load_tokenizer(TINY.path), load_recipe("smoke").prompt)


@pytest.fixture(scope="module")
def model() -> Any:
    return forward.load(TINY)


def answers(right: int, wrong: int) -> list[str]:
    """Make different completions, with text after their box."""
    source = random.Random(0)
    ends = [RIGHT] * right + [WRONG] * wrong
    return [
        f"{' '.join(source.sample(WORDS, 3 + number % 9))} {number} {end}. And then some."
        for number, end in enumerate(ends)
    ]


Change = Callable[[int, dict[str, Any]], dict[str, Any]]


def begin(path: Path, *overrides: str) -> Run:
    run = small_run.new_run(path, "select.noise=0", OFF, *overrides)
    small_run.prepare(run, answers={})
    return run


def sample(
    run: Run,
    prompts: Prompter,
    completions: list[str],
    *,
    change: Change = lambda _, row: row,
    round: int = 1,
) -> None:
    """Write rollouts with token ids and without statistics, changed as the test wants."""
    digest_of_model = model_before(run, round).digest
    text = prompts.render("What is p0?")
    rows = []
    for number, completion in enumerate(completions):
        ids = prompts.encode(completion)
        row = {
            "rollout_id": digest("r", number),
            "problem_id": f"p{number % 2}",
            "round": round,
            "sample_index": number // 2,
            "prompt": text,
            "completion": completion,
            "finish_reason": "stop",
            "num_prompt_tokens": len(prompts.encode(text)),
            "num_tokens": len(ids),
            "token_ids": ids,
            "model": digest_of_model,
            "sampling": "s",
        }
        rows.append(change(number, row))

    def work(job: Any) -> None:
        job.write("rollouts", small_run.frame("rollouts", rows))
        job.counts |= {"in": 2, "rollouts": len(rows)}

    small_run.do(run, "sample", round, work)


def recorded(entropy: float, origin: str = "engine") -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Give a row the statistics of an engine."""

    def change(row: dict[str, Any]) -> dict[str, Any]:
        size = row["num_tokens"]
        lists = {"entropies": [entropy] * size, "logprobs": [-entropy] * size}
        lists["branching"] = [2] * size
        return row | lists | {"stats_origin": origin, "stats_mass": 0.95}

    return change


def without_ids(_: int, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"token_ids": None, "num_tokens": None}


def go_on(run: Run, *names: str) -> None:
    for name in names:
        small_run.do(run, name, 1)


def manifest(run: Run, name: str = "score") -> dict[str, Any]:
    found = run.manifest(name, 1)
    assert found is not None
    return found


def oracle(model: Any, prompt: list[int], response: list[int]) -> tuple[float, float, float]:
    """Average entropy, branching and nll over a response, one row at a time."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *response]])).logits[0].double()
    entropy, branching, nll = 0.0, 0, 0.0
    for place, token in enumerate(response, len(prompt) - 1):
        chances = logits[place].softmax(0)
        entropy -= float((chances * chances.log()).sum())
        nll -= float(chances[token].log())
        branching += int((chances.sort(descending=True).values.cumsum(0) < 0.95).sum()) + 1
    return entropy / len(response), branching / len(response), nll / len(response)


@pytest.fixture
def no_model(monkeypatch) -> None:
    """Let the test fail when a model is loaded."""

    def refuse(_: ModelRef) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(stage, "load", refuse)


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
    assert [each.name for _, each in walk(plain, 1)] == [
        *("prepare", "evaluate", "sample", "grade", "filter", "select", "sft", "evaluate")
    ]
    needy = load_recipe("smoke", [OFF])
    names = [each.name for _, each in walk(needy, 1)]
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
    assert any("topk" in line for line in exploration(run))  # the wrong ones are estimates still


# Kills and second thoughts ------------------------------------------------------------------------


def outcome(run: Run) -> pl.DataFrame:
    return run.read("scored", 1)


def prepared(path: Path, prompts: Prompter, *overrides: str) -> Run:
    run = begin(path, "select.by=entropy", "score.micro_batch=3", *overrides)
    sample(run, prompts, answers(20, 0))
    go_on(run, "grade", "filter")
    return run


@pytest.fixture
def batches(monkeypatch) -> list[int]:
    """Record the sizes of the batches that are scored."""
    real, sizes = forward._forward, []

    def count(halves: Any, rows: Any, mass: float) -> Any:
        sizes.append(len(rows))
        return real(halves, rows, mass)

    monkeypatch.setattr(forward, "_forward", count)
    return sizes


def test_a_stop_in_the_middle_keeps_what_is_finished_and_the_table_comes_out_equal(
    tmp_path, prompts, batches, monkeypatch
):
    whole_run, stopped = (prepared(tmp_path / name, prompts) for name in ("whole", "stopped"))
    go_on(whole_run, "score")
    assert batches == [3] * 6 + [2]
    batches.clear()
    asked = []

    def check(_: Any) -> None:
        asked.append(1)
        if len(asked) == 4:
            raise Interrupted("stopped")

    with monkeypatch.context() as patch:
        patch.setattr("rft.processes.stopping.Stop.check", check)
        with pytest.raises(Interrupted):
            go_on(stopped, "score")
    assert batches == [3] * 3
    assert stopped.manifest("score", 1) is None
    go_on(stopped, "score")
    assert batches == [3] * 6 + [2]
    assert outcome(stopped).equals(outcome(whole_run))
    assert manifest(stopped)["tokens_scored_now"] < manifest(stopped)["tokens"]
    assert not stopped.work("score", 1).exists()


DIE = """
import os, sys
sys.path.insert(0, {tests!r})
from tests import small_run
from pipelines import score
from rft.runs import tables
from rft.token_stats import forward
from rft.runs.folder import open_run
from pathlib import Path
real, done = forward._forward, []
def die(*given):
    if len(done) == 4:
        os._exit(9)
    done.append(1)
    return real(*given)
forward._forward = die
score.SECONDS = 0.0
small_run.do(open_run(Path({run!r})), "score", 1)
"""


def test_a_sudden_death_costs_no_finished_batch_once_it_is_written(tmp_path, prompts, batches):
    whole_run, killed = (prepared(tmp_path / name, prompts) for name in ("whole", "killed"))
    go_on(whole_run, "score")
    batches.clear()
    code = DIE.format(tests=str(ROOT), run=str(killed.path))
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=120, env=os.environ)
    assert done.returncode == 9
    units = list(killed.work("score", 1).glob("unit-*.parquet"))
    assert len(units) == 4
    go_on(killed, "score")
    assert batches == [3, 3, 2]
    assert outcome(killed).equals(outcome(whole_run))


@pytest.mark.usefixtures("no_model")
def test_another_ranking_uses_what_is_scored_already(tmp_path, prompts, monkeypatch):
    run = begin(tmp_path, "select.by=entropy")
    sample(run, prompts, answers(6, 2))
    go_on(run, "grade", "filter")
    with monkeypatch.context() as patch:
        patch.setattr(stage, "load", forward.load)
        go_on(run, "score")
    before = outcome(run)
    other = Run(run.path, load_recipe("smoke", [OFF, "select.noise=0", "select.by=branching"]))
    assert not is_current(STAGES["score"], other, 1)
    go_on(other, "score")
    assert outcome(other).equals(before)
    assert manifest(other)["tokens_scored_now"] == 0
    # At another mass, branching is something else.
    more = [OFF, "select.noise=0", "select.by=branching", "sample.statistics.mass=0.5"]
    with pytest.raises(AssertionError, match="was loaded"):
        go_on(Run(run.path, load_recipe("smoke", more)), "score")


def test_the_same_rollout_sampled_again_with_other_tokens_is_scored_again(
    tmp_path, prompts, batches
):
    run = begin(tmp_path, "select.by=entropy", "score.micro_batch=1")
    sample(run, prompts, answers(6, 0))
    go_on(run, "grade", "filter", "score")
    assert len(batches) == 6
    before = outcome(run)
    changed = answers(6, 0)
    changed[3] = "well, " + changed[3]
    run.put_away([run.manifest_path("sample", 1)])
    sample(run, prompts, changed)
    go_on(run, "grade", "filter", "score")
    assert len(batches) == 7
    after = outcome(run)
    differ = [
        one["rollout_id"]
        for one, other in zip(before.to_dicts(), after.to_dicts(), strict=True)
        if one != other
    ]
    assert differ == [digest("r", 3)]


def test_the_unfinished_work_of_another_mass_is_put_away(tmp_path, prompts, batches):
    run = prepared(tmp_path, prompts)
    work = run.work("score", 1)
    work.mkdir(parents=True)
    (work / "key").write_text("another model")
    (work / "unit-0.parquet").write_bytes(b"not even a table")
    go_on(run, "score")
    assert sum(batches) == 20
    assert list(run.path.glob("stale/*/work/*score/unit-0.parquet"))


# Anyone's rows ------------------------------------------------------------------------------------


def command(tmp_path: Path, rows: Any, *more: str, model: str | None = "bundled:tiny") -> Result:
    source = tmp_path / "in.parquet"
    (rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows)).write_parquet(source)
    given = ["--input", str(source), "--output", str(tmp_path / "out.parquet"), *more]
    given += ["--model", model] if model else []
    return CliRunner().invoke(cli, ["score", *given])


def made(tmp_path: Path, rows: Any, *more: str) -> list[dict[str, Any]]:
    done = command(tmp_path, rows, *more)
    assert done.exit_code == 0, done.output
    return pl.read_parquet(tmp_path / "out.parquet").to_dicts()


HOSTILE = [
    "",
    None,
    "x",
    " \n\t",
    "\x00\x1b[31m",
    "\U0001d7dc \u202e evil é 数",
    "\\boxed{" * 50,
    "<|im_end|>" * 5,
    "so \\boxed{7}. And \\boxed{8}",
]


def test_anyones_rows_are_scored_whatever_they_say(tmp_path, prompts, model):
    rows = [{"question": "What is 3 + 4?", "completion": text, "theirs": 1} for text in HOSTILE]
    prompt = prompts.encode(prompts.render("What is 3 + 4?"))
    found = made(tmp_path, rows)
    assert len(found) == len(rows)
    for row, text in zip(found, HOSTILE, strict=True):
        assert (row["completion"], row["theirs"]) == (text, 1)
        assert row["model"] == resolve(Model(path="bundled:tiny")).digest
        if not text:
            assert row["num_response_tokens"] == (None if text is None else 0)
            for name in ("mean_entropy", "mean_branching", "mean_nll", "stats_origin"):
                assert row[name] is None
            continue
        response = prompts.encode(text.partition(". And")[0])
        assert row["num_response_tokens"] == len(response)
        wanted = oracle(model, prompt, response)
        means = (row["mean_entropy"], row["mean_branching"], row["mean_nll"])
        assert means == pytest.approx(wanted, abs=1e-4)
        assert (row["stats_origin"], row["stats_mass"]) == ("scored", pytest.approx(0.95))


def test_a_rendered_prompt_is_read_as_it_is(tmp_path, prompts, model):
    rows = [{"prompt": "Q: 1\n", "response": "so \\boxed{7}", "question": "never asked"}]
    (row,) = made(tmp_path, rows, "--set", "sample.statistics.mass=0.5")
    wanted = oracle(model, prompts.encode("Q: 1\n"), prompts.encode("so \\boxed{7}"))
    assert row["mean_entropy"] == pytest.approx(wanted[0], abs=1e-4)
    assert row["mean_branching"] < wanted[1]
    assert row["stats_mass"] == pytest.approx(0.5)


def test_several_samples_in_a_row_become_rows(tmp_path):
    rows = [{"question": "1?", "gold": "7", "completion": [RIGHT, WRONG, RIGHT]}]
    found = made(tmp_path, rows)
    assert [row["sample_index"] for row in found] == [0, 1, 2]
    assert found[0]["mean_entropy"] == pytest.approx(found[2]["mean_entropy"], abs=1e-6)


def test_token_ids_count_where_they_spell_the_text(tmp_path, prompts):
    text = "We add so \\boxed{7} and more"
    own = prompts.encode(text)
    letters = [token for char in text for token in prompts.encode(char)]
    assert prompts.decode(letters) == text
    assert len(letters) > len(own)
    base = {"prompt": "Q\n", "completion": text}
    given = [own, letters, letters[:-1], [], [10**6, *own], [-1, *own], None]
    rows = pl.DataFrame(
        [base | {"token_ids": ids} for ids in given],
        schema_overrides={"token_ids": pl.List(pl.Int64)},
    )
    found = made(tmp_path, rows)
    counts = [row["num_response_tokens"] for row in found]
    ours, theirs = prompts.trim(own, text)[0], prompts.trim(letters, text)[0]
    cut = len(prompts.encode("We add so \\boxed{7}"))
    assert theirs > ours
    assert counts == [ours, theirs, cut, cut, cut, cut, cut]
    assert [row["token_ids"] for row in found] == given


def test_a_response_that_was_cut_keeps_the_start_of_its_tokens(prompts):
    text = "so \\boxed{7} and more"
    ids = [token for char in text for token in prompts.encode(char)]
    count, cut = prompts.trim(ids, text)
    assert tokens_as(prompts, cut, text, ids, cut=True) == ids[:count]
    assert tokens_as(prompts, cut, None, ids[:count], cut=True) == ids[:count]
    # Other text than the tokens', cut elsewhere than we would.
    assert tokens_as(prompts, "so", text, ids, cut=True) == prompts.encode("so")
    twice = text + " \\boxed{8}"
    assert tokens_as(prompts, twice, None, None, cut=True) == prompts.encode(twice)


def test_grade_then_score_then_select_by_entropy(tmp_path):
    rows = [
        {"question": f"{number}?", "gold": "7", "completion": text}
        for number, text in enumerate(answers(8, 3))
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "rows.parquet")
    chain: list[list[str]] = [
        ["grade", "--input", "rows.parquet", "--output", "graded.parquet"],
        ["filter", "--input", "graded.parquet", "--output", "kept.parquet"],
        ["score", "--input", "kept.parquet", "--output", "scored.parquet", "--model"],
        ["select", "--input", "scored.parquet", "--output", "selected.parquet"],
    ]
    chain[2].append("bundled:tiny")
    chain[3] += ["--set", "select.by=entropy", "--set", "select.noise=0"]
    for words in chain:
        words = [str(tmp_path / word) if word.endswith(".parquet") else word for word in words]
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == 0, done.output
    selected = pl.read_parquet(tmp_path / "selected.parquet").sort("rank")
    assert len(selected) == 8
    assert selected["mean_entropy"].is_sorted(descending=True)
    assert set(selected["stats_origin"]) == {"scored"}


ONE = {"question": "1?", "completion": "so \\boxed{7}"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"question": "1?"}], "no column 'completion'"),
        ([{"completion": "x"}], "no column 'prompt' (rendered) or 'question'"),
        ([ONE | {"question": ""}], "row 1 has an empty question"),
        ([ONE, ONE | {"prompt": "x"}], "row 1 has an empty prompt"),
        ([ONE | {"prompt": [{"role": "user"}]}], "column 'prompt' holds List"),
        ([ONE | {"completion": 4}], "column 'completion' holds Int64, not text"),
        ([ONE | {"token_ids": "4 5"}], "column 'token_ids' holds String"),
        ([ONE | {"mean_entropy": 0.5}], "it has a column 'mean_entropy', which `rft score` writes"),
        ([ONE | {"stats_origin": "engine"}], "it has a column 'stats_origin'"),
    ],
)
def test_what_cannot_be_scored_is_one_line(tmp_path, rows, said):
    done = command(tmp_path, pl.DataFrame(rows, infer_schema_length=None))
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.parquet").exists()


def test_without_a_model_is_one_line(tmp_path):
    done = command(tmp_path, [ONE], model=None)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "no --model" in done.stderr
    done = command(tmp_path, [ONE], model="./nowhere")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_a_run_takes_no_other_model(tmp_path):
    done = CliRunner().invoke(cli, ["score", str(tmp_path), "--model", "bundled:tiny"])
    assert done.exit_code == 2
    assert "give RUN, or --input with --output" in done.stderr


def test_rows_over_the_context_are_said_and_stay_empty(tmp_path):
    rows = [ONE, ONE | {"completion": "so " * 600}]
    done = command(tmp_path, rows)
    assert done.exit_code == 0, done.output
    assert "1 of 2 rows: over the model's 512 tokens" in done.stderr
    found = pl.read_parquet(tmp_path / "out.parquet").to_dicts()
    assert found[0]["mean_entropy"] is not None
    assert (found[1]["mean_entropy"], found[1]["stats_origin"]) == (None, None)
    assert found[1]["num_response_tokens"] > 500


def test_a_model_that_was_named_stays_named(tmp_path):
    (row,) = made(tmp_path, [ONE | {"model": "theirs"}])
    assert row["model"] == "theirs"


# All of it ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_replay_without_statistics_is_ranked_as_the_engine_would_have(tmp_path, finished):
    """One real run records; another replays its tokens alone and has to score them."""
    first, second = tmp_path / "first", tmp_path / "second"
    by = [word for each in ("select.by=entropy", "select.noise=0") for word in ("--set", each)]
    shutil.copytree(finished, first)
    done = CliRunner().invoke(cli, ["run", str(first), *by, "--update"])
    assert done.exit_code == 0, done.output
    wanted = open_run(first).read("graded", 1)
    best = open_run(first).read("selected", 1)
    lost = ["entropies", "branching", "logprobs", "stats_origin", "stats_mass"]
    for path in tables.parts(first / "rollouts" / "round-0001"):
        frame = tables.read_file(path)
        frame = frame.with_columns(pl.lit(None, frame.schema[name]).alias(name) for name in lost)
        tables.write_file(path, tables.conform(frame, "rollouts"))
    replay = ["--set", f"engine={{kind: replay, path: {first}}}"]
    done = CliRunner().invoke(cli, ["run", "smoke", "--out", str(second), *by, *replay])
    assert done.exit_code == 0, done.output
    run = open_run(second)
    place = ["problem_id", "sample_index"]
    both = (
        run.read("scored", 1)
        .join(run.read("kept", 1).select("rollout_id", "response", *place), on="rollout_id")
        .join(wanted, on=place, suffix=" engine")
    )
    selected = run.read("selected", 1)
    assert len(both) == len(selected) == len(best) > 10
    assert set(selected["stats_origin"]) == {"scored"}
    for name in ("mean_entropy", "mean_branching", "mean_nll", "num_response_tokens"):
        assert both[name].to_list() == pytest.approx(both[f"{name} engine"].to_list(), abs=1e-3)
    assert selected.select(place).equals(best.select(place))
    assert "score" in (second / "events.jsonl").read_text()
    again = CliRunner().invoke(cli, ["run", str(second)])
    assert again.exit_code == 0
    assert "nothing to do" in again.output
