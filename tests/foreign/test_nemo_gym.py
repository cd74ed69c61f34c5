"""Rollouts of NeMo Gym: what the responses API gave, with the verifier's words.

Run: python -m pytest tests/foreign/test_nemo_gym.py
"""

import pytest

from rft.foreign.chat import Unfit
from rft.foreign.nemo_gym import fits, rows
from tests.saved_rollouts import ASKED, SAID, gym, said_item

CALL = {"type": "function_call", "name": "add", "arguments": "{}", "call_id": "c"}
GAVE = {"type": "function_call_output", "call_id": "c", "output": "4"}
THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "2 and 2"}]}
TOKENS = {
    "prompt_token_ids": [1],
    "generation_token_ids": [5, 6],
    "generation_log_probs": [-1.0, -0.5],
}


def one(record):
    (found,) = rows(record)
    return found


def test_a_rollout_gives_question_answer_gold_and_reward():
    assert fits(gym())
    found = one(gym())
    assert (found.question, found.completion) == (ASKED["content"], SAID["content"])
    assert (found.gold, found.reward, found.scores) == (["4"], 1.0, {"library_reward": 1.0})
    assert (found.sample_index, found.source_id, found.num_tokens) == (3, "7", 6)
    assert (found.finish_reason, found.model) == ("stop", "local/m")


def test_input_as_a_text_and_instructions_are_a_chat():
    found = one(gym(responses_create_params={"input": "2+2?", "instructions": "Be brief."}))
    assert found.question == "2+2?"
    assert "Be brief." in found.prompt


def test_golds_are_found_beside_and_in_what_is_for_the_verifier():
    record = gym(verifier_metadata={"expected_answer": ["a", "b"]})
    del record["expected_answer"]
    assert one(record).gold == ["a", "b"]


def test_an_answer_that_was_cut_says_so():
    record = gym()
    record["response"]["incomplete_details"] = {"reason": "max_output_tokens"}
    assert one(record).finish_reason == "length"


def test_tokens_are_kept_if_they_are_those_of_the_answer_alone():
    assert one(gym(said_item(**TOKENS))).token_ids == [5, 6]
    assert one(gym(said_item(**TOKENS))).logprobs == [-1.0, -0.5]
    thinking = one(gym(THOUGHT, said_item(**TOKENS)))
    assert (thinking.reasoning, thinking.token_ids, thinking.num_tokens) == ("2 and 2", None, None)
    # Reasoning that is kept secret is a mark alone.
    secret = one(gym(THOUGHT | {"summary": []}, said_item(**TOKENS)))
    assert (secret.reasoning, secret.token_ids, secret.logprobs) == (None, None, None)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (gym(CALL, GAVE, said_item()), "tool calls"),
        (gym({"type": "web_search_call"}, said_item()), "tool calls"),
        (gym(said_item(), said_item("no", role="user"), said_item()), "several turns"),
        (gym(THOUGHT), "no text of the model"),
        (gym(said_item("")), "no text of the model"),
        (gym(said_item(content=[{"type": "refusal", "refusal": "no"}])), "no text of the model"),
        (gym(response=None), "no text of the model"),
        (gym(response="x", responses_create_params=[]), "no text of the model"),
        (gym(responses_create_params={"input": []}), "no question"),
        (
            gym(
                responses_create_params={
                    "input": [{"role": "user", "content": [{"type": "input_image"}]}]
                }
            ),
            "more than text",
        ),
    ],
)
def test_what_is_more_or_less_is_set_aside_by_name(record, reason):
    found = one(record)
    assert isinstance(found, Unfit)
    assert str(found) == reason
