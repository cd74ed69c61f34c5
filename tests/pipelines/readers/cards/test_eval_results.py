"""Scores in the Hub's form: only of its own benchmarks, measured whole, as the card says them.

Run: python -m pytest tests/pipelines/readers/cards/test_eval_results.py
"""

import re

import polars as pl
import pytest
import yaml
from huggingface_hub import eval_result_entries_to_yaml, parse_eval_result_entries

from rft.runs import tables
from tests.exported_run import card_of, commit, evaluations, export, make_run, problems, rows_of

GSM8K = "hub:openai/gsm8k, config: main, split: test"


def results(tmp_path, test, *more):
    run = make_run(tmp_path / "run", f"prepare.test={{source: {test}}}", *more, rounds=1)
    export(run, tmp_path / "out", with_model=True)
    folder = tmp_path / "out-model" / ".eval_results"
    return {path.name: yaml.safe_load(path.read_text()) for path in folder.glob("*")}


def test_a_benchmark_of_the_hub_gets_its_score_in_percent(tmp_path):
    found = results(tmp_path, f"{GSM8K}, revision: {'a' * 40}", "evaluate.top_p=0.95")
    assert list(found) == ["gsm8k.yaml"]
    entries = parse_eval_result_entries(found["gsm8k.yaml"])
    assert eval_result_entries_to_yaml(entries) == found["gsm8k.yaml"]
    (entry,) = entries
    assert (entry.dataset_id, entry.task_id, entry.value) == ("openai/gsm8k", "gsm8k", 25.0)
    assert entry.dataset_revision == "a" * 40
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\+00:00", entry.date)
    text = card_of(tmp_path / "out-model")[1]
    interval = re.search(r"\| test \| 1 \| 2 \| 4 \| 25\.0 (\[[\d.]+, [\d.]+\])", text)[1]
    assert entry.notes == (
        f"avg@4, 95% interval over problems {interval}, temperature 1, top-p 0.95, "
        "at most 128 tokens"
    )


def test_a_branch_is_told_as_what_it_is(tmp_path):
    (told,) = results(tmp_path, f"{GSM8K}, revision: v1")["gsm8k.yaml"]
    assert told["notes"].endswith(", revision v1")
    assert "revision" not in told["dataset"]


@pytest.mark.parametrize(
    "test",
    [
        "bundled:arithmetic, split: test",
        f"{GSM8K}, limit: 2",
        "hub:openai/gsm8k, config: socratic, split: test",
        "hub:openai/gsm8k, config: main, split: train",
        "hub:me/gsm8k, config: main, split: test",
    ],
)
def test_what_is_not_that_benchmark_as_a_whole_gets_none(tmp_path, test):
    assert results(tmp_path, test) == {}


def test_a_problem_that_was_set_aside_leaves_no_whole(tmp_path):
    run = make_run(tmp_path / "run", f"prepare.test={{source: {GSM8K}}}", rounds=1)
    row = problems().row(6, named=True) | {"reason": "prompt too long"}
    aside = rows_of("set_aside", [row])
    commit(run, "prepare", 0, {"problems": problems(), "set_aside": aside})
    export(run, tmp_path / "out", with_model=True)
    assert not (tmp_path / "out-model" / ".eval_results").exists()


def test_a_model_that_was_not_measured_on_it_gets_none(tmp_path):
    run = make_run(tmp_path / "run", f"prepare.test={{source: {GSM8K}}}", rounds=1)
    dev = evaluations(1).filter(pl.col("split") == "dev")
    commit(run, "evaluate", 1, {"evaluations": dev})
    assert tables.parts(run.folder("evaluations", 1))
    export(run, tmp_path / "out", with_model=True)
    assert not (tmp_path / "out-model" / ".eval_results").exists()
