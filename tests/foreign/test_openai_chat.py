"""Chats as in OpenAI's API: logs of messages, and requests beside their responses.

Run: python -m pytest tests/foreign/test_openai_chat.py
"""

import pytest

from rft.foreign.chat import Unfit
from rft.foreign.openai_chat import fits, rows
from tests.saved_rollouts import ASKED, CALLED, SAID, TOLD, batch_pair, choice


def one(record):
    (found,) = rows(record)
    return found


def test_of_a_log_the_last_message_is_the_answer():
    log = {"messages": [TOLD, ASKED, SAID], "id": "a", "gold": 4, "score": 0.5}
    assert fits(log)
    found = one(log)
    assert (found.question, found.completion) == (ASKED["content"], SAID["content"])
    assert (found.gold, found.reward, found.source_id) == (["4"], 0.5, "a")


@pytest.mark.parametrize("name", ["gold", "expected_answer", "ground_truth", "reference_answer"])
def test_a_gold_has_a_name_that_leaves_no_doubt(name):
    read_out = {"answer": "5", "target": "5"}
    found = one({"messages": [ASKED, SAID], name: "4", **read_out})
    assert (found.gold, found.gold_name) == (["4"], name)
    assert one({"messages": [ASKED, SAID], "metadata": {name: "4", **read_out}}).gold == ["4"]
    assert one({"messages": [ASKED, SAID], "metadata": read_out, **read_out}).gold == []


def test_content_in_parts_is_text_as_long_as_all_of_it_is():
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "2+2?"}]
    assert one({"messages": [{"role": "user", "content": parts}, SAID]}).question == "What is 2+2?"
    parts = [{"type": "image_url", "image_url": {"url": "data:"}}]
    assert str(one({"messages": [{"role": "user", "content": parts}, SAID]})) == "more than text"


def test_a_request_beside_its_response_is_a_rollout():
    assert fits(batch_pair())
    found = one(batch_pair())
    assert (found.question, found.completion) == (ASKED["content"], SAID["content"])
    assert (found.finish_reason, found.num_tokens) == ("length", 5)
    assert (found.source_id, found.model) == ("q-1", "m-1")


def test_each_choice_is_a_rollout_and_the_usage_of_all_is_none_of_theirs():
    both = list(rows(batch_pair(choice("4"), choice("5", finish_reason="stop"))))
    assert [each.completion for each in both] == ["4", "5"]
    assert [each.finish_reason for each in both] == ["length", "stop"]
    assert [each.num_tokens for each in both] == [None, None]


def test_logprobs_are_kept_where_they_are_and_ids_are_not_made_up():
    tokens = [{"token": "4", "logprob": -0.5, "bytes": [52], "top_logprobs": []}]
    found = one(batch_pair(choice(logprobs={"content": tokens})))
    assert (found.logprobs, found.token_ids) == ([-0.5], None)
    broken = choice(logprobs={"content": [{"logprob": float("nan")}, {"logprob": 1e300}, 7]})
    assert one(batch_pair(broken)).logprobs is None


def test_tokens_of_reasoning_that_is_not_shown_are_not_the_answers():
    pair = batch_pair()
    usage = pair["response"]["body"]["usage"]
    usage["completion_tokens_details"]["reasoning_tokens"] = 3
    assert one(pair).num_tokens is None


def test_plain_pairs_of_request_and_response_are_read_too():
    pair = batch_pair()
    plain = {"request": pair["body"], "response": pair["response"]["body"]}
    assert fits(plain)
    assert one(plain).completion == SAID["content"]
    whole = {"messages": [ASKED], "choices": [choice()]}
    assert one(whole).completion == SAID["content"]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"messages": []}, "no messages"),
        ({"messages": "hello"}, "no messages"),
        ({"messages": [7, None]}, "no messages"),
        ({"messages": [SAID]}, "no question"),
        ({"messages": [ASKED]}, "no text of the model"),
        ({"messages": [ASKED, SAID, ASKED]}, "several turns"),
        ({"messages": [ASKED, *CALLED, SAID]}, "tool calls"),
        (
            {"messages": [ASKED, SAID | {"content": None, "function_call": {"name": "f"}}]},
            "tool calls",
        ),
        ({"messages": [ASKED | {"content": "\n"}, SAID]}, "no question"),
        ({"messages": [ASKED, SAID | {"content": {"a": 1}}]}, "more than text"),
        (
            {"messages": [ASKED, SAID | {"content": [{"type": "text", "text": 7}]}]},
            "more than text",
        ),
        (batch_pair(choice(None)), "no text of the model"),
        (batch_pair(body=None), "no question"),
        (batch_pair(response=None, error={"code": "x"}), "request that failed"),
        (batch_pair(response={"status_code": 500, "body": {}}), "request that failed"),
    ],
)
def test_what_is_more_or_less_is_set_aside_by_name(record, reason):
    found = one(record)
    assert isinstance(found, Unfit)
    assert str(found) == reason
