"""Saved runs of the library `verifiers`: a row for each rollout, or from 0.4 on traces of episodes.

Rows, `results.jsonl` or a data set on the Hub, as `verifiers/utils/eval_utils.py` of 0.1.9 and
`utils/save_utils.py` of 0.1.14 write them: example_id, prompt and completion (messages, or texts
where the model was asked to go on with a text), answer, info, task, reward, metrics (in older
ones only as columns of their names), is_truncated, and what columns of the state were asked for,
such as `trajectory` with the tokens of each turn.

Traces, `traces.jsonl`, as in `verifiers/v1/episode.py`, `trace.py` and `graph.py` of 0.4.0: an
episode has traces, a trace is a graph of messages (`nodes`, each with its `parent`; `sampled` where
the model wrote it, with `token_ids`, of which `mask` says which were sampled, and their `logprobs`)
beside `calls`, weighted `rewards`, `metrics` and the task, whose data has the gold as `answer`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rft.foreign.chat import Adopted, Unfit, adopted, attempt, of_texts
from rft.foreign.values import (
    float_in,
    golds_in,
    list_in,
    mapping_in,
    messages_in,
    number_of,
    reward_in,
    scores_in,
    text_in,
)

# Numbers of a row that are no scores.
BESIDE = (
    *("example_id", "id", "reward", "is_completed", "is_truncated"),
    *("generation_ms", "scoring_ms", "total_ms"),
)


def fits(record: Mapping[str, Any]) -> bool:
    """Say whether a record looks like a row, a trace, or an episode of traces."""
    row = "prompt" in record and "completion" in record
    saved = any(name in record for name in ("reward", "example_id", "metrics", "answer"))
    return (row and saved) or "traces" in record or ("nodes" in record and "task" in record)


def rows(record: Mapping[str, Any]) -> Iterator[Adopted | Unfit]:
    """Give the rollout of a row, or one for each trace of an episode."""
    if "nodes" in record:
        yield attempt(_of_trace, record)
    elif "traces" in record:
        traces = list_in(record["traces"])
        if not traces:
            yield Unfit("no traces")
        for trace in traces:
            yield attempt(_of_trace, mapping_in(trace))
    else:
        yield attempt(_of_row, record)


def _of_row(row: Mapping[str, Any]) -> Adopted:
    info = mapping_in(row.get("info"))
    turns = list_in(row.get("trajectory"))
    tokens = mapping_in(mapping_in(turns[0]).get("tokens")) if len(turns) == 1 else {}
    scores = scores_in(row, BESIDE) | dict(mapping_in(row.get("metrics")))
    truncated = row.get("is_truncated") in (True, "true", "True") or tokens.get("is_truncated")
    name = row.get("example_id")
    kept: dict[str, Any] = {
        **golds_in({"answer": row.get("answer")}, info),
        **reward_in(row.get("reward")),
        "scores": scores,
        "ends": ("length",) if truncated else (row.get("stop_condition"),),
        "token_ids": tokens.get("completion_ids"),
        "logprobs": tokens.get("completion_logprobs"),
        "source_id": None if name is None else str(name),
    }
    prompt, completion = row.get("prompt"), row.get("completion")
    asked, said = messages_in(prompt), messages_in(completion)
    question, answer = text_in(prompt) or "", text_in(completion) or ""
    if not asked and not said:  # the model went on with a text
        return of_texts(question, answer, prompt=question, **kept)
    if not asked:
        asked = [{"role": "user", "content": question}] if question else []
    if not said:
        said = [{"role": "assistant", "content": answer}]
    return adopted([*asked, *said], **kept)


def _of_trace(trace: Mapping[str, Any]) -> Adopted:
    nodes = [mapping_in(node) for node in list_in(trace.get("nodes"))]
    written = [place for place, node in enumerate(nodes) if node.get("sampled") is True]
    if not written:
        raise Unfit("no text of the model")
    last = nodes[written[-1]]
    path = _path(nodes, written[-1])
    messages = [mapping_in(nodes[place].get("message")) for place in path]
    if len(written) > 1:
        calls = any(mapping_in(nodes[place].get("message")).get("tool_calls") for place in written)
        raise Unfit("tool calls" if calls else "several turns")
    calls_made = [mapping_in(call) for call in list_in(trace.get("calls"))]
    call = next((each for each in calls_made if each.get("node") == written[-1]), {})
    rewards = {
        name: mapping_in(each) for name, each in mapping_in(trace.get("rewards")).items() if each
    }
    weighed = [
        None if score is None or weight is None else score * weight
        for each in rewards.values()
        for score, weight in [(number_of(each.get("score")), float_in(each.get("weight", 1.0)))]
    ]
    known = [each for each in weighed if each is not None]
    unread = [reward_in(each.get("score"))["unread_reward"] for each in rewards.values()]
    mask, ids = list_in(last.get("mask")), list_in(last.get("token_ids"))
    task = mapping_in(mapping_in(trace.get("task")).get("data"))
    return adopted(
        messages,
        ends=(call.get("finish_reason"), trace.get("stop_condition")),
        **golds_in(task, mapping_in(task.get("info"))),
        reward=float_in(sum(known)) if known and len(known) == len(weighed) else None,
        unread_reward=next((each for each in unread if each), None),
        scores={name: each.get("score") for name, each in rewards.items()}
        | dict(mapping_in(trace.get("metrics"))),
        token_ids=[each for each, own in zip(ids, mask, strict=True) if own is True]
        if len(ids) == len(mask)
        else None,
        logprobs=last.get("logprobs"),
        source_id=text_in(trace.get("id")),
        model=text_in(call.get("model")),
    )


def _path(nodes: list[Mapping[str, Any]], place: int) -> list[int]:
    """Walk from a message back to the first one."""
    path: list[int] = []
    here: Any = place
    while here is not None:
        if type(here) is not int or not 0 <= here < len(nodes) or here in path:
            raise Unfit("messages that hang together in no order")
        path.append(here)
        here = nodes[here].get("parent")
    return path[::-1]
