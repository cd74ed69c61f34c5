"""Rollouts of NeMo Gym: what the responses API was asked and gave, and what a verifier said of it.

As in the 136 files `example_rollouts.jsonl` of NVIDIA-NeMo/Gym at 07d6b0d, and in
`nemo_gym/openai_utils.py` and `base_resources_server.py` there: responses_create_params.input (a
text or messages), response.output (items of the type reasoning, message, function_call,
function_call_output; a message's content has parts of the type output_text), reward, and whatever
the verifier adds, mostly the gold as expected_answer. `_ng_task_index` and `_ng_rollout_index` say
which sample it is. Where rollouts were collected for training, the last item of an answer has
generation_token_ids and generation_log_probs.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rft.foreign.chat import Adopted, Unfit, adopted, attempt, thoughts_of
from rft.foreign.values import (
    golds_in,
    integer_in,
    list_in,
    mapping_in,
    reward_in,
    scores_in,
    text_in,
    usage_in,
)


def fits(record: Mapping[str, Any]) -> bool:
    """Say whether a record looks like a rollout of NeMo Gym."""
    return "responses_create_params" in record


def rows(record: Mapping[str, Any]) -> Iterator[Adopted | Unfit]:
    """Give the rollout that a record is."""
    yield attempt(_rollout, record)


def _rollout(record: Mapping[str, Any]) -> Adopted:
    asked = mapping_in(record.get("responses_create_params"))
    response = mapping_in(record.get("response"))
    given = asked.get("input")
    messages = [dict(mapping_in(each)) for each in list_in(given)]
    if text_in(given) and not messages:
        messages = [{"role": "user", "content": given}]
    thoughts: list[str] = []
    apart = False
    last: Mapping[str, Any] = {}
    said: list[Mapping[str, Any]] = []
    for item in map(mapping_in, list_in(response.get("output"))):
        kind = item.get("type") or "message"
        if kind == "reasoning":
            apart = True
            parts = [*list_in(item.get("summary")), *list_in(item.get("content"))]
            thoughts += [each for part in parts for each in thoughts_of(mapping_in(part))]
        elif kind == "message":
            said.append(item)
        else:  # function_call, function_call_output, web_search_call, ...
            raise Unfit("tool calls")
        last = item
    if not said:
        raise Unfit("no text of the model")
    if len(said) > 1:
        raise Unfit("several turns")
    if any(mapping_in(part).get("type") == "refusal" for part in list_in(said[0].get("content"))):
        raise Unfit("no text of the model")
    answer = dict(said[0]) | {"role": said[0].get("role") or "assistant"}
    if apart:
        thinking = {"type": "reasoning", "reasoning": "\n".join(thoughts)}
        answer["content"] = [thinking, *parts_of(answer.get("content"))]
    if instructions := text_in(asked.get("instructions")):
        messages.insert(0, {"role": "system", "content": instructions})
    verified = mapping_in(record.get("verifier_metadata"))
    beside = tuple(name for name in record if name.startswith("_ng_") or name == "reward")
    return adopted(
        [*messages, answer],
        ends=(mapping_in(response.get("incomplete_details")).get("reason"),),
        **golds_in(record, verified),
        **reward_in(record.get("reward")),
        scores=scores_in(record, beside) | dict(mapping_in(record.get("reward_components"))),
        token_ids=last.get("generation_token_ids"),
        logprobs=last.get("generation_log_probs"),
        num_tokens=usage_in(response.get("usage"), "output_tokens"),
        sample_index=integer_in(record.get("_ng_rollout_index")),
        source_id=_name(record),
        model=text_in(response.get("model")),
    )


def parts_of(content: Any) -> list[Any]:
    """Give the parts of a message's content, of which a text is the only one."""
    return content if isinstance(content, list) else [content]


def _name(record: Mapping[str, Any]) -> str | None:
    """Give the name of the task: its own, or its place among the tasks of the collection."""
    named = (record.get(name) for name in ("id", "uuid", "_ng_task_index"))
    return next((str(each) for each in named if isinstance(each, str | int)), None)
