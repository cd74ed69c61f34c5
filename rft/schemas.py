"""The Arrow schema of every table: the contract between stages, enforced on each write."""

import pyarrow as pa

# Part of every key: raised whenever a table's meaning changes, so that old outputs are redone.
SCHEMA_VERSION = 1

TEXT = pa.large_string()
SPLITS = ("train", "dev", "test")
VERDICTS = ("correct", "wrong", "no_answer", "unparseable", "timeout", "bad_gold")


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


def _optional(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind)


_PROBLEMS = [
    _required("problem_id", TEXT),
    _required("question", TEXT),
    _required("gold", pa.large_list(TEXT)),
    _required("source", TEXT),
    _required("split", TEXT),
    _required("benchmark", TEXT),
    _optional("difficulty", pa.float32()),
    _optional("extra", TEXT),
]

_IDENTITY = [
    _required("rollout_id", TEXT),
    _required("problem_id", TEXT),
    _required("round", pa.int32()),
    _required("sample_index", pa.int32()),
]

_MEANS = [
    _optional("mean_entropy", pa.float32()),
    _optional("mean_branching", pa.float32()),
    _optional("mean_nll", pa.float32()),
]

_STATISTICS = [
    _optional("token_ids", pa.large_list(pa.int32())),
    _optional("logprobs", pa.large_list(pa.float32())),
    _optional("entropies", pa.large_list(pa.float32())),
    _optional("branching", pa.large_list(pa.int32())),
]

_GRADED = [
    *_IDENTITY,
    _required("response", TEXT),
    _optional("num_response_tokens", pa.int32()),
    _optional("answer", TEXT),
    _optional("answer_class", pa.int32()),
    _required("verdict", TEXT),
    _required("num_boxed", pa.int32()),
    _required("finish_reason", TEXT),
    _optional("num_tokens", pa.int32()),
    _required("redundancy", pa.float32()),
    *_MEANS,
    _optional("stats_origin", TEXT),
]

TABLES: dict[str, pa.Schema] = {
    "problems": pa.schema(_PROBLEMS),
    "set_aside": pa.schema([*_PROBLEMS, _required("reason", TEXT)]),
    "rollouts": pa.schema(
        [
            *_IDENTITY,
            _required("prompt", TEXT),
            _required("completion", TEXT),
            _required("finish_reason", TEXT),
            _optional("num_prompt_tokens", pa.int32()),
            _optional("num_tokens", pa.int32()),
            *_STATISTICS,
            _optional("stats_origin", TEXT),
            _optional("stats_mass", pa.float32()),
            _required("model", TEXT),
            _required("sampling", TEXT),
            _optional("seed", pa.int64()),
        ]
    ),
    "graded": pa.schema(_GRADED),
    "kept": pa.schema(_GRADED),
    "rejected": pa.schema([*_GRADED, _required("rejected_by", TEXT)]),
    "scored": pa.schema(
        [
            _required("rollout_id", TEXT),
            _optional("num_response_tokens", pa.int32()),
            *_STATISTICS,
            *_MEANS,
            _optional("stats_origin", TEXT),
            _optional("stats_mass", pa.float32()),
        ]
    ),
    "selected": pa.schema(
        [
            *_GRADED,
            _required("role", TEXT),
            _required("rank", pa.int32()),
            _required("ranked_by", TEXT),
        ]
    ),
    "verdicts": pa.schema(
        [
            _required("gold", TEXT),
            _required("answer", TEXT),
            _required("verifier", TEXT),
            _required("verdict", TEXT),
            _required("path", TEXT),
        ]
    ),
    "evaluations": pa.schema(
        [
            _required("round", pa.int32()),
            _required("split", TEXT),
            _required("benchmark", TEXT),
            _required("problem_id", TEXT),
            _required("sample_index", pa.int32()),
            _required("completion", TEXT),
            _required("finish_reason", TEXT),
            _optional("num_tokens", pa.int32()),
            _optional("num_response_tokens", pa.int32()),
            _optional("answer", TEXT),
            _optional("answer_class", pa.int32()),
            _required("verdict", TEXT),
            _optional("verdict_last_box", TEXT),
            *_MEANS,
            _optional("seed", pa.int64()),
            _required("model", TEXT),
        ]
    ),
}
