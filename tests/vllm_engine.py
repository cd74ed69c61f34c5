"""Start the vLLM engine on the bundled model; who imports this is skipped where vLLM is missing."""

from importlib.util import find_spec

import pytest

from rft.bundled import bundled
from rft.engines import Sampling
from rft.prompt import load_tokenizer, prompter
from rft.recipe import EngineSettings, Prompt

# Not importorskip: the engine sets vLLM's environment before it is imported.
if find_spec("vllm") is None:
    pytest.skip("vLLM is not installed", allow_module_level=True)

TINY = bundled("data") / "tiny"
LONGEST = 160
SEED = 20260

# Closing one engine takes down what all engines of a process share.
ALIVE = []


def make(path=TINY, *, seed=SEED, statistics=True, prompt=None, longest=LONGEST, **args):
    """Start an engine."""
    from rft.engines.vllm import Vllm

    prompts = prompter(load_tokenizer(TINY), Prompt(**(prompt or {})))
    how = sampling(entropy=statistics, branching=statistics)
    settings = EngineSettings(kind="vllm", args={"max_num_seqs": 32, **args})
    engine = Vllm(path, prompts, settings, sampling=how, longest=longest, seed=seed)
    ALIVE.append(engine)
    return engine


def sampling(**changes) -> Sampling:
    settings = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 48, "entropy": True}
    return Sampling(**(settings | {"branching": True, "mass": 0.95} | changes))
