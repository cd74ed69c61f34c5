"""What is recorded inside vLLM: exact numbers, merged by request and position. No vLLM needed.

Run: python -m pytest tests/engines/test_capture.py
"""

import os
import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rft.engines import Sampling, capture
from rft.engines.capture import Hooks, Ledger, Processor, Recorder
from rft.engines.vllm import Vllm
from rft.errors import RFTError
from rft.recipe.sample import Engine

WIDTHS = [2, 3, 97, 128, 700, 2049]
MASSES = [0.5, 0.95, 0.999]


def brute(logits: torch.Tensor, mass: float) -> list[tuple[float, float, int, float]]:
    """Compute each row in float64 by sorting it whole; the last is how close the border is."""
    rows = []
    for row in logits.float().double().numpy():
        top = row.max()
        normaliser = top + np.log(np.exp(row - top).sum())
        p = np.sort(np.exp(row - normaliser))[::-1]
        held = np.cumsum(p)
        found = int((held < mass).sum()) + 1
        near = np.abs(held - mass).min()
        rows.append((-(p[p > 0] * np.log(p[p > 0])).sum(), normaliser, found, near))
    return rows


def plain(logits, mass):
    """Run the loops that numba compiles as the Python that they are."""
    rows, width = logits.shape
    out, totals = np.zeros((3, rows)), np.zeros(rows)
    weights = np.zeros((rows, width), np.float32)
    peaks = np.zeros((rows, width // capture.BLOCK + 1, capture.TILES), np.int32)
    wide = np.zeros((rows, width), np.float32)
    if logits.dtype == torch.bfloat16:
        capture.widen(logits.view(torch.int16).numpy(), wide.view(np.int32))
    else:
        wide[:] = logits.float().numpy()
    capture.weigh(wide, weights, peaks, totals, out)
    capture.count(weights, peaks, totals, mass, wide, out[2])
    return torch.from_numpy(out)


def compiled(logits, mass):
    """Run them compiled, where there is a numba."""
    pytest.importorskip("numba")
    return capture.compiled(logits, mass)


def fewer(way, logits):
    """Take some of the rows where a row takes a good part of a second."""
    return logits[::9] if way is interpreted else logits


def interpreted(logits, mass):
    """Run the GPU's kernel in Triton's interpreter, which must be set before Triton is imported."""
    if not os.environ.get("TRITON_INTERPRET"):
        pytest.skip("runs in a process of its own, from the test below")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, of minus infinity
        return capture.fused(logits, mass)


WAYS = [capture.bisected, plain, compiled, interpreted]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def hard_rows(width: int) -> torch.Tensor:
    """Make rows from nearly uniform to nearly certain, with ties and with impossible tokens."""
    torch.manual_seed(width)
    sharpness = torch.tensor([0.0, 0.01, 0.5, 1, 2, 3, 4, 5, 8, 20, 100])
    rows = torch.randn(len(sharpness), width) * sharpness[:, None]
    impossible = rows.clone()
    impossible[:, ::3] = -torch.inf
    ties = (rows * 2).round() / 2
    return torch.cat([rows, impossible, ties, rows + 300, rows - 300])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mass", MASSES)
@pytest.mark.parametrize(
    ("width", "dtype"), [*((w, DTYPES[0]) for w in WIDTHS), *((129, d) for d in DTYPES[1:])]
)
def test_every_row_equals_brute_force(way, mass, width, dtype):
    logits = fewer(way, hard_rows(width).to(dtype))
    found = way(logits, mass)
    for row, (entropy, normaliser, count, near) in enumerate(brute(logits, mass)):
        assert abs(found[0, row] - entropy) < 1e-5
        assert abs(found[1, row] - normaliser) < 1e-4
        assert found[2, row] == count or (near < 1e-6 and abs(found[2, row] - count) == 1), row


@pytest.mark.parametrize("way", [capture.bisected, compiled, interpreted])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_real_vocabulary(way, dtype):
    torch.manual_seed(0)
    logits = (torch.randn(12, 151_936) * torch.linspace(2, 9, 12)[:, None]).to(dtype)
    logits = fewer(way, logits)
    before = logits.clone()
    found = way(logits, 0.95)
    for row, (entropy, normaliser, count, near) in enumerate(brute(logits, 0.95)):
        assert abs(found[0, row] - entropy) < 1e-5
        assert abs(found[1, row] - normaliser) < 1e-5
        assert found[2, row] == count or (near < 1e-6 and abs(found[2, row] - count) == 1)
    assert torch.equal(logits, before), "sampling goes on with these logits"


@pytest.mark.skipif(find_spec("triton") is None, reason="no Triton")
def test_the_kernel_in_tritons_interpreter():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, "-k", "interpreted", "-p", "no:cacheprovider"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert " skipped" not in done.stdout


@pytest.mark.skipif(find_spec("triton") is None, reason="no Triton")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("counted", [True, False])
def test_the_kernel_compiles_for_gpus_that_are_not_here(counted):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler import compile as build

    for dtype, capability in [("*fp32", 80), ("*bf16", 90), ("*fp16", 90)]:
        types = {"logits": dtype, "stride": "i32", "out": "*fp32", "rows": "i32", "width": "i32"}
        types |= {"mass": "*fp64", "counted": "constexpr", "block": "constexpr"}
        source = ASTSource(capture._kernel(), types, {"counted": counted, "block": 1024})
        made = build(source, target=GPUTarget("cuda", capability, 32))
        assert made.asm["cubin"]
        assert ".local" not in made.asm["ptx"], "registers spill"


@pytest.mark.parametrize("way", [capture.bisected, compiled])
def test_rows_are_independent_of_their_batch(way, monkeypatch):
    """Threads and chunks are a matter of speed."""
    logits = torch.randn(50, 3000) * 4
    alone = torch.cat([way(row[None], 0.9) for row in logits], 1)
    assert torch.equal(alone, way(logits, 0.9))
    monkeypatch.setattr(capture, "WORTH_THREADS", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(alone, way(logits, 0.9))
    monkeypatch.setattr(capture, "CHUNK", 7 * 3000)
    assert torch.equal(alone, way(logits, 0.9))


def test_without_a_mass_nothing_is_counted():
    assert capture.bisected(torch.randn(4, 50), None)[2].tolist() == [0, 0, 0, 0]


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
    monkeypatch.setattr("rft.engines.vllm._environment", lambda _engine: None)
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(RFTError, match=r"pip install 'rft-rounds\[vllm\]'") as refused:
        start(Engine(kind="vllm"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["speculative_config", "spec_model", "data_parallel_backend"])
def test_what_breaks_exactness_is_refused_before_anything_is_loaded(name):
    with pytest.raises(RFTError, match=rf"engine\.args\.{name} cannot be set: .*; remove it"):
        start(Engine(kind="vllm", args={name: "x"}))


def test_a_limit_below_what_is_needed_is_refused_before_anything_is_loaded():
    with pytest.raises(RFTError, match=r"max_model_len is 99, .* 100 tokens; raise it"):
        start(Engine(kind="vllm", max_model_len=99))
