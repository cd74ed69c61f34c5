"""Episodes of rLLM: a task, and the trajectories of the agents that worked on it, in steps.

As in `rllm/types.py` of rllm-org/rllm at 9beb6e0: `Episode` (id, task, is_correct, trajectories,
termination_reason), `Trajectory` (uid, name, task, steps, reward, signals), `Step`
(chat_completions with the answer last, model_response, response_ids, logprobs, model_output).
They are written as one JSON file each by `rllm/eval/episode_store.py` (all fields) and by
`rllm/utils/episode_logger.py` (`episode_id`, no token ids), and by `Episode.to_dict`. A task is a
row of a data set, or has it as `metadata`, with the text as `instruction`; the gold is
`ground_truth` there. Each trajectory is a rollout of its own; one of several steps has several
turns. `is_correct` is false also where nobody graded, so the reward is the trajectory's alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rft.foreign.chat import Adopted, Unfit, adopted, attempt, of_texts
from rft.foreign.values import (
    golds_in,
    list_in,
    mapping_in,
    messages_in,
    reward_in,
    scores_in,
    text_in,
)

QUESTIONS = ("question", "problem", "instruction", "prompt")


def fits(record: Mapping[str, Any]) -> bool:
    """Say whether a record looks like an episode."""
    return isinstance(record.get("trajectories"), list | str) and "task" in record


def rows(record: Mapping[str, Any]) -> Iterator[Adopted | Unfit]:
    """Give a rollout for each trajectory of an episode."""
    trajectories = list_in(record.get("trajectories"))
    if not trajectories:
        yield Unfit("no trajectories")
    for trajectory in trajectories:
        yield attempt(_rollout, record, mapping_in(trajectory))


def _rollout(episode: Mapping[str, Any], trajectory: Mapping[str, Any]) -> Adopted:
    steps = [mapping_in(step) for step in list_in(trajectory.get("steps"))]
    if len(steps) > 1:
        raise Unfit("several turns")
    step = steps[0] if steps else {}
    output = mapping_in(step.get("model_output"))
    task = mapping_in(trajectory.get("task")) or mapping_in(episode.get("task"))
    source = mapping_in(task.get("metadata"))
    signals = {**mapping_in(trajectory.get("signals")), **mapping_in(episode.get("metrics"))}
    kept: dict[str, Any] = {
        **golds_in(task, source),
        **reward_in(trajectory.get("reward")),
        "scores": scores_in(signals) | scores_in({"is_correct": episode.get("is_correct")}),
        "ends": (output.get("finish_reason"), episode.get("termination_reason")),
        "token_ids": step.get("response_ids"),
        "logprobs": step.get("logprobs"),
        "source_id": text_in(episode.get("id")) or text_in(episode.get("episode_id")),
    }
    if messages := messages_in(step.get("chat_completions")):
        return adopted(messages, **kept)
    if output.get("tool_calls"):
        raise Unfit("tool calls")
    places = (task, source)
    asked = [text_in(place.get(name)) for name in QUESTIONS for place in places]
    said = [step.get("model_response"), output.get("content"), step.get("output")]
    question = next((each for each in asked if each), text_in(episode.get("task")) or "")
    answer = next((each for each in map(text_in, [*said, trajectory.get("output")]) if each), "")
    thought = text_in(output.get("reasoning")) or text_in(step.get("thought"))
    return of_texts(question, answer, prompt=question, reasoning=thought, **kept)
