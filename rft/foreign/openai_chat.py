"""Chats in the form of OpenAI's API: logs of messages, or a request beside its response.

As in OpenAI's API reference, chat completions and batch: a log has `messages`, of which the last
is the answer. A request is the body itself or stands under `body` or `request`, a response under
`response`, there again under `body` in batch results, beside `status_code` and `error`; it has
`choices`, a rollout each, with message, finish_reason and logprobs, and `usage`. A line of batch
results alone has no question: put each beside the line of its custom_id in the requests first.
Numbers in columns beside them are taken along, and golds where a name leaves no doubt: `answer` may
be what somebody read out of the model's own words.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rft.foreign.chat import Adopted, Unfit, adopted, attempt
from rft.foreign.values import (
    SURE_GOLDS,
    golds_in,
    list_in,
    mapping_in,
    messages_in,
    reward_in,
    scores_in,
    text_in,
    usage_in,
)

NAMES = ("custom_id", "id", "conversation_id")


def fits(record: Mapping[str, Any]) -> bool:
    """Say whether a record looks like a chat, or like a request with its response."""
    request, response = _request(record), _response(record)
    return bool(messages_in(record.get("messages"))) or (
        bool(response.get("choices")) and (bool(request) or "custom_id" in record)
    )


def rows(record: Mapping[str, Any]) -> Iterator[Adopted | Unfit]:
    """Give the rollout of a chat, or one for each choice of a response."""
    response = _response(record)
    choices = [mapping_in(choice) for choice in list_in(response.get("choices"))]
    if not choices:
        yield attempt(_of_log, record)
    for choice in choices:
        yield attempt(_of_choice, record, response, choice, len(choices))


def _request(record: Mapping[str, Any]) -> Mapping[str, Any]:
    asked = mapping_in(record.get("request")) or record
    return mapping_in(asked.get("body")) or (asked if "messages" in asked else {})


def _response(record: Mapping[str, Any]) -> Mapping[str, Any]:
    given = mapping_in(record.get("response")) or record
    return mapping_in(given.get("body")) if "choices" not in given else given


def _kept(record: Mapping[str, Any]) -> dict[str, Any]:
    named = (record.get(name) for name in NAMES)
    return {
        **golds_in(record, mapping_in(record.get("metadata")), names=SURE_GOLDS),
        **reward_in(record.get("reward", record.get("score"))),
        "scores": scores_in(record, ("id", "created", "index")),
        "source_id": next((str(each) for each in named if isinstance(each, str | int)), None),
    }


def _of_log(record: Mapping[str, Any]) -> Adopted:
    failed = mapping_in(record.get("response")).get("status_code")
    if record.get("error") or failed not in (None, 200):
        raise Unfit("request that failed")
    messages = messages_in(record.get("messages"))
    if not messages:
        raise Unfit("no messages" if "messages" in record else "no text of the model")
    ends = (record.get("finish_reason"),)
    return adopted(messages, ends=ends, model=text_in(record.get("model")), **_kept(record))


def _of_choice(
    record: Mapping[str, Any], response: Mapping[str, Any], choice: Mapping[str, Any], choices: int
) -> Adopted:
    asked = messages_in(_request(record).get("messages"))
    if not asked:
        raise Unfit("no question")
    tokens = list_in(mapping_in(choice.get("logprobs")).get("content"))
    # The usage is of all choices together.
    usage = response.get("usage") if choices == 1 else None
    return adopted(
        [*asked, {"role": "assistant"} | dict(mapping_in(choice.get("message")))],
        ends=(choice.get("finish_reason"),),
        logprobs=[mapping_in(each).get("logprob") for each in tokens],
        num_tokens=usage_in(usage, "completion_tokens"),
        model=text_in(response.get("model")),
        **_kept(record),
    )
