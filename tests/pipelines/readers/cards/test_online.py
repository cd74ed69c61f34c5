"""Pins the cards of online training: what was done, by which papers, and nothing about rounds.

Run: python -m pytest tests/pipelines/readers/cards/test_online.py
"""

import re

import pytest

from pipelines.readers.cards.online import COLUMNS
from rft.errors import RFTError
from rft.runs.schemas import TABLES
from tests.exported_run import card_of, commit, export, load, make_online


def test_no_plugin_at_all_leaves_a_table_that_opens(tmp_path):
    export(make_online(tmp_path / "run", "grpo.plugins=null"), tmp_path / "out")
    steps = load(tmp_path / "out", "dynamics", tmp_path / "cache")["train"]
    assert [row["touched"] for row in steps] == [[], [], []]
    text = card_of(tmp_path / "out")[1]
    assert "No exploration plug-in shaped it." in text
    assert "| paper |" not in text


def test_the_card_of_an_online_run_says_what_was_done(tmp_path):
    plugins = "grpo.plugins={nsr: {}, clip_higher: {high: 0.3}}"
    reward = "grpo.reward={right: 2.0, wrong: -1.0}"
    export(make_online(tmp_path / "run", plugins, reward), tmp_path / "out")
    data, text = card_of(tmp_path / "out")
    assert data["configs"][0]["config_name"] == "dynamics"
    assert data["configs"][0]["default"]
    assert "grpo" in data["tags"]
    papers = [f"[arXiv {n}](https://arxiv.org/abs/{n})" for n in ("2506.01347", "2503.14476")]
    first = text.split("\n\n")[1]
    assert "`loss_type` `dapo`" in text, "as plug-ins have it, and not the recipe alone"
    assert "online with GRPO on verified answers of its own: 3 steps of 4 problems x 2" in first
    assert "21 (87.5%) could be verified" in first
    assert f"Shaped by `nsr` ({papers[0]}), `clip_higher` ({papers[1]})." in first
    assert "The right answer in the first box was worth 2, anything else -1." in text
    assert "| 3 | 24 (99 tokens) | 21 | 3 unverified | adopted |" in text
    assert re.search(r"\| `clip_higher` \| [^|]+ \| .*2503.14476\) \| `{.*high: 0\.3.*}` \|", text)
    assert "`m0`" in text
    assert "rft grpo run/recipe.yaml --out runs/run\nrft export runs/run --to out\n" in text
    assert str(tmp_path) not in text
    for untrue in ("select", "rejection", "rollouts", "sft", "SFT", "rft run", "Rounds", "noise"):
        assert untrue not in text, untrue
    assert "{" not in re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL), "not filled in"


def test_the_parts_of_a_reward_are_told(tmp_path):
    reward = "grpo.reward={format: 0.25, length: {buffer: 28, factor: 0.5}}"
    export(make_online(tmp_path / "run", reward), tmp_path / "out")
    assert (
        "worth 1, anything else 0; a closed box and an end 0.25 more; an answer of more than 100 "
        "tokens less and less, down by 0.5 at 128."
    ) in card_of(tmp_path / "out")[1]


def test_every_column_of_dynamics_is_explained():
    assert list(COLUMNS) == TABLES["dynamics"].names


def test_a_model_trained_online_says_so_with_its_scores(tmp_path):
    run = make_online(tmp_path / "run")
    export(run, tmp_path / "out", with_model=True)
    beside = tmp_path / "out-model"
    assert (beside / "model.safetensors").read_bytes() == b"weights"
    data, text = card_of(beside)
    assert data["license"] == "apache-2.0"
    assert data["tags"] == ["trl", "grpo", "rft-rounds", "generated_from_trainer"]
    first = text.split("\n\n")[1]
    assert "online with GRPO on verified answers of its own: 3 steps of 4 problems x 2" in first
    assert "[arXiv 2506.14758]" in first
    for model, score in ((0, "0.0"), (1, "25.0")):
        interval = rf"{score} \[[\d.]+, [\d.]+\] \| Pass@4 [\d.]+ \[[\d.]+, [\d.]+\]"
        assert re.search(rf"\| test \| {model} \| 2 \| 4 \| {interval} \|", text)
    assert "`<|im_end|>`" in text
    for untrue in ("rejection", "sifted", "sft", "rft run", "on purpose"):
        assert untrue not in text, untrue


def test_a_model_that_the_gate_has_yet_to_decide_on_is_undecided(tmp_path):
    dev = "prepare.dev={source: bundled:arithmetic, split: dev}"
    run = make_online(tmp_path / "run", dev, "gate={on: dev, metric: pass@1}")
    export(run, tmp_path / "out")
    assert "| undecided |" in card_of(tmp_path / "out")[1]
    with pytest.raises(RFTError, match="no model was adopted yet"):
        export(run, tmp_path / "out", with_model=True)
    commit(run, "gate", 1, {})
    export(run, tmp_path / "out")
    assert "| refused |" in card_of(tmp_path / "out")[1]
