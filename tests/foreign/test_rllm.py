"""Episodes of rLLM: a rollout for each trajectory of one step, and nothing made up.

Run: python -m pytest tests/foreign/test_rllm.py
"""

import pytest

from rft.foreign.chat import Unfit
from rft.foreign.rllm import fits, rows
from tests.saved_rollouts import ASKED, CALLED, SAID, TOLD, episode, step


def one(record):
    (found,) = rows(record)
    return found


def test_an_episode_gives_question_answer_gold_reward_and_tokens():
    assert fits(episode())
    found = one(episode())
    assert (found.question, found.completion) == (ASKED["content"], SAID["content"])
    assert (found.gold, found.reward, found.finish_reason) == (["4"], 1.0, "length")
    assert found.scores == {"accuracy": 1.0, "is_correct": True}
    assert (found.token_ids, found.num_tokens) == ([5, 6, 7], 3)
    assert found.logprobs == [-0.1, -0.2, -0.3]
    assert found.source_id == "t1:0"


def test_each_trajectory_is_a_rollout():
    both = episode()["trajectories"] * 2
    both[1] = both[1] | {"reward": 0.0}
    assert [each.reward for each in rows(episode(trajectories=both))] == [1.0, 0.0]


def test_what_the_logger_of_training_writes_is_read_too():
    kept = ("observation", "thought", "action", "reward", "done", "model_response")
    short = {name: step().get(name) for name in (*kept, "chat_completions")}
    record = episode(short)
    record["episode_id"] = record.pop("id")
    record["task"] = {"question": "What is 2+2?", "ground_truth": 4}
    found = one(record)
    assert (found.gold, found.source_id, found.token_ids) == (["4"], "t1:0", None)


def test_without_a_chat_the_question_is_the_task_and_the_answer_what_the_agent_put_out():
    found = one(
        episode(step(chat_completions=[], model_response="", model_output=None, output="4"))
    )
    assert (found.question, found.completion) == (ASKED["content"], "4")
    plain = episode(step(chat_completions=[], model_output=None), task="What is 2+2?")
    assert one(plain).question == "What is 2+2?"


def test_a_reward_that_nobody_gave_is_none_and_is_correct_is_not_taken_for_it():
    nobody = episode()["trajectories"][0] | {"reward": None, "signals": {}}
    found = one(episode(trajectories=[nobody], is_correct=False))
    assert found.reward is None
    assert found.scores == {"is_correct": False}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (episode(step(), step()), "several turns"),
        (episode(step(chat_completions=[ASKED, *CALLED, SAID])), "tool calls"),
        (episode(step(chat_completions=[TOLD, ASKED, SAID, ASKED, SAID])), "several turns"),
        (episode(step(chat_completions=[ASKED])), "no text of the model"),
        (episode(step(chat_completions=[ASKED, SAID | {"content": "  "}])), "no text of the model"),
        (episode(trajectories=[]), "no trajectories"),
        (episode(trajectories=[None]), "no text of the model"),
        (episode(trajectories=[{"steps": "x"}], task=None), "no question"),
        (episode(trajectories={"a": 1}), "no trajectories"),
    ],
)
def test_what_is_no_question_and_answer_is_set_aside_by_name(record, reason):
    found = one(record)
    assert isinstance(found, Unfit)
    assert str(found) == reason
