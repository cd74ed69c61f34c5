"""The Arrow schema of every table: the contract between stages, enforced on each write."""

import pyarrow as pa

# Part of every key: raised whenever a table's meaning changes, so that old outputs are redone.
SCHEMA_VERSION = 1

# Outputs that are no tables but model folders: a round's, and the one that it is to be a blend of.
MODELS = ("model", "trained")

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

_ROLLOUTS = [
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

_GRADED = [
    *_IDENTITY,
    _required("response", TEXT),
    _optional("num_response_tokens", pa.int32()),
    _optional("answer", TEXT),
    _optional("answer_class", pa.int32()),
    _required("verdict", TEXT),
    _optional("verdict_path", TEXT),
    _required("num_boxed", pa.int32()),
    _optional("num_placeholders", pa.int32()),
    _required("finish_reason", TEXT),
    _optional("num_tokens", pa.int32()),
    _required("redundancy", pa.float32()),
    *_MEANS,
    _optional("stats_origin", TEXT),
]

# Under `strata`, the tenth of the pool by length in which a row was ranked, 0 the shortest; under
# `strata` or `within`, how many rows of its stratum or problem come before it; under `diverse`, its
# smallest distance to those before it in its problem.
_TURNS = [
    _optional("stratum", pa.int32()),
    _optional("turn", pa.int32()),
    _optional("distance", pa.float32()),
]

TABLES: dict[str, pa.Schema] = {
    "problems": pa.schema(_PROBLEMS),
    "set_aside": pa.schema([*_PROBLEMS, _required("reason", TEXT)]),
    # Of each training problem and each benchmark the problem that it has most in common with.
    "overlaps": pa.schema(
        [
            _required("problem_id", TEXT),
            _required("benchmark", TEXT),
            _required("other_split", TEXT),
            _required("other_benchmark", TEXT),
            _required("other_problem_id", TEXT),
            _required("other_question", TEXT),
            _required("runs_8", pa.int32()),
            _required("runs_12", pa.int32()),
            _required("likeness", pa.float32()),
            _required("example", TEXT),
        ]
    ),
    "rollouts": pa.schema(_ROLLOUTS),
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
            *_TURNS,
        ]
    ),
    # `place` is where the row stood in the order of its role that the budget goes down, 0 the
    # first, as `rank` is; null where it was never ranked. What `per_problem` holds back has a place
    # too, and was skipped, so that the selected and these fill the places of a role without a gap.
    # Under `difficulty: proportional`, positives that fill their problem's `share` come first.
    "passed_over": pa.schema(
        [
            *_GRADED,
            _optional("role", TEXT),
            _required("reason", TEXT),
            _optional("place", pa.int32()),
            _optional("share", pa.int32()),
            *_TURNS,
        ]
    ),
    "dynamics": pa.schema(
        [
            _required("step", pa.int32()),
            _optional("reward", pa.float32()),
            _optional("correct", pa.float32()),
            _required("unverified", pa.int32()),
            _required("k", pa.int32()),
            _optional("pass_at_k", pa.float32()),
            _required("without_signal", pa.float32()),
            _required("response_length", pa.float32()),
            _optional("cut", pa.float32()),
            _optional("entropy", pa.float32()),
            _optional("entropy_correct", pa.float32()),
            _optional("entropy_wrong", pa.float32()),
            _optional("loss", pa.float32()),
            _optional("grad_norm", pa.float32()),
            _optional("learning_rate", pa.float64()),
            _optional("clip_low", pa.float32()),
            _optional("clip_high", pa.float32()),
            _optional("kl", pa.float32()),
            _optional("vllm_ratio", pa.float32()),
            _optional("vllm_ratio_max", pa.float32()),
            _optional("vllm_effective", pa.float32()),
            _required("sign_flips", pa.int64()),
            _required("revived", pa.int64()),
            _optional("largest_ratio", pa.float32()),
            _required(
                "touched",
                pa.large_list(pa.struct([("plugin", TEXT), ("share", pa.float32())])),
            ),
            _required("tokens", pa.int64()),
            _required("rollout_seconds", pa.float32()),
            _required("seconds", pa.float32()),
        ]
    ),
    "verdicts": pa.schema(
        [
            _required("gold", TEXT),
            _required("answer", TEXT),
            _required("verifier", TEXT),
            _required("verdict", TEXT),
            _required("path", TEXT),
            _optional("unit", TEXT),
        ]
    ),
    "eval_rollouts": pa.schema(_ROLLOUTS),
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
            _optional("verdict_path", TEXT),
            _optional("verdict_last_box", TEXT),
            _optional("verdict_lenient", TEXT),
            _optional("num_boxed", pa.int32()),
            _optional("num_placeholders", pa.int32()),
            *_MEANS,
            _optional("seed", pa.int64()),
            _required("model", TEXT),
        ]
    ),
}
