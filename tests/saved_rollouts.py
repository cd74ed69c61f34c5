"""Rollouts as other tools save them, in their exact shape; and calls of `rft adopt` on them."""

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from tests.command import invoke

ASKED = {"role": "user", "content": "What is 2+2?"}
TOLD = {"role": "system", "content": "Be brief."}
SAID = {"role": "assistant", "content": r"so \boxed{4}"}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
CALLED = [
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "4"},
]
# Half of a pair of UTF-16: what a model's text can end in, and no table holds.
HALF = "\ud83d"


def episode(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Write an episode of rLLM, as its model_dump does."""
    trajectory = {
        "uid": "u",
        "name": "solver",
        "task": None,
        "steps": list(steps or [step()]),
        "reward": 1.0,
        "input": None,
        "output": None,
        "signals": {"accuracy": 1.0},
        "metadata": None,
    }
    task = {
        "id": "t1",
        "instruction": ASKED["content"],
        "metadata": {"question": ASKED["content"], "ground_truth": "4"},
        "dataset_dir": ".",
        "sub_dir": None,
    }
    return {
        "id": "t1:0",
        "task": task,
        "termination_reason": "env_done",
        "is_correct": True,
        "session_id": None,
        "trajectories": [trajectory],
        "artifacts": {},
        "metrics": {},
        "metadata": {},
    } | more


def step(**more: Any) -> dict[str, Any]:
    """Write a step of an episode of rLLM."""
    return {
        "id": "s",
        "input": None,
        "output": None,
        "action": None,
        "reward": 1.0,
        "done": True,
        "prompt_ids": [1, 2],
        "response_ids": [5, 6, 7],
        "logprobs": [-0.1, -0.2, -0.3],
        "chat_completions": [ASKED, SAID | {"reasoning": None}],
        "thought": "",
        "model_response": SAID["content"],
        "model_output": {"finish_reason": "length", "content": SAID["content"]},
    } | more


def run_row(**more: Any) -> dict[str, Any]:
    """Write a row of results.jsonl of verifiers 0.1."""
    return {
        "example_id": 3,
        "prompt": [TOLD, ASKED],
        "completion": [SAID],
        "answer": "4",
        "task": "default",
        "reward": 0.75,
        "error": None,
        "timing": {"total_ms": 2.0},
        "is_completed": True,
        "is_truncated": False,
        "stop_condition": "max_turns_reached",
        "metrics": {"correct": 1.0, "format": 0.5},
        "tool_defs": None,
        "correct": 1.0,
        "format": 0.5,
    } | more


def node(parent: int | None, message: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Write a message of a trace of verifiers 0.4."""
    return {"parent": parent, "message": message, "sampled": False, "token_ids": []} | more


def trace(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Write a trace of verifiers 0.4."""
    answer = node(
        1,
        SAID,
        sampled=True,
        token_ids=[9, 5, 6],
        mask=[False, True, True],
        logprobs=[-0.1, -0.2],
    )
    return {
        "version": 1,
        "id": "abc",
        "task": {"type": "Sum", "data": {"idx": 0, "prompt": ASKED["content"], "answer": "4"}},
        "nodes": list(nodes or [node(None, TOLD), node(0, ASKED), answer]),
        "calls": [{"node": 2, "model": "m", "finish_reason": "length"}],
        "rewards": {"right": {"score": 1.0, "weight": 0.5}, "short": {"score": 0.5, "weight": 1}},
        "metrics": {"words": 2.0},
        "ok": True,
    } | more


def traces(*each: dict[str, Any]) -> dict[str, Any]:
    """Write an episode of verifiers 0.4."""
    task = {"type": "Sum", "data": {"idx": 0}}
    return {"id": "e", "env": {"id": "sums"}, "task": task, "ok": True, "traces": list(each)}


def sample(**more: Any) -> dict[str, Any]:
    """Write a sample of a log of inspect_ai."""
    message = {"id": "m3", "content": SAID["content"], "source": "generate", "role": "assistant"}
    return {
        "id": "q1",
        "epoch": 2,
        "input": ASKED["content"],
        "target": "4",
        "messages": [{"id": "m1"} | TOLD, {"id": "m2", "source": "input"} | ASKED, message],
        "output": {
            "model": "mockllm/model",
            "choices": [{"message": message, "stop_reason": "max_tokens"}],
            "completion": SAID["content"],
            "usage": {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14},
        },
        "scores": {"match": {"value": "C", "answer": "4", "explanation": "...", "history": []}},
        "metadata": {},
        "store": {},
        "events": [],
        "attachments": {},
    } | more


def eval_log(path: Path, *samples: dict[str, Any], zstd: bool = False) -> Path:
    """Write an archive of inspect_ai; newer ones are packed by zstd, as Python 3.11 cannot."""
    members = {"_journal/start.json": {"version": 2}}
    for each in samples:
        members[f"samples/{each['id']}_epoch_{each['epoch']}.json"] = each
    members |= {"summaries.json": [], "header.json": {"version": 2, "status": "success"}}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED if zstd else zipfile.ZIP_DEFLATED) as file:
        for name, value in members.items():
            file.writestr(name, packed_twice(json.dumps(value)) if zstd else json.dumps(value))
    if zstd:
        path.write_bytes(as_zstd(path.read_bytes(), members))
    return path


def packed_twice(text: str) -> bytes:
    """Pack a text by zstd in two frames, as the library does with long ones."""
    raw = text.encode()
    parts = (raw[: len(raw) // 2], raw[len(raw) // 2 :])
    return b"".join(pa.compress(part, codec="zstd", asbytes=True) for part in parts)


def as_zstd(raw: bytes, members: dict[str, Any]) -> bytes:
    """Declare the members of an archive, stored as packed bytes, to be packed by zstd."""
    content = bytearray(raw)
    for name, value in members.items():
        text, called = json.dumps(value).encode(), name.encode()
        told = struct.pack("<I", zlib.crc32(text)), struct.pack("<I", len(text))
        # In the header before the member, then in the directory at the end.
        first = raw.index(called) - 30
        last = raw.rindex(called) - 46
        for start, method, crc in ((first, 8, 14), (last, 10, 16)):
            content[start + method : start + method + 2] = struct.pack("<H", 93)
            content[start + crc : start + crc + 4] = told[0]
            content[start + crc + 8 : start + crc + 12] = told[1]
    return bytes(content)


def gym(*output: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Write a rollout of NeMo Gym."""
    return {
        "responses_create_params": {
            "input": [{"content": ASKED["content"], "role": "user", "type": "message"}],
            "instructions": None,
            "tools": [],
        },
        "response": {
            "id": "resp_1",
            "model": "local/m",
            "incomplete_details": None,
            "object": "response",
            "output": list(output or [said_item()]),
            "usage": {"output_tokens": 6, "output_tokens_details": {"reasoning_tokens": 0}},
        },
        "reward": 1.0,
        "expected_answer": "4",
        "extracted_answer": "4",
        "library_reward": 1.0,
        "_ng_task_index": 7,
        "_ng_rollout_index": 3,
    } | more


def said_item(text: str = SAID["content"], **more: Any) -> dict[str, Any]:
    """Write a message of a response of NeMo Gym."""
    part = {"annotations": [], "text": text, "type": "output_text", "logprobs": None}
    about = {"id": "msg_1", "role": "assistant", "status": "completed", "type": "message"}
    return about | {"content": [part]} | more


def batch_pair(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Write a request of OpenAI's batch API beside its response."""
    given = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m-1",
        "choices": list(choices or [choice()]),
        "usage": {"completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 0}},
    }
    return {
        "custom_id": "q-1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "m", "messages": [TOLD, ASKED]},
        "response": {"status_code": 200, "request_id": "r", "body": given},
        "error": None,
    } | more


def choice(text: str | None = SAID["content"], **more: Any) -> dict[str, Any]:
    """Write a choice of a chat completion."""
    message = {"role": "assistant", "content": text, "refusal": None}
    return {"index": 0, "message": message, "finish_reason": "length", "logprobs": None} | more


# Calls --------------------------------------------------------------------------------------------


def lines(path: Path, *records: Any) -> Path:
    """Write records as JSON lines."""
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return path


def adopted_rows(tmp_path: Path, source: Any, *words: Any) -> list[dict[str, Any]]:
    """Adopt what must be adopted, and give the rows."""
    output = tmp_path / "out.parquet"
    done = invoke("adopt", source, "--output", output, *words)
    assert done.exit_code == 0, done.output
    return pl.read_parquet(output).to_dicts()


def aside(tmp_path: Path) -> list[str]:
    """Give the reasons for which the last call set rollouts aside."""
    return pl.read_parquet(tmp_path / "out.set_aside.parquet")["reason"].to_list()


def refusal(tmp_path: Path, source: Any, *words: Any) -> str:
    """Adopt what must be refused, and give the one line; nothing may be left."""
    there = sorted(tmp_path.rglob("*"))
    done = invoke("adopt", source, "--output", tmp_path / "out.parquet", *words)
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 600
    assert sorted(tmp_path.rglob("*")) == there, "something was written"
    return done.stderr
