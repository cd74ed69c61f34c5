"""Adopted rollouts go through the stages as rows of one's own do.

Run: python -m pytest tests/cli/test_adopt.py
"""

import polars as pl
import pytest

from tests.command import rft_here
from tests.saved_rollouts import SAID, eval_log, gym, lines, said_item, sample


@pytest.fixture
def adopted(tmp_path):
    wrong = sample(epoch=1, messages=[*sample()["messages"][:2], SAID | {"content": r"\boxed{5}"}])
    wrong["scores"] = {"match": {"value": "I"}}
    rft_here(
        "adopt",
        eval_log(tmp_path / "log.eval", sample(), wrong),
        "--output",
        tmp_path / "a.parquet",
    )
    return tmp_path / "a.parquet"


def test_an_adopted_log_is_graded_filtered_and_selected_from(tmp_path, adopted):
    graded, kept = tmp_path / "graded.parquet", tmp_path / "kept.parquet"
    rft_here("grade", "--input", adopted, "--output", graded)
    assert pl.read_parquet(graded)["verdict"].to_list() == ["correct", "wrong"]
    rft_here("filter", "--input", graded, "--output", kept, "--set", "filter={no_box: {}}")
    assert len(pl.read_parquet(kept)) == 2
    chosen = tmp_path / "selected.parquet"
    rft_here("select", "--input", kept, "--output", chosen, "--set", "select.by=random")
    row = pl.read_parquet(chosen).to_dicts()[0]
    assert (row["verdict"], row["source_id"], row["reward"]) == ("correct", "q1", 1.0)


def test_somebodys_reward_can_be_the_verdict(tmp_path, adopted):
    words = ["--set", "grade.verifier=given", "--column", "verdict=reward"]
    rft_here("grade", "--input", adopted, "--output", tmp_path / "graded.parquet", *words)
    graded = pl.read_parquet(tmp_path / "graded.parquet")
    assert graded["verdict"].to_list() == ["correct", "wrong"]


def test_rollouts_without_a_gold_are_told_and_not_graded(tmp_path):
    other = gym(said_item("5"))
    del other["expected_answer"], other["extracted_answer"]
    source = lines(tmp_path / "in.jsonl", gym(), other)
    told = rft_here("adopt", source, "--output", tmp_path / "a.parquet")
    assert "1 of 2 have no gold, which `rft grade` needs" in told
    told = rft_here(
        "grade", "--input", tmp_path / "a.parquet", "--output", tmp_path / "g.parquet", code=2
    )
    assert "row 2 has no gold; every row needs one" in told
