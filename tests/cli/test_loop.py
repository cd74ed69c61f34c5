"""One round on a chat-style and on a raw-style model does what a round is for, and nothing else."""

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from rft.cli import cli
from rft.grading.answers import answer_box
from rft.prompt import load_tokenizer
from rft.runs.folder import Run, open_run
from tests.command import rft_here, stage_here

pytestmark = pytest.mark.slow

# Enough for one round to be seen: 512 rollouts of training, 256 of measuring on each side.
SETTINGS = [
    "prepare.train.limit=96",
    "prepare.test.limit=32",
    "sample.problems=96",
    "sample.n=6",
    "select.budget=160",
    "sft.epochs=2",
    "sft.batch=16",
    "evaluate.n=8",
    "keep.models=all",
]


@pytest.fixture(scope="module", params=["chat", "raw"])
def run(request, tmp_path_factory) -> Run:
    out = tmp_path_factory.mktemp(request.param) / "run"
    settings = [*SETTINGS, f"prompt.style={request.param}"]
    arguments = [word for setting in settings for word in ("--set", setting)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.perform.in_child", stage_here)
        rft_here("run", "smoke", "--out", out, *arguments)
    return open_run(out)


def shares(run: Run, round: int) -> tuple[float, float]:
    """Give the share of boxed completions with text after the box, and that of cut-off ones."""
    rows = run.read("evaluations", round)
    after = []
    for text, tokens in rows.select("completion", "num_response_tokens").iter_rows():
        if answer_box(text) is not None:
            kept = len(run_decode(run, text, tokens))
            after.append(bool(text[kept:].strip()))
    length = (rows["finish_reason"] == "length").mean()
    return sum(after) / len(after), float(length)


def run_decode(run: Run, text: str, tokens: int) -> str:
    tokenizer = load_tokenizer(run.model_folder(1))
    ids = tokenizer.encode(text, add_special_tokens=False)[:tokens]
    return str(tokenizer.decode(ids))


def test_text_after_the_box_falls_and_cut_off_rollouts_do_not_rise(run):
    (after_0, length_0), (after_1, length_1) = shares(run, 0), shares(run, 1)
    assert after_0 > 0.1
    assert after_1 < after_0 / 2
    assert length_1 <= length_0


def test_pass_at_1_rises(run):
    rates = [(run.read("evaluations", n)["verdict"] == "correct").mean() for n in (0, 1)]
    assert rates[1] > rates[0] + 0.03


def test_counts_add_up_and_every_trained_row_leads_back_to_its_rollout(run):
    tables = {
        name: run.read(name, 1) for name in ("rollouts", "graded", "kept", "rejected", "selected")
    }
    assert len(tables["rollouts"]) == len(tables["graded"]) == 96 * 6
    assert len(tables["kept"]) + len(tables["rejected"]) == len(tables["graded"])
    others = run.read("passed_over", 1)
    assert len(tables["selected"]) + len(others) == len(tables["kept"])
    assert not set(tables["selected"]["rollout_id"]) & set(others["rollout_id"])
    back = tables["selected"].join(tables["rollouts"], on="rollout_id", validate="1:1")
    assert len(back) == len(tables["selected"])
    assert back["seed"].null_count() == 0
    manifest = run.manifest("sft", 1)
    assert manifest["inputs"]["selected 1"] == run.output_digest("select", 1, "selected")
    assert manifest["counts"]["trained"] == len(tables["selected"])


def test_selected_responses_end_at_the_box(run):
    for response in run.read("selected", 1)["response"]:
        box = answer_box(response)
        assert box is not None
        assert len(response[box.end :].strip()) <= 3  # what shares the brace's token


def test_means_are_over_the_trimmed_tokens_only(run):
    graded = run.read("graded", 1)
    rollouts = run.read("rollouts", 1)
    for row in (
        graded.join(rollouts, on="rollout_id", validate="1:1").head(50).iter_rows(named=True)
    ):
        count = row["num_response_tokens"]
        assert row["num_tokens"] == len(row["token_ids"]) == len(row["entropies"])
        if count:
            wanted = sum(row["entropies"][:count]) / count
            assert row["mean_entropy"] == pytest.approx(wanted, abs=1e-5)


def test_the_end_token_is_that_of_the_style(run):
    style = run.recipe.prompt.style
    end = "<|im_end|>" if style == "chat" else "<|endoftext|>"
    config = json.loads((run.model_folder(1) / "tokenizer_config.json").read_text())
    assert config["eos_token"] == end
    assert json.loads((run.model_folder(1) / "rft.json").read_text())["end"] == end


@pytest.mark.usefixtures("stages_here")
def test_the_model_is_addressed_by_its_run(run, tmp_path: Path):
    arguments = ["--model", f"{run.path}@1", "--recipe", "smoke", "--output", str(tmp_path / "out")]
    arguments += ["--samples", "2", "--set", f"prompt.style={run.recipe.prompt.style}"]
    result = CliRunner().invoke(cli, ["evaluate", *arguments])
    assert result.exit_code == 0, result.output
    rows = open_run(tmp_path / "out").read("evaluations", 0)
    assert len(rows) == 16
    assert set(rows["model"]) == {run.output_digest("sft", 1, "model")}


@pytest.mark.usefixtures("stages_here")
def test_more_samples_extend_what_there_is(run):
    before = run.read("rollouts", 1)
    arguments = ["run", str(run.path), "--set", "sample.n=7"]
    refused = CliRunner().invoke(cli, arguments)
    assert refused.exit_code == 2
    assert "extend: finished rollouts are used again" in refused.output
    assert run.read("rollouts", 1).equals(before)
    result = CliRunner().invoke(cli, [*arguments, "--update"])
    assert result.exit_code == 0, result.output
    after = open_run(run.path).read("rollouts", 1)
    assert len(after) == 96 * 7
    same = after.join(before.select("rollout_id"), on="rollout_id", how="semi")
    assert same.sort("rollout_id").equals(before.sort("rollout_id"))
    stale = list((run.path / "stale").rglob("rollouts/round-0001/part-00000.parquet"))
    assert len(stale) == 1
    assert pl.read_parquet(stale[0]).equals(before)
