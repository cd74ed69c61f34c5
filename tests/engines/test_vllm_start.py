"""Pins what vLLM cannot be started with: one line, before the first request.

Run: make test-vllm    (its own environment; the ordinary one has no vLLM)
"""

import json
import shutil

import pytest

from rft.errors import RFTError
from rft.prompt import load_tokenizer, prompter
from rft.recipe import EngineSettings, Prompt
from tests.vllm_engine import TINY, make, sampling

# vLLM's own warnings are not ours to mend.
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"speculative_config": {"method": "ngram"}}, "engine.args.speculative_config cannot be"),
        ({"logits_processors": ["a:B"]}, "engine.args.logits_processors"),
        ({"worker_extension_cls": "a.B"}, "engine.args.worker_extension_cls"),
        ({"logprobs_mode": "processed_logprobs"}, "engine.args.logprobs_mode"),
        ({"override_generation_config": {"repetition_penalty": 1.1}}, "engine.args.override_gen"),
        ({"generation_config": "auto"}, "engine.args.generation_config"),
        ({"data_parallel_size": 2}, "set engine.workers"),
        ({"max_num_seq": 8}, 'did you mean "max_num_seqs"?'),
        ({"dtype": "float7"}, "does not load the model"),
    ],
    ids=str,
)
def test_arguments_that_cannot_be(args, words):
    with pytest.raises(RFTError) as refused:
        make(**args)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_lengths_that_do_not_fit():
    from rft.engines.vllm import Vllm

    prompts = prompter(load_tokenizer(TINY), Prompt())
    settings = EngineSettings(kind="vllm", max_model_len=100)
    with pytest.raises(RFTError, match=r"max_model_len is 100.*160 tokens; raise it, or lower"):
        Vllm(TINY, prompts, settings, sampling=sampling(), longest=160, seed=1)
    with pytest.raises(RFTError, match=r"takes 512 tokens.*may have 600; lower sample\.max_tokens"):
        make(longest=600)


def test_a_cache_that_is_too_small_for_one_rollout():
    with pytest.raises(RFTError, match=r"does not fit in memory.*sample\.max_tokens") as refused:
        make(kv_cache_memory_bytes=2**18)
    assert "\n" not in str(refused.value)


def test_a_folder_without_a_model(tmp_path):
    for file in TINY.glob("*.json"):
        shutil.copy(file, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["NoSuchModel"]}))
    with pytest.raises(RFTError, match="does not load the model") as refused:
        make(tmp_path)
    assert "\n" not in str(refused.value)
