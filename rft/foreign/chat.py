"""Rollouts out of chats: one question and one answer in text, or the name of what is more or less.

A row of ours is a question and what a model wrote to it. What others record can be more: calls of
tools, several turns, images. That has no honest place in such a row, and is set aside by name.
Where reasoning is recorded apart from the answer, nobody knows the marks that stood between the
two, so that the completion is the answer, and the reasoning goes beside it; token ids and
log-probabilities are of both, and are left out then.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rft.foreign.values import json_text, logprobs_in, text_in, token_ids_in

# Parts of a message's content by their type: OpenAI's chat and responses, Anthropic's, inspect's.
TEXTS = ("text", "input_text", "output_text")
REASONING = ("reasoning", "thinking", "reasoning_text", "summary_text", "redacted_thinking")
CALLS = ("tool_use", "tool_call", "tool_result", "function_call", "function_call_output")
# Ways in which an answer ended, to ours; what nobody states counts as a stop, as elsewhere.
ENDS = {
    **dict.fromkeys(("length", "max_tokens", "model_length", "max_output_tokens"), "length"),
    "max_response_length_exceeded": "length",
    **dict.fromkeys(("content_filter", "refusal"), "content_filter"),
}


class Unfit(Exception):
    """Why a rollout of somebody's is no row of ours: the name under which it is set aside."""


@dataclass(frozen=True)
class Adopted:
    """What is kept of a rollout of somebody's."""

    question: str
    completion: str
    prompt: str
    """All that the model was given: a text, or a chat as JSON."""
    reasoning: str | None = None
    gold: list[str] = field(default_factory=list)
    gold_name: str | None = None
    """The column that the golds are from."""
    reward: float | None = None
    unread_reward: str | None = None
    """What stands in the place of a reward, but is no number."""
    scores: Mapping[str, Any] = field(default_factory=dict)
    finish_reason: str = "stop"
    num_tokens: int | None = None
    token_ids: list[int] | None = None
    logprobs: list[float] | None = None
    sample_index: int | None = None
    source_id: str | None = None
    model: str | None = None


def attempt(make: Callable[..., Adopted], *of: Any) -> Adopted | Unfit:
    """Make a rollout, or say why that cannot be."""
    try:
        return make(*of)
    except Unfit as reason:
        return reason


def adopted(
    messages: Sequence[Mapping[str, Any]],
    *,
    ends: Sequence[Any] = (),
    token_ids: Any = None,
    logprobs: Any = None,
    num_tokens: int | None = None,
    **more: Any,
) -> Adopted:
    """Make a rollout of a chat that ends in the answer of a model."""
    question = question_of(messages[:-1], messages[-1:])
    completion, reasoning = read_content(messages[-1])
    return of_texts(
        question,
        completion,
        prompt=json_text(messages[:-1]),
        reasoning=reasoning,
        ends=ends,
        token_ids=token_ids,
        logprobs=logprobs,
        num_tokens=num_tokens,
        **more,
    )


def of_texts(
    question: str,
    completion: str,
    *,
    reasoning: str | None = None,
    ends: Sequence[Any] = (),
    token_ids: Any = None,
    logprobs: Any = None,
    num_tokens: int | None = None,
    **more: Any,
) -> Adopted:
    """Make a rollout of a question and an answer, with the tokens if they are the answer's."""
    if not question.strip():
        raise Unfit("no question")
    if not completion.strip():
        raise Unfit("no text of the model")
    ids, logs = token_ids_in(token_ids), logprobs_in(logprobs)
    if ids and logs and len(ids) != len(logs):
        logs = None
    whole = reasoning is None
    return Adopted(
        question=question.strip(),
        completion=completion,
        reasoning=reasoning or None,
        finish_reason=finish_of(ends),
        num_tokens=(len(ids) if ids else num_tokens) if whole else None,
        token_ids=ids if whole else None,
        logprobs=logs if whole else None,
        **more,
    )


def question_of(before: Sequence[Mapping[str, Any]], answer: Sequence[Mapping[str, Any]]) -> str:
    """Give the question that a chat asks, if one question and one answer is all that it is."""
    every = [*before, *answer]
    if not every:
        raise Unfit("no messages")
    if any(each.get("role") in ("tool", "function") or _calls(each) for each in every):
        raise Unfit("tool calls")
    if not any(each.get("role") == "assistant" for each in every):
        raise Unfit("no text of the model")
    asked = [each for each in before if each.get("role") == "user"]
    rest = [each for each in before if each.get("role") not in ("user", "system", "developer")]
    if not asked and not rest:
        raise Unfit("no question")
    if len(asked) != 1 or rest or any(each.get("role") != "assistant" for each in answer):
        raise Unfit("several turns")
    for each in before:
        read_content(each)
    return read_content(asked[0])[0]


def _calls(message: Mapping[str, Any]) -> bool:
    """Say whether a message calls a tool, or has what one gave."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return (
        bool(message.get("tool_calls"))
        or bool(message.get("function_call"))
        or any(isinstance(part, dict) and part.get("type") in CALLS for part in parts)
    )


def read_content(message: Mapping[str, Any]) -> tuple[str, str | None]:
    """Give the text of a message, and the reasoning recorded apart from it, if only as a mark."""
    texts, reasoning = [], list(thoughts_of(message))
    apart = bool(reasoning)
    content = message.get("content")
    for part in content if isinstance(content, list) else [content]:
        kind = part.get("type") if isinstance(part, dict) else None
        if part is None or isinstance(part, str):
            texts.append(part or "")
        elif kind in TEXTS and isinstance(part.get("text") or "", str):
            texts.append(part.get("text") or "")
        elif kind in REASONING:
            apart = True
            reasoning += thoughts_of(part)
        else:
            raise Unfit("more than text")
    return "".join(texts), "\n".join(reasoning) if apart else None


def thoughts_of(part: Mapping[str, Any]) -> Iterator[str]:
    """Give the reasoning of a message, or of a part of one, that is recorded under its names."""
    names: tuple[str, ...] = ("reasoning_content", "reasoning", "thinking")
    if part.get("type") in ("reasoning_text", "summary_text"):
        names = ("text",)
    elif part.get("redacted") is True:  # what stands there then is no text
        names = ("summary",)
    thoughts = (text_in(part.get(name)) for name in names)
    # Servers write the same under two names.
    yield from dict.fromkeys(each for each in thoughts if each)


def finish_of(stated: Sequence[Any]) -> str:
    """Say in our words how an answer ended, by the first of these that says it was cut."""
    ends = [ENDS[each] for each in stated if isinstance(each, str) and each in ENDS]
    return ends[0] if ends else "stop"
