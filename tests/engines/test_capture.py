"""What is recorded inside vLLM, merged by request and position. No vLLM needed.

Run: python -m pytest tests/engines/test_capture.py
"""

import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rft.engines import Sampling, capture
from rft.engines.capture import Hooks, Ledger, Processor, Recorder
from rft.engines.vllm import Vllm
from rft.errors import RFTError
from rft.recipe import EngineSettings
from tests.brute_force import brute

# --- records, as they come and as they are kept ---


def record(keys, positions, values):
    """Record steps whose numbers are all the same and drain them."""
    recorder = Recorder(0.95)
    for names, places, value in zip(keys, positions, values, strict=True):
        recorder.add(names, np.array(places), torch.full((3, len(names)), float(value)))
    return recorder.drain()


def test_the_last_record_of_a_position_counts_and_what_lies_outside_is_dropped():
    ledger = Ledger()
    ledger.open(1)
    ledger.open(2)
    # Half a prompt, the rest of it; request 1 is preempted and computes its second token again.
    keys = [["1-ab", "2-cd"], ["1-ab", "2-cd"], ["1-ab"], ["2-cd", "1-ab"], ["1-ab"]]
    places = [[0, 0], [0, 0], [1], [1, 1], [2]]
    ledger.add(record(keys[:3], places[:3], [10, 11, 12]))
    ledger.add(record(keys[3:], places[3:], [13, 14]))
    assert ledger.take(1, 2)[0].tolist() == [11, 13]  # a third token was computed and not used
    assert ledger.take(2, 2)[2].tolist() == [11, 13]
    assert not ledger.pieces


def test_a_position_is_overwritten_within_one_drain_too():
    ledger = Ledger()
    ledger.open(7)
    ledger.add(record([[7], [7], [7], [7]], [[-3], [0], [1], [0]], [1, 2, 3, 4]))
    assert ledger.take(7, 2)[1].tolist() == [4, 3]


def test_a_token_without_a_record_is_a_bug():
    ledger = Ledger()
    ledger.open(5)
    ledger.add(record([[5], [5]], [[0], [2]], [1, 1]))
    with pytest.raises(AssertionError, match="3 tokens, of which 1 have no statistics"):
        ledger.take(5, 3)


def test_a_request_without_any_token_or_record():
    ledger = Ledger()
    ledger.open(5)
    assert ledger.take(5, 0).shape == (3, 0)


def test_records_of_requests_that_were_given_up_are_dropped():
    ledger = Ledger()
    ledger.open(3)
    ledger.add(record([["3-aa", "4-bb"]], [[0, 0]], [1]))
    assert list(ledger.pieces) == [3]


def test_a_drain_forgets_and_an_empty_one_is_empty():
    recorder = Recorder(0.95)
    recorder.add([1], np.array([0]), torch.ones(3, 1))
    assert len(recorder.drain()["keys"]) == 8
    drained = recorder.drain()
    assert drained["keys"] == drained["values"] == b""
    Ledger().add(drained)


def test_numbers_that_do_not_belong_together_are_a_bug():
    with pytest.raises(AssertionError, match="2 requests, 1 positions and 3 rows"):
        Recorder(None).add([1, 2], np.array([0]), torch.ones(3, 3))


# --- runner V1: hooks ---


class Sampler(torch.nn.Module):
    """Does to float32 logits what vLLM's does, and draws the tokens that it is told."""

    def __init__(self, tokens):
        super().__init__()
        self.tokens = torch.tensor(tokens, dtype=torch.int32)[:, None]

    def forward(self, logits, sampling_metadata):
        logits = logits.to(torch.float32)
        if not sampling_metadata.all_greedy:
            temperature = sampling_metadata.temperature
            logits.div_(torch.where(temperature < 1e-5, 1.0, temperature)[:, None])
            kept = logits.scatter(-1, self.tokens.long(), torch.inf).topk(5, -1).indices
            logits.copy_(
                torch.full_like(logits, -torch.inf).scatter(-1, kept, logits.gather(-1, kept))
            )
        return SimpleNamespace(sampled_token_ids=self.tokens)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("temperature", [[0.7, 2.0, 0.0], None], ids=["mixed", "greedy"])
def test_hooks_record_the_policy_and_not_what_sampling_made_of_it(dtype, temperature):
    torch.manual_seed(3)
    logits = (torch.randn(3, 60) * 3).to(dtype)
    raw = logits.clone()
    batch = SimpleNamespace(
        req_ids=["8-x", "9-y", "6-z"],
        num_tokens_no_spec=np.array([12, 30, 9, 777]),
        num_prompt_tokens=np.array([10, 30, 4, 777]),
    )
    runner = SimpleNamespace(sampler=Sampler([4, 5, 6]), input_batch=batch)
    hooks = Hooks(runner, 0.95)
    metadata = SimpleNamespace(
        all_greedy=temperature is None,
        temperature=None if temperature is None else torch.tensor(temperature),
    )
    runner.sampler(logits=logits, sampling_metadata=metadata)
    drained = hooks.recorder.drain()
    hooks.remove()
    runner.sampler(logits=raw.clone(), sampling_metadata=metadata)
    assert not hooks.recorder.values, "it records after its removal"

    assert np.frombuffer(drained["keys"], np.int64).tolist() == [8, 9, 6]
    assert np.frombuffer(drained["positions"], np.int32).tolist() == [2, 0, 5]
    values = np.frombuffer(drained["values"], np.float32).reshape(3, 3)
    logp = torch.log_softmax(raw.double(), -1)
    for row, token in enumerate([4, 5, 6]):
        assert abs(values[1, row] - logp[row, token]) < 1e-5
    for row, (entropy, _, count, _) in enumerate(brute(raw, 0.95)):
        assert abs(values[0, row] - entropy) < 1e-5
        assert values[2, row] == count


# --- runner V2: a logits processor, shown what vLLM would show it ---


@dataclass
class Context:
    """The fields of vLLM's LogitsContext that are read."""

    idx_mapping_np: np.ndarray
    seq_lens_upper_bound_np: np.ndarray


@dataclass
class States:
    """The fields of vLLM's LogitsProcRequestState that are read."""

    max_num_reqs: int = 6
    prompt_len: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(np=np.array([10, 20, 30, 40, 50, 60]))
    )


def asked(key):
    return SimpleNamespace(extra_args=None if key is None else {capture.EXTRA: key})


def test_the_processor_of_runner_v2_knows_rows_by_slot_and_changes_nothing():
    processor = Processor(None, States())
    processor.recorder.mass = 0.95
    assert processor.add_request(4, asked(100)) is True
    assert processor.add_request(1, asked(101)) is True
    assert processor.add_request(0, asked(None)) is False
    logits = torch.randn(3, 40) * 3
    before = logits.clone()
    # Slot 4 has 2 tokens, 0 is not ours, 1 is reading its prompt.
    context = Context(np.array([4, 0, 1]), np.array([52, 11, 15, 999, 999]))
    assert processor.apply(logits, context) is logits
    assert torch.equal(logits, before)
    processor.add_request(4, asked(102))  # the slot's next occupant
    processor.apply(logits[:1], Context(np.array([4]), np.array([50])))
    drained = processor.recorder.drain()
    assert np.frombuffer(drained["keys"], np.int64).tolist() == [100, -1, 101, 102]
    assert np.frombuffer(drained["positions"], np.int32).tolist() == [2, 1, -5, 0]
    values = np.frombuffer(drained["values"], np.float32).reshape(3, 4)
    for row, (entropy, normaliser, count, _) in enumerate(brute(before, 0.95)):
        assert values[:, row] == pytest.approx([entropy, normaliser, count], abs=1e-5)

    ledger = Ledger()
    for key in (100, 101, 102):
        ledger.open(key)
    ledger.add(drained)
    assert ledger.take(101, 0).shape == (3, 0), "half a prompt is no token"
    assert ledger.take(102, 1).shape == (3, 1)


def test_more_rows_than_requests_are_a_bug():
    processor = Processor(None, States())
    with pytest.raises(AssertionError, match="no speculative decoding"):
        processor.apply(torch.randn(3, 40), Context(np.array([4, 1]), np.array([52, 11])))


# --- the engine, as far as it goes without vLLM ---


def start(engine, longest=100):
    how = Sampling(1.0, 1.0, 16, entropy=True, branching=True, mass=0.95)
    return Vllm("model", None, engine, sampling=how, longest=longest, seed=1)


def test_without_vllm_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr("rft.engines.vllm_start._environment", lambda _engine: None)
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(RFTError, match=r"pip install 'rft-rounds\[vllm\]'") as refused:
        start(EngineSettings(kind="vllm"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["speculative_config", "spec_model", "data_parallel_backend"])
def test_what_breaks_exactness_is_refused_before_anything_is_loaded(name):
    with pytest.raises(RFTError, match=rf"engine\.args\.{name} cannot be set: .*; remove it"):
        start(EngineSettings(kind="vllm", args={name: "x"}))


def test_a_limit_below_what_is_needed_is_refused_before_anything_is_loaded():
    with pytest.raises(RFTError, match=r"max_model_len is 99, .* 100 tokens; raise it"):
        start(EngineSettings(kind="vllm", max_model_len=99))
