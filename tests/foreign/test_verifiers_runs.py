"""Saved runs of verifiers: rows of results.jsonl, and graphs of messages in traces.jsonl.

Run: python -m pytest tests/foreign/test_verifiers_runs.py
"""

import json

import pytest

from rft.foreign.chat import Unfit
from rft.foreign.verifiers_runs import fits, rows
from tests.saved_rollouts import ASKED, CALLED, SAID, TOLD, node, run_row, trace, traces


def one(record):
    (found,) = rows(record)
    return found


def test_a_row_gives_question_answer_gold_and_scores():
    assert fits(run_row())
    found = one(run_row())
    assert (found.question, found.completion) == (ASKED["content"], SAID["content"])
    assert (found.gold, found.reward, found.source_id) == (["4"], 0.75, "3")
    assert found.scores == {"correct": 1.0, "format": 0.5}
    assert json.loads(found.prompt) == [TOLD, ASKED]
    assert (found.finish_reason, found.token_ids) == ("stop", None)


def test_the_columns_of_an_older_version_are_scores_but_for_its_times():
    older = run_row(generation_ms=1.0, scoring_ms=1.0, total_ms=2.0)
    del older["metrics"]
    assert one(older).scores == {"correct": 1.0, "format": 0.5}


def test_texts_that_a_model_went_on_with_are_question_and_answer_as_they_are():
    found = one(run_row(prompt="2+2=", completion=" 4"))
    assert (found.question, found.completion, found.prompt) == ("2+2=", " 4", "2+2=")
    assert one(run_row(completion=" 4")).completion == " 4"
    assert one(run_row(prompt="2+2=")).question == "2+2="


def test_messages_in_a_cell_of_a_table_are_read_as_messages():
    found = one(run_row(prompt=json.dumps([ASKED]), completion=json.dumps([SAID]), reward="1"))
    assert (found.question, found.completion, found.reward) == ("What is 2+2?", SAID["content"], 1)


def test_tokens_come_out_of_the_trajectory_if_it_has_one_turn():
    tokens = {"completion_ids": [5, 6], "completion_logprobs": [-1.0, -2.0], "is_truncated": True}
    found = one(run_row(trajectory=[{"tokens": tokens}]))
    assert (found.token_ids, found.logprobs) == ([5, 6], [-1.0, -2.0])
    assert found.finish_reason == "length"
    assert one(run_row(trajectory=[{"tokens": tokens}] * 2)).token_ids is None


def test_reasoning_goes_beside_the_answer_and_takes_the_tokens_with_it():
    tokens = {"completion_ids": [5, 6], "completion_logprobs": [-1.0, -2.0]}
    thought = SAID | {"reasoning_content": "2 and 2"}
    found = one(run_row(completion=[thought], trajectory=[{"tokens": tokens}]))
    assert (found.completion, found.reasoning) == (SAID["content"], "2 and 2")
    assert (found.token_ids, found.logprobs, found.num_tokens) == (None, None, None)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (run_row(completion=[*CALLED, SAID]), "tool calls"),
        (run_row(completion=[SAID, ASKED, SAID]), "several turns"),
        (run_row(completion=[]), "no text of the model"),
        (run_row(completion=None), "no text of the model"),
        (run_row(prompt=None, completion="4"), "no question"),
        (run_row(prompt=[TOLD]), "no question"),
        (run_row(prompt=7, completion={}), "no question"),
    ],
)
def test_rows_that_are_more_or_less_are_set_aside_by_name(record, reason):
    found = one(record)
    assert isinstance(found, Unfit)
    assert str(found) == reason


def test_a_trace_gives_the_sampled_message_its_tokens_and_its_weighed_reward():
    assert fits(traces(trace()))
    assert fits(trace())
    (found,) = rows(traces(trace()))
    assert (found.question, found.completion) == (ASKED["content"], SAID["content"])
    assert (found.gold, found.model, found.source_id) == (["4"], "m", "abc")
    assert found.reward == 1.0 * 0.5 + 0.5 * 1
    assert found.scores == {"right": 1.0, "short": 0.5, "words": 2.0}
    assert (found.token_ids, found.logprobs) == ([5, 6], [-0.1, -0.2])
    assert found.finish_reason == "length"


def test_an_episode_of_several_agents_gives_a_rollout_each():
    both = traces(trace(), trace(rewards={}))
    assert [each.reward for each in rows(both)] == [1.0, None]
    assert one(trace(rewards={"right": {"score": 1.0}, "other": {"weight": 1}})).reward is None


@pytest.mark.parametrize("weight", [None, "n/a", float("nan")])
def test_a_weight_that_cannot_be_read_makes_no_reward_of_nothing(weight):
    rewards = {"right": {"score": 1.0, "weight": weight}}
    assert one(trace(rewards=rewards)).reward is None


def test_tokens_that_are_not_marked_one_by_one_are_not_known():
    answer = node(0, SAID, sampled=True, token_ids=[5, 6, 7, 8], mask=[True, True])
    assert one(trace(node(None, ASKED), answer)).token_ids is None


SAMPLED = {"sampled": True}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (traces(), "no traces"),
        (trace(nodes=[]), "no text of the model"),
        (trace(nodes=7), "no text of the model"),
        (trace(node(None, ASKED), node(0, SAID)), "no text of the model"),
        (
            trace(
                *(node(None, ASKED), node(0, SAID, **SAMPLED)),
                *(node(1, ASKED), node(2, SAID, **SAMPLED)),
            ),
            "several turns",
        ),
        (
            trace(
                *(node(None, ASKED), node(0, CALLED[0], **SAMPLED)),
                *(node(1, CALLED[1]), node(2, SAID, **SAMPLED)),
            ),
            "tool calls",
        ),
        (
            trace(node(1, SAID, **SAMPLED), node(0, ASKED)),
            "messages that hang together in no order",
        ),
        (trace(node(-1, SAID, **SAMPLED)), "messages that hang together in no order"),
        (trace(node("a", SAID, **SAMPLED)), "messages that hang together in no order"),
    ],
)
def test_traces_that_are_more_or_less_are_set_aside_by_name(record, reason):
    found = one(record)
    assert isinstance(found, Unfit)
    assert str(found) == reason
