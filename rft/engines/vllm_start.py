"""How vLLM is started: what it is told, what it may not be told, and why it did not start."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from rft.errors import RFTError, suggestion
from rft.recipe import EngineSettings

# Arguments that are ours to give, or that change what a token is drawn from.
REFUSED = {
    "speculative_config": "statistics are taken of one token a step",
    "logits_processors": "they would change the policy that is measured",
    "worker_extension_cls": "rft needs it for the statistics",
    "logprobs_mode": "logprobs are the policy's own, at temperature 1",
    "generation_config": "sampling is what the recipe says, nothing is inherited",
    "data_parallel_size": "set engine.workers",
    "disable_log_stats": "rft sets it",
    "served_model_name": "nothing is served",
    "runner": "set engine.runner for vLLM's model runner (v1, v2)",
    "return_sampling_mask": "set sample.statistics for the branching factor",
    "tokenizer": "the prompt is the recipe's, with the model's own tokenizer",
    "tokenizer_revision": "set model.revision",
    "model_weights": "set model.path",
    "override_generation_config": "sampling is what the recipe says",
}
PREFIXES = {"spec_": REFUSED["speculative_config"], "data_parallel_": "set engine.workers"}

# What vLLM says when something does not fit.
MEMORY = (
    "out of memory",
    "cache blocks",
    "KV cache is needed",
    "Free memory on device",
    "No available memory",
    "larger than the available KV cache",
    "can't allocate memory",
)
LESS = (
    "lower engine.args.max_num_seqs or sample.max_tokens, change engine.args."
    "gpu_memory_utilization or kv_cache_memory_bytes, or set engine.args.tensor_parallel_size"
)


def load(
    path: Path | str,
    engine: EngineSettings,
    *,
    capturing: bool,
    longest: int,
    seed: int,
    options: dict[str, Any],
) -> Any:
    """Start vLLM with a model, or say in one line what is in its way."""
    refuse(engine.args)
    limit = engine.max_model_len
    if limit is not None and longest > limit:
        raise RFTError(
            f"engine.max_model_len is {limit}, but the longest prompt with its completion may have "
            f"{longest} tokens; raise it, or lower sample.max_tokens"
        )
    _environment(engine)
    EngineArgs, LLMEngine = _imported()
    _know(engine.args, {field.name for field in fields(EngineArgs)})
    args = _ours(limit or longest, capturing=capturing, v2=engine.runner == "v2")
    args |= _on_cpu(path, engine.args, options)
    if options.get("revision"):
        args["tokenizer_revision"] = options["revision"]
    try:
        made = EngineArgs(model=str(path), seed=seed, **(args | options | engine.args))
        with _out_of_sight("llvmlite.binding.ffi"):
            return LLMEngine.from_engine_args(made)
    except Exception as error:
        raise RFTError(_why_not(path, error, args["max_model_len"])) from error


def _imported() -> tuple[Any, Any]:
    """Import what is used of vLLM, whose environment must be set by now."""
    try:
        from vllm import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine
    except ImportError as error:
        raise RFTError(
            f"engine.kind: vllm, but vLLM cannot be imported ({error}); "
            "pip install 'rft-rounds[vllm]', or set engine.kind: transformers"
        ) from error
    return EngineArgs, LLMEngine


def _ours(room: int, *, capturing: bool, v2: bool) -> dict[str, Any]:
    """Give the arguments that are the same on every device."""
    args: dict[str, Any] = {
        "max_model_len": room,
        "generation_config": "vllm",
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if capturing:  # vLLM finds both by name, in its own processes too
        args["worker_extension_cls"] = "rft.engines.capture.Extension"
        if v2:
            args["logits_processors"] = ["rft.engines.capture:RunnerV2"]
    return args


def _on_cpu(path: Path | str, given: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Give the arguments that a CPU needs beside them."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return {}
    args = {"enforce_eager": True, **_as_stored(path, options)}
    chosen = {"gpu_memory_utilization", "kv_cache_memory_bytes"} & set(given)
    if not chosen and "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
        args["kv_cache_memory_bytes"] = 2**30  # the default is most of the machine
    return args


def _environment(engine: EngineSettings) -> None:
    """Set what vLLM reads from the environment while it is imported; what is set stays."""
    # On a CPU it warns, a dozen lines at each start, of what does not matter there.
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR" if _cpu_build() else "WARNING")
    # One process holds engine and scheduler: no copies of requests, and its RNG is seeded once.
    # Ranks of a tensor-parallel group are processes of their own all the same.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    # Runner V2 is the default on GPUs; its statistics have not been shown on hardware.
    os.environ["VLLM_USE_V2_MODEL_RUNNER"] = "1" if engine.runner == "v2" else "0"
    if _cpu_build():
        # Compiling costs more than it gives there, and spinning threads starve the others.
        os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@contextmanager
def _out_of_sight(name: str) -> Iterator[None]:
    """Hide a module for a while.

    A starting CPU worker of vLLM 0.32 looks at every object of every module, and falls over one of
    numba's, which is there once another engine of this process has recorded statistics.
    """
    module = sys.modules.pop(name, None)
    try:
        yield
    finally:
        if module is not None:
            sys.modules[name] = module


def _as_stored(path: Path | str, options: dict[str, Any]) -> dict[str, Any]:
    """Keep a float32 model what it is, which vLLM's `auto` would round to bfloat16."""
    import torch
    from transformers import AutoConfig

    try:
        stored = getattr(AutoConfig.from_pretrained(str(path), **options), "dtype", None)
    except (OSError, ValueError):  # vLLM says what is wrong with the model
        return {}
    return {"dtype": "float32"} if stored == torch.float32 else {}


def _know(given: dict[str, Any], known: set[str]) -> None:
    """Refuse arguments that this version of vLLM does not have."""
    for name in given:
        if name not in known:
            advice = suggestion(name, known, otherwise="see vLLM's engine arguments")
            raise RFTError(f"engine.args: vLLM {vllm_version()} does not know {name!r}; {advice}")


def refuse(args: dict[str, Any]) -> None:
    """Refuse arguments that are not the user's to give."""
    for name in args:
        reasons = [why for prefix, why in PREFIXES.items() if name.startswith(prefix)]
        if why := REFUSED.get(name) or next(iter(reasons), None):
            raise RFTError(f"engine.args.{name} cannot be set: {why}; remove it")


def _why_not(path: Path | str, error: Exception, asked: int) -> str:
    """Say in one line why vLLM did not start."""
    text = " ".join(str(error).split())
    if "derived max_model_len" in text:
        own = re.search(r"derived max_model_len \(\w+=(\d+)", text)
        return (
            f"{path}: the model takes {own[1] if own else 'fewer'} tokens, but prompt and "
            f"completion may have {asked}; lower sample.max_tokens"
        )
    short = text if len(text) <= 300 else f"{text[:300]}..."
    if is_memory(error):
        return f"{path}: the model or its KV cache does not fit in memory ({short}); {LESS}"
    return (
        f"{path}: vLLM {vllm_version()} does not load the model ({type(error).__name__}: {short})"
    )


def is_memory(error: Exception) -> bool:
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or any(words in str(error) for words in MEMORY)


def end_tokens(path: Path | str, hf_config: Any, revision: str | None) -> list[int]:
    """List the end tokens that the model's own generation config names."""
    from transformers import GenerationConfig

    from rft.engines.transformers import generation_eos

    try:
        config = GenerationConfig.from_pretrained(str(path), revision=revision or "main")
    except OSError:
        config = GenerationConfig.from_model_config(hf_config)
    return generation_eos(config)


def _cpu_build() -> bool:
    """Tell the CPU's build of vLLM from the others before it is imported."""
    if sys.platform == "darwin":
        return True
    installed = {name.lower() for name in packages_distributions().get("vllm", [])}
    return any("cpu" in name or "cpu" in version(name) for name in installed)


def vllm_version() -> str:
    """Name the version of vLLM that is in use."""
    import vllm

    return str(vllm.__version__)
