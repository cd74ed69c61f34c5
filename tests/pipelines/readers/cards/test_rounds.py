"""Pins the cards of a run of rounds: funnel, scores, prompt and licence, whatever a text holds.

Run: python -m pytest tests/pipelines/readers/cards/test_rounds.py
"""

import json
import re

import polars as pl
import pytest

from pipelines.readers.cards.rounds import chosen_words, taught
from rft.errors import RFTError
from rft.runs.folder import open_run
from tests.exported_run import card_of, export, load, make_run


def test_the_card_survives_hostile_text(tmp_path):
    run = make_run(tmp_path / "a `name` | of <script>")
    export(run, tmp_path / "out", license_id="CC-BY-4.0")
    data, text = card_of(tmp_path / "out")
    assert data["license"] == "cc-by-4.0"
    assert data["configs"][0]["config_name"] == "sft"
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)
    # The completion, fences of four backticks in it, stands whole within a longer fence.
    assert re.search(r"\n`{5}text\n---\nlicense: stolen\n---\n`{4} </script>.*\n`{5}\n", text)
    assert text.count("`````") == 2
    assert "# a \\`name\\` | of \\<script\\>: " in text


def test_the_first_paragraph_warns_of_wrong_answers(tmp_path):
    export(make_run(tmp_path / "run"), tmp_path / "out")
    export(make_run(tmp_path / "clean", noise=False), tmp_path / "clean-out")
    first = card_of(tmp_path / "out")[1].split("\n\n")[1]
    assert "Wrong on purpose: 8 (33.3%) of them, marked `role=noise`" in first
    assert "24 answers to 4 problems" in first
    clean = card_of(tmp_path / "clean-out")[1].split("\n\n")[1]
    assert "None of them is wrong on purpose" in clean


def test_the_card_says_that_raw_samples_were_chosen_whatever_their_verdict(tmp_path):
    raw = ("select.verdicts=any", "select.noise=0")
    export(make_run(tmp_path / "run", *raw, noise=False), tmp_path / "out")
    text = card_of(tmp_path / "out")[1]
    assert "Chosen whatever their verdict (`select.verdicts: any`): 0 (0.0%) of them" in text
    assert "were learnt without an end" in text
    rows = pl.DataFrame({"verdict": ["correct", "wrong", "no_answer", "correct"]})
    assert "any`): 2 (50.0%) of them were not judged `correct`" in chosen_words(rows, True)
    made = {"roles": {"positive": 4}, "not_correct": 3}
    assert taught(made) == "4 of them, 3 (75.0%) not judged correct"


def test_the_card_tells_funnel_scores_prompt_and_command(tmp_path):
    export(make_run(tmp_path / "run"), tmp_path / "out", token_stats=False)
    text = card_of(tmp_path / "out")[1]
    judged = "8 correct, 4 no\\_answer, 4 wrong"
    assert f"| 1 | 4 | 16 (48 tokens) | {judged} | 4 no\\_box | 12 |" in text
    assert re.search(
        r"\| test \| 2 \| 2 \| 4 \| 50\.0 \[[\d.]+, [\d.]+\] \| Pass@4 100\.0 \[", text
    )
    # Of the made up answers as many are in a box as before, so that nothing of it is format.
    gains = re.findall(r"On `(\w+)`, model (\d): of (\S+) points of Pass@1, (\S+) \[", text)
    assert gains == [("test", "1", "+25.0", "+0.0"), ("test", "2", "+50.0", "+0.0")]
    assert "{question}\nPut your final answer within \\boxed{{}}." in text
    assert "`<|im_end|>`" in text
    assert "no_box: {}, no_digit: {}, redundant: {threshold: 0.31}, duplicate: {}" in text
    assert "rft export runs/run --to out --no-token-stats" in text
    assert str(tmp_path) not in text


def test_the_card_sets_the_selected_against_the_pool(tmp_path):
    run = make_run(tmp_path / "run")
    export(run, tmp_path / "out")
    text = card_of(tmp_path / "out")[1]
    assert "\n\nWhat was selected against what could have been; mean (median) over" in text
    for round in (1, 2):
        head = f"| round {round} | kept correct | selected | kept wrong | as noise |\n| --- |"
        assert f"\n\n{head}" in text
    assert "| samples | 8 | 8 | 4 | 4 |\n| length in" in text
    assert "| pass rate of its problem | 0.500 (0.500) |" in text
    assert "warning" not in text


def test_the_card_of_a_run_that_measured_no_composition_goes_without(tmp_path):
    run = make_run(tmp_path / "run")
    manifest = run.manifest("select", 1)
    del manifest["composition"]
    run.write_manifest("select", 1, manifest)
    export(run, tmp_path / "out")
    text = card_of(tmp_path / "out")[1]
    assert "| round 1 | kept correct" not in text
    assert "| round 2 | kept correct" in text


def test_the_card_names_what_the_rank_is_within(tmp_path):
    export(make_run(tmp_path / "run", "select.strata=length"), tmp_path / "out")
    text = card_of(tmp_path / "out")[1]
    assert "by `select.by: branching, noise_by: random, strata: length`, 0 the" in text


def test_a_licence_that_nobody_stated_is_said_and_not_made_up(tmp_path):
    said = export(make_run(tmp_path / "run"), tmp_path / "out")
    data, text = card_of(tmp_path / "out")
    assert "license" not in data
    assert "licence is not stated" in text
    assert any("--license" in line for line in said)
    with pytest.raises(RFTError, match="--license 'my own'"):
        export(make_run(tmp_path / "other"), tmp_path / "out2", license_id="my own")


def test_the_card_says_where_problems_and_base_come_from_and_under_which_licences(
    finished, tmp_path
):
    export(open_run(finished), tmp_path / "out")
    _, text = card_of(tmp_path / "out")
    origin = "`bundled:arithmetic` (licence: apache-2.0)"
    base = "The base of the model that answered: `bundled:tiny` (licence: apache-2.0)."
    shared = "Overlap between training and test problems was not looked for."
    told = f"Problems: train/train from {origin}, test/test from {origin}. {base} {shared}"
    assert f"\n\n{told}\n\n" in text


def test_the_model_goes_beside_the_data_with_a_card_of_its_own(tmp_path):
    run = make_run(tmp_path / "run")
    export(run, tmp_path / "out", with_model=True)
    beside = tmp_path / "out-model"
    assert (beside / "model.safetensors").read_bytes() == b"weights"
    assert json.loads((beside / "config.json").read_text()) == {"round": 2}
    data, text = card_of(beside)
    # Said by the bundled base model itself.
    assert data["license"] == "apache-2.0"
    assert data["pipeline_tag"] == "text-generation"
    assert "12 of them, 4 (33.3%) wrong on purpose" in text
    assert "`<|im_end|>`" in text
    export(run, tmp_path / "out", with_model=True)
    assert len(load(tmp_path / "out", "sft", tmp_path / "cache")["train"]) == 24
