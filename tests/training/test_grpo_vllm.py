"""Online training whose answers TRL's vLLM draws: hooks and corrections, on vLLM's CPU build.

Run: make test-vllm
"""

import importlib.util
import os

import pytest
import torch

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vLLM"),
    # Not ours: what vLLM and TRL say of themselves and of each other's versions.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(autouse=True, scope="module")
def _vllm_that_takes_new_weights():
    """Let vLLM's CPU build keep its weights: packed for oneDNN, it cannot be given new ones."""
    os.environ |= {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "TORCH_COMPILE_DISABLE": "1",
    }
    import vllm._custom_ops as ops

    packs = ops._supports_onednn
    ops._supports_onednn = False
    yield
    ops._supports_onednn = packs


def test_answers_of_vllm_are_shaped_corrected_and_learnt_from(tmp_path):
    from tests.grpo_training import learn

    plugins = {"perplexity_advantage": {}, "kl_cov": {"share": 0.1}}
    settings = {"vllm": "colocate", "updates": 2, "steps": 3}
    learnt = learn(tmp_path, plugins, **settings)
    assert torch.isfinite(learnt.weights).all()
    assert [row["step"] for row in learnt.rows] == [1, 2, 3]
    for row in learnt.rows:
        assert 0 < row["entropy"] < 3
        assert 1 < row["response_length"] <= 24
        assert row["vllm_ratio"] == pytest.approx(1, abs=0.02)
        assert 1 < row["vllm_ratio_max"] < 1.5
        assert 0.99 < row["vllm_effective"] <= 1
    logs = [each for each in learnt.trainer.state.log_history if "loss" in each]
    # vLLM computes in bfloat16, which costs 0.003 on average. With the base's weights in place of
    # those of each step it was 0.2 at the second and 0.4 at the third (measured).
    name = "sampling/sampling_logp_difference/mean"
    apart = [each[name] for each in logs if name in each]
    assert len(apart) == 3
    assert max(apart) < 0.02, apart
