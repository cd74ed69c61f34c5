"""Adopting: all that comes in is kept or set aside by name, and ids are those of other rows.

Run: python -m pytest tests/foreign/test_adopt.py
"""

import json

import polars as pl
import pytest

from rft.foreign import FORMATS, adopt
from rft.problems.foreign_rows import identify
from tests.command import invoke
from tests.saved_rollouts import (
    ASKED,
    HALF,
    SAID,
    adopted_rows,
    aside,
    batch_pair,
    episode,
    eval_log,
    gym,
    lines,
    refusal,
    run_row,
    sample,
    trace,
    traces,
)

SAVED = {
    "rllm": [episode()],
    "gym": [gym()],
    "inspect": [sample()],
    "verifiers": [run_row(), traces(trace()), trace()],
    "openai": [{"messages": [ASKED, SAID]}, batch_pair()],
}


REWARDED = {
    "rllm": lambda reward: episode(
        trajectories=[episode()["trajectories"][0] | {"reward": reward}],
    ),
    "gym": lambda reward: gym(reward=reward),
    "inspect": lambda reward: sample(scores={"match": {"value": reward}}),
    "verifiers": lambda reward: run_row(reward=reward),
    "openai": lambda reward: {"messages": [ASKED, SAID], "reward": reward},
}


@pytest.mark.parametrize("name", FORMATS)
def test_auto_knows_every_format_and_takes_none_for_another(tmp_path, name):
    for record in SAVED[name]:
        assert next(other for other in FORMATS if FORMATS[other].fits(record)) == name
        done = invoke("adopt", lines(tmp_path / "in", record), "--output", tmp_path / "out.parquet")
        assert f"1 rollouts, read as {name} = 1 kept + 0 set aside" in done.stdout


def test_what_auto_does_not_know_is_refused_with_what_was_seen(tmp_path):
    told = refusal(tmp_path, lines(tmp_path / "in.jsonl", {"text": "a", "label": 1}))
    assert (
        "look like none of rllm, gym, inspect, verifiers, openai (the first has text, label)"
        in told
    )


def test_in_is_kept_and_set_aside(tmp_path):
    rows = [run_row(), run_row(completion=[]), run_row(prompt=[]), run_row(completion=None)]
    output = tmp_path / "out.parquet"
    done = invoke("adopt", lines(tmp_path / "in.jsonl", *rows), "--output", output)
    assert "4 rollouts, read as verifiers = 1 kept + 3 set aside" in done.stdout
    assert "(2 no text of the model, 1 no question)" in done.stdout
    assert len(pl.read_parquet(output)) == 1
    others = pl.read_parquet(tmp_path / "out.set_aside.parquet")
    assert others["source_row"].to_list() == [2, 3, 4]
    assert "example_id" in others["beginning"][0]


def test_nothing_to_keep_is_refused_and_leaves_nothing(tmp_path):
    told = refusal(tmp_path, lines(tmp_path / "in.jsonl", run_row(completion=[])))
    assert "none of its 1 rollouts can be kept, read as verifiers (1 no text of the model)" in told
    told = refusal(tmp_path, lines(tmp_path / "in.jsonl", run_row()), "--as", "gym")
    assert "see whether --as is right" in told


def test_ids_are_those_that_rows_without_ids_are_given(tmp_path):
    rows = [run_row(), run_row(), run_row(completion="5"), run_row(answer="5")]
    source = lines(tmp_path / "in.jsonl", *rows)
    made = pl.DataFrame(adopted_rows(tmp_path, source))
    ids = ["rollout_id", "problem_id", "sample_index"]
    again = identify(made.select("question", "gold", "completion"), source)
    assert again.select(ids).rows() == made.select(ids).rows()
    assert made["sample_index"].to_list() == [0, 1, 2, 0]


def test_batches_do_not_change_what_is_written(tmp_path, monkeypatch):
    source = lines(tmp_path / "in.jsonl", *[run_row(reward=float(n)) for n in range(10)])
    whole = adopted_rows(tmp_path, source)
    monkeypatch.setattr(adopt, "BATCH_ROWS", 3)
    assert adopted_rows(tmp_path, source) == whole


def test_hostile_texts_are_set_aside_by_name_and_never_end_in_a_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(adopt, "LONGEST_COMPLETION", 1000)
    deep = json.loads("[" * 200 + "]" * 200)
    strange = [None, 7, True, [], {}, deep, HALF, "x" * 2000, float("nan"), [[]], {"role": "user"}]
    rows = [run_row()]
    rows += [run_row(**{name: value}) for name in run_row() for value in strange]
    adopted_rows(tmp_path, lines(tmp_path / "in.jsonl", *rows))
    reasons = set(aside(tmp_path))
    assert {"half a character in its question", "half a character in its completion"} <= reasons
    assert "completion longer than 1,000 characters" in reasons


@pytest.mark.parametrize("name", FORMATS)
def test_whatever_stands_in_a_field_is_a_row_or_a_reason(tmp_path, name):
    record = SAVED[name][0]
    strange = [None, 7, True, [], [7], {}, HALF, float("nan"), 10**30, "[", [{"role": 7}], [[{}]]]
    rows = [record] + [record | {key: value} for key in record for value in strange]
    made = adopted_rows(tmp_path, lines(tmp_path / "in.jsonl", *rows), "--as", name)
    assert len(made) + len(aside(tmp_path)) >= len(rows)


def test_gold_and_score_are_taken_from_where_they_are_said_to_be(tmp_path):
    row = run_row(info={"label": {"final": "7"}}, reward=None)
    source = lines(tmp_path / "in.jsonl", row)
    (made,) = adopted_rows(tmp_path, source, "--gold", "info.label.final", "--score", "format")
    assert (made["gold"], made["reward"]) == (["7"], 0.5)
    done = invoke("adopt", source, "--output", tmp_path / "out.parquet")
    assert "1 of 1 have no reward; --score takes one of correct, format" in done.stderr
    (tmp_path / "out.parquet").unlink()
    (tmp_path / "out.set_aside.parquet").unlink()
    assert "--gold info.x: there is no gold in any" in refusal(tmp_path, source, "--gold", "info.x")
    told = refusal(tmp_path, source, "--score", "judge")
    assert "no rollout has a number as such a score; there are correct, format" in told


def test_an_answer_beside_a_chat_is_the_gold_only_where_one_says_so(tmp_path):
    source = lines(tmp_path / "in.jsonl", {"messages": [ASKED, SAID], "answer": "5"})
    output = tmp_path / "out.parquet"
    told = invoke("adopt", source, "--output", output).stderr
    assert "1 of 1 have no gold, which `rft grade` needs; --gold NAME says in which" in told
    assert pl.read_parquet(output)["gold"].to_list() == [None]
    told = invoke("adopt", source, "--output", output, "--gold", "answer").stderr
    assert told == "gold from `answer`\n"
    assert pl.read_parquet(output)["gold"].to_list() == [["5"]]


def test_it_is_told_from_which_columns_the_golds_are(tmp_path):
    rows = [run_row(), run_row(), run_row(answer="", info={"ground_truth": "4"})]
    source, output = lines(tmp_path / "in.jsonl", *rows), tmp_path / "out.parquet"
    told = invoke("adopt", source, "--output", output).stderr
    assert "gold from `answer` (2), `ground_truth` (1)\n" in told
    for record, name in ((sample(), "target"), (gym(), "expected_answer")):
        source = lines(tmp_path / "in.jsonl", record)
        assert f"gold from `{name}`\n" in invoke("adopt", source, "--output", output).stderr


@pytest.mark.parametrize("name", FORMATS)
def test_rewards_that_cannot_be_read_are_counted(tmp_path, name):
    made = REWARDED[name]
    rows = [made("True"), made("FALSE"), made("splendid"), made(float("nan")), made(None)]
    output = tmp_path / "out.parquet"
    told = invoke("adopt", lines(tmp_path / "in.jsonl", *rows), "--output", output).stderr
    assert "2 of 5 have a reward that is no number, such as 'splendid', and are without" in told
    assert pl.read_parquet(output)["reward"].to_list() == [1.0, 0.0, None, None, None]
    told = invoke("adopt", lines(tmp_path / "in.jsonl", *rows[:2]), "--output", output).stderr
    assert "no number" not in told


def test_a_trace_whose_rewards_can_not_all_be_read_has_none_and_is_counted(tmp_path):
    rewards = {"a": {"score": "True", "weight": 0.5}, "b": {"score": "nan", "weight": 1.0}}
    source, output = lines(tmp_path / "in.jsonl", trace(rewards=rewards)), tmp_path / "out.parquet"
    told = invoke("adopt", source, "--output", output).stderr
    assert "1 of 1 have a reward that is no number, such as 'nan'" in told
    rewards["b"]["score"] = True
    lines(source, trace(rewards=rewards))
    invoke("adopt", source, "--output", output)
    assert pl.read_parquet(output)["reward"].to_list() == [1.5]


def test_a_score_that_is_asked_for_and_cannot_always_be_read_is_counted(tmp_path):
    rows = [run_row(metrics={"judge": each}) for each in ("True", "unsure")]
    source = lines(tmp_path / "in.jsonl", *rows)
    words = ["--output", tmp_path / "out.parquet", "--score", "judge"]
    told = invoke("adopt", source, *words).stderr
    assert "1 of 2 have a reward that is no number, such as 'unsure'" in told


def test_an_output_that_is_read_or_is_no_parquet_is_refused(tmp_path):
    source = lines(tmp_path / "in.jsonl", run_row())
    adopted_rows(tmp_path, source)
    told = invoke("adopt", tmp_path, "--output", tmp_path / "out.parquet")
    assert "is among the files that are read" in told.stderr
    told = invoke("adopt", source, "--output", tmp_path / "out.csv")
    assert "write a Parquet file" in told.stderr
    assert told.exit_code == 2


def test_epochs_are_indices_and_one_that_is_taken_is_not_given_again(tmp_path):
    log = eval_log(tmp_path / "log.eval", sample(epoch=3), sample(epoch=1, id="b"))
    indices = [row["sample_index"] for row in adopted_rows(tmp_path, log)]
    assert indices == [2, 0]
    both = lines(tmp_path / "in.jsonl", sample(), sample(), sample(epoch=0))
    assert [row["sample_index"] for row in adopted_rows(tmp_path, both)] == [1, 2, 3]
