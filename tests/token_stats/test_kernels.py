"""Every way to compute the statistics of rows of logits gives what brute force does.

Run: python -m pytest tests/token_stats/test_kernels.py
"""

import os
import subprocess
import sys
import warnings
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from rft.token_stats import kernel_numba, kernel_torch, kernel_triton
from tests.brute_force import brute

WIDTHS = [2, 3, 97, 128, 700, 2049]
MASSES = [0.5, 0.95, 0.999]


def plain(logits, mass):
    """Run the loops that numba compiles as the Python that they are."""
    rows, width = logits.shape
    out, totals = np.zeros((3, rows)), np.zeros(rows)
    weights = np.zeros((rows, width), np.float32)
    peaks = np.zeros((rows, width // kernel_numba.BLOCK + 1, kernel_numba.TILES), np.int32)
    wide = np.zeros((rows, width), np.float32)
    if logits.dtype == torch.bfloat16:
        kernel_numba.widen(logits.view(torch.int16).numpy(), wide.view(np.int32))
    else:
        wide[:] = logits.float().numpy()
    kernel_numba.weigh(wide, weights, peaks, totals, out)
    kernel_numba.count(weights, peaks, totals, mass, wide, out[2])
    return torch.from_numpy(out)


def compiled(logits, mass):
    """Run them compiled, where there is a numba."""
    pytest.importorskip("numba")
    return kernel_numba.compiled(logits, mass)


def fewer(way, logits):
    """Take some of the rows where a row takes a good part of a second."""
    return logits[::9] if way is interpreted else logits


def interpreted(logits, mass):
    """Run the GPU's kernel in Triton's interpreter, which must be set before Triton is imported."""
    if not os.environ.get("TRITON_INTERPRET"):
        pytest.skip("runs in a process of its own, from the test below")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, of minus infinity
        return kernel_triton.fused(logits, mass)


WAYS = [kernel_torch.bisected, plain, compiled, interpreted]
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
    ours = way(logits, mass)
    for row, (entropy, normaliser, count, near) in enumerate(brute(logits, mass)):
        assert abs(ours[0, row] - entropy) < 1e-5
        assert abs(ours[1, row] - normaliser) < 1e-4
        assert ours[2, row] == count or (near < 1e-6 and abs(ours[2, row] - count) == 1), row


@pytest.mark.parametrize("way", [kernel_torch.bisected, compiled, interpreted])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_real_vocabulary(way, dtype):
    torch.manual_seed(0)
    logits = (torch.randn(12, 151_936) * torch.linspace(2, 9, 12)[:, None]).to(dtype)
    logits = fewer(way, logits)
    before = logits.clone()
    ours = way(logits, 0.95)
    for row, (entropy, normaliser, count, near) in enumerate(brute(logits, 0.95)):
        assert abs(ours[0, row] - entropy) < 1e-5
        assert abs(ours[1, row] - normaliser) < 1e-5
        assert ours[2, row] == count or (near < 1e-6 and abs(ours[2, row] - count) == 1)
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
        source = ASTSource(kernel_triton._kernel(), types, {"counted": counted, "block": 1024})
        made = build(source, target=GPUTarget("cuda", capability, 32))
        assert made.asm["cubin"]
        assert ".local" not in made.asm["ptx"], "registers spill"


@pytest.mark.parametrize("way", [kernel_torch.bisected, compiled])
def test_rows_are_independent_of_their_batch(way, monkeypatch):
    """Threads and chunks are a matter of speed."""
    logits = torch.randn(50, 3000) * 4
    alone = torch.cat([way(row[None], 0.9) for row in logits], 1)
    assert torch.equal(alone, way(logits, 0.9))
    monkeypatch.setattr(kernel_numba, "WORTH_THREADS", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(alone, way(logits, 0.9))
    monkeypatch.setattr(kernel_numba, "CHUNK", 7 * 3000)
    assert torch.equal(alone, way(logits, 0.9))


def test_without_a_mass_nothing_is_counted():
    assert kernel_torch.bisected(torch.randn(4, 50), None)[2].tolist() == [0, 0, 0, 0]
