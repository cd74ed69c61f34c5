"""Verdicts: what is in the way of a recipe on a machine; arithmetic over facts, no looking."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from rft import workers
from rft.doctor.facts import Facts, Gpu
from rft.doctor.shape import OVERHEAD, Found, Shape, eight_bit
from rft.engines import NEEDS
from rft.errors import RFTError
from rft.recipe import Recipe
from rft.recipe_files import not_yet

# Of a GPU's memory: what vLLM claims if nobody says.
UTILISATION = 0.92
# A container's usual 64 MB is too small for processes that share tensors.
SHM = 1e9


@dataclass(frozen=True)
class Finding:
    """One verdict."""

    level: Literal["ok", "warn", "error"]
    about: str
    text: str


class Plan:
    """Which engines, devices and numbers a recipe comes to on a machine."""

    def __init__(self, recipe: Recipe, facts: Facts, shape: Shape | None, micro_batch: int):
        self.recipe, self.facts, self.shape, self.micro_batch = recipe, facts, shape, micro_batch
        engine, sft = recipe.engine, recipe.sft
        self.names = workers.names(len(facts.gpus), facts.environ.get("CUDA_VISIBLE_DEVICES"))
        self.groups: list[list[str]] = []
        self.engines, self.wrong = 1, ""
        if engine.kind in workers.LOCAL:
            try:
                groups = workers.grouped(engine, self.names)
                self.groups = [group.split(",") for group in groups]
                self.engines = workers.engines(engine, len(groups))
            except RFTError as error:
                self.wrong = str(error)
        self.groups = self.groups[: self.engines]
        bf16 = sft.bf16 if sft.bf16 != "auto" else bool(facts.gpus) and facts.gpus[0].bf16
        self.training = "bfloat16" if bf16 else "float16" if sft.args.get("fp16") else "float32"
        self.longest = engine.max_model_len or max(
            recipe.sample.max_tokens, recipe.evaluate.max_tokens
        )

    def gpu(self, name: str) -> Gpu:
        """Give the accelerator of this name."""
        return self.facts.gpus[self.names.index(name)]

    @property
    def dtype(self) -> str:
        """Name the numbers that the engine computes in; "" where nobody knows."""
        asked = str(self.recipe.engine.args.get("dtype", "auto"))
        if asked != "auto":
            return {"half": "float16", "float": "float32"}.get(asked, asked)
        stored = self.shape.dtype if self.shape else ""
        if self.recipe.engine.kind == "vllm" and self.groups and stored != "float16" and stored:
            # vLLM's own rule for `auto`; our engine keeps float32 on the CPU.
            return "bfloat16" if all(gpu.bf16 for gpu in self.facts.gpus) else "float16"
        return stored

    def batch_cache(self, shape: Shape) -> float:
        """Count the bytes of the embedded engine's KV cache at its longest, prompts aside."""
        rows = number(self.recipe.engine.args, "batch", 256)
        return rows * self.longest * (shape.kv_bytes(self.dtype, "auto") or 0)


def diagnose(plan: Plan, model: Found) -> list[Finding]:
    """Collect all verdicts."""
    parts = [about_packages(plan), about_devices(plan), about_recipe(plan, model)]
    parts += [about_engines(plan), about_vllm(plan), about_training(plan), about_host(plan)]
    parts += [about_disk(plan)]
    return [finding for part in parts for finding in part]


def about_packages(plan: Plan) -> Iterator[Finding]:
    """Judge versions and imports."""
    facts, kind = plan.facts, plan.recipe.engine.kind
    package, extra = NEEDS.get(kind, ("", ""))
    broken = {name: why for name, why in facts.failures.items() if why and name != "cuda"}
    troubles = []
    for name, wanted in asked_by("rft-rounds", facts, extra):
        there = facts.version(name)
        install = f"pip install '{name}{wanted}'"
        if name == package and there is None:
            text = f"engine.kind: {kind}, but {package} is not installed here; pip install "
            text += f"'rft-rounds[{extra}]', or set engine.kind: transformers"
            troubles.append(Finding("error", "engine", text))
        elif there is None:
            text = f"{name} is not installed; {install}"
            troubles.append(Finding("error", "packages", text))
        elif not fits(there, wanted):
            text = f"{name} {there} is outside the range that is tested ({wanted}); {install}"
            troubles.append(Finding("warn", "packages", text))
    vllm, wanted = facts.version("vllm"), dict(asked_by("trl", facts, "vllm")).get("vllm")
    if vllm and wanted and not fits(vllm, wanted):
        text = f"vllm {vllm} is outside what trl {facts.version('trl')} supports ({wanted}); "
        text += "harmless to `rft run`, whose sft does not use vLLM (TRL prints a warning)"
        troubles.append(Finding("warn", "packages", text))
    torch, vision = facts.version("torch"), facts.version("torchvision")
    if torch and vision:
        # One for another torch breaks `import transformers` from afar.
        wanted = dict(asked_by("torchvision", facts, "")).get("torch", "")
        builds = {version.partition("+")[2] for version in (torch, vision)} - {""}
        breaks = any("torchvision" in why for why in broken.values())
        if breaks or len(builds) > 1 or not fits(torch, wanted):
            text = f"torchvision {vision} is not the one for torch {torch}; pip uninstall "
            text += "torchvision (rft needs none), or with vLLM install both from one index"
            troubles.append(Finding("error" if breaks else "warn", "packages", text))
    for name, why in broken.items():
        troubles.append(Finding("error", "packages", f"{name} cannot be imported: {why}"))
    tried = ", ".join(name for name in facts.failures if name != "cuda")
    yield from troubles or [Finding("ok", "packages", f"versions fit; {tried} can be imported")]


def asked_by(package: str, facts: Facts, extra: str) -> Iterator[tuple[str, str]]:
    """List the packages that one asks for with an extra, and their ranges."""
    from packaging.requirements import Requirement

    for wanted in map(Requirement, facts.requirements.get(package, ())):
        if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
            yield wanted.name, str(wanted.specifier)


def fits(version: str, wanted: str) -> bool:
    """Say whether a version is in a range, to which a local part such as +cpu means nothing."""
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(version.partition("+")[0], prereleases=True)


def about_devices(plan: Plan) -> Iterator[Finding]:
    """Judge what accelerators there are, and whether torch can use them."""
    recipe, facts = plan.recipe, plan.facts
    torch, why = facts.version("torch"), facts.failures.get("cuda", "")
    if facts.failures.get("torch"):
        return
    if not facts.gpus:
        yield _without_gpu(plan, why or "no NVIDIA driver")
        return
    if why:
        yield Finding("error", "devices", f"torch {torch} cannot use the GPUs: {why}")
    old = [gpu.name for gpu in facts.gpus if not gpu.bf16]
    if old:
        yield from _without_bfloat16(recipe, old[0])
    elif not why:
        yield Finding("ok", "devices", f"{len(facts.gpus)} GPU(s), bfloat16 on all")
    if len(facts.gpus) > 1 and recipe.rounds and recipe.sft.launch is None:
        text = f"{len(facts.gpus)} GPUs are visible and sft.launch is null: sft trains on the first"
        yield Finding("warn", "devices", f"{text} alone, the others idle meanwhile")


def _without_gpu(plan: Plan, why: str) -> Finding:
    """Judge a machine where torch sees no accelerator."""
    facts, torch = plan.facts, plan.facts.version("torch")
    needs_one = plan.recipe.engine.kind == "vllm" and not facts.vllm_on_cpu
    hidden = facts.environ.get("CUDA_VISIBLE_DEVICES")
    if facts.cuda and hidden in ("", "-1"):
        text = f"CUDA_VISIBLE_DEVICES is {hidden!r}, which hides every GPU; unset it"
        return Finding("error" if needs_one else "warn", "devices", text)
    text = f"torch {torch} is built for CUDA {facts.cuda} and sees no GPU ({why}); "
    if facts.cuda and facts.driver:
        text += "mend the driver, or install a torch for the one that is there"
        return Finding("error", "devices", text)
    if facts.cuda:
        text += "install the driver if there is a GPU; if not, all runs on the CPU, for which a "
        text += "smaller torch does (--index-url https://download.pytorch.org/whl/cpu)"
    elif facts.driver:
        text = f"there is an NVIDIA driver, but torch {torch} is a CPU build; install one for CUDA"
    elif needs_one:
        text = "engine.kind: vllm, but there is no GPU, and vLLM's CPU build is not here either; "
        text += "set engine.kind: transformers"
    else:
        return Finding("ok", "devices", "no GPU; everything runs on the CPU")
    return Finding("error" if needs_one else "warn", "devices", text)


def _without_bfloat16(recipe: Recipe, name: str) -> Iterator[Finding]:
    """Judge the settings of a GPU without bfloat16, such as a T4."""
    kind, asked = recipe.engine.kind, str(recipe.engine.args.get("dtype", "auto"))
    full = kind in workers.LOCAL and asked in ("auto", "bfloat16")
    if full:
        does = "which vLLM refuses" if asked == "bfloat16" else "vLLM falls back to float16"
        does = does if kind == "vllm" else "a model stored in it is emulated, slowly"
        text = f"{name} has no bfloat16 and engine.args.dtype is {asked}: {does}; set it to float16"
        refused = kind == "vllm" and asked == "bfloat16"
        yield Finding("error" if refused else "warn", "devices", text)
    half = bool(recipe.sft.args.get("fp16")) or not recipe.rounds
    if not half:
        does = "emulates it" if recipe.sft.bf16 is True else "computes in float32"
        text = f"{name} has no bfloat16, so that sft {does}; sft.bf16: false with sft.args.fp16: "
        yield Finding("warn", "devices", f"{text}true is faster")
    if half and not full:
        text = f"{name} has no bfloat16; the recipe asks for half precision"
        yield Finding("ok", "devices", text)


def about_recipe(plan: Plan, model: Found) -> Iterator[Finding]:
    """Judge what the recipe asks for, and whether its model is here."""
    recipe, facts = plan.recipe, plan.facts
    for sentence in not_yet(recipe):
        yield Finding("error", "recipe", sentence)
    if model.trouble:
        yield Finding(model.level, "model", model.trouble)
    asked, limit = recipe.engine.max_model_len, model.shape.longest if model.shape else None
    most = max(recipe.sample.max_tokens, recipe.evaluate.max_tokens)
    for key, value in (("max_tokens", most + 1), ("engine.max_model_len", asked)):
        if limit and value and value > limit:
            text = f"{key} is {value - (key == 'max_tokens')}, and the model takes {limit} tokens, "
            yield Finding("error", "recipe", f"{text}the prompt included; lower it")
    optim = f"sft.args.optim: {recipe.sft.args.get('optim')}"
    needed = {f"track: {recipe.track}": recipe.track} if recipe.track != "none" else {}
    needed |= {optim: "bitsandbytes"} if eight_bit(recipe) else {}
    for key, package in needed.items():
        if facts.version(package) is None:
            text = f"{key} needs {package}, which is not installed; pip install {package}"
            yield Finding("error", "recipe", text)
    if recipe.sft.args.get("fp16") and not facts.gpus:
        text = "sft.args.fp16 needs a GPU, and torch sees none; remove it"
        yield Finding("error", "recipe", text)
    if recipe.engine.kind == "server" and recipe.rounds:
        text = "engine.kind: server: what follows a training needs the new model served; the run "
        yield Finding("warn", "engine", f"{text}stops there and says how")


def about_engines(plan: Plan) -> Iterator[Finding]:
    """Judge how the accelerators are shared out."""
    facts, there = plan.facts, len(plan.facts.gpus)
    if plan.wrong:
        yield Finding("error", "engine", plan.wrong)
    elif plan.groups:
        size = len(plan.groups[0])
        if idle := there - size * plan.engines:
            text = f"{idle} of {there} GPUs have no engine; set engine.workers: auto and a "
            yield Finding("warn", "engine", f"{text}tensor_parallel_size that divides {there}")
        if size > 1 and facts.shm is not None and facts.shm < SHM:
            text = f"/dev/shm has {gb(facts.shm)} free, and {size} processes of an engine share "
            text += "tensors there; start the container with --shm-size=8g or --ipc=host"
            yield Finding("warn", "engine", text)


def about_vllm(plan: Plan) -> Iterator[Finding]:
    """Judge vLLM's memory: it claims a share of each GPU, and fills what weights leave of it."""
    args, shape = plan.recipe.engine.args, plan.shape
    if plan.recipe.engine.kind != "vllm" or not plan.groups:
        return
    share = number(args, "gpu_memory_utilization", UTILISATION)
    for name in (name for group in plan.groups for name in group):
        gpu = plan.gpu(name)
        if gpu.free < share * gpu.total:
            text = f"GPU {name} has {gb(gpu.free)} of {gb(gpu.total)} free, and vLLM claims "
            text += f"{share:.0%} of it at start; end what holds the rest, or lower "
            yield Finding("error", "memory", f"{text}engine.args.gpu_memory_utilization")
    if shape is None:
        return
    size, weights = len(plan.groups[0]), shape.weight_bytes(plan.dtype)
    claimed = share * size * min(plan.gpu(name).total for group in plan.groups for name in group)
    each = shape.kv_bytes(plan.dtype, str(args.get("kv_cache_dtype", "auto"))) or 0
    room = claimed - weights
    left = room - OVERHEAD * size
    text = f"engine: {gb(claimed)} less {gb(weights)} of weights and about {gb(OVERHEAD * size)} of "
    if left < plan.longest * each:
        # The overhead is a guess, so without it the model may still start.
        text += f"overhead leave no room for one sequence of {plan.longest} tokens; raise "
        text += "engine.args.gpu_memory_utilization or engine.args.tensor_parallel_size, or lower "
        text += "engine.max_model_len with max_tokens"
        yield Finding("error" if room < plan.longest * each else "warn", "memory", text)
    elif each:
        tokens = int(left / each)
        text += f"overhead leave room for {tokens:,} tokens of KV cache, {tokens // plan.longest} "
        yield Finding("ok", "memory", f"{text}sequences of {plan.longest}")


def about_training(plan: Plan) -> Iterator[Finding]:
    """Judge whether sft fits the first accelerator."""
    recipe, shape, gpus = plan.recipe, plan.shape, plan.facts.gpus
    if not gpus or shape is None or not recipe.rounds or recipe.sft.launch is not None:
        return
    size = 4 if plan.training == "float32" else 2
    needed = shape.training_bytes(recipe, plan.micro_batch, size)
    if needed is None:
        return
    first, lora = gpus[0], "a smaller model" if recipe.sft.lora else "use sft.lora"
    text = f"sft: needs at least {gb(needed)} and about {gb(OVERHEAD)} of overhead, GPU "
    text += f"{plan.names[0]} has {gb(first.total)}, {gb(first.free)} of them free"
    if needed + OVERHEAD > first.free:
        text += f"; lower sft.max_length or sft.micro_batch, or {lora}, or end what holds the GPU"
        yield Finding("error" if needed > first.total else "warn", "memory", text)
    else:
        yield Finding("ok", "memory", text)


def about_host(plan: Plan) -> Iterator[Finding]:
    """Judge whether models can be loaded through the machine's own memory, or work in it."""
    facts, shape, recipe = plan.facts, plan.shape, plan.recipe
    if shape is None or not facts.available:
        return
    needed = {"sft": shape.weights if recipe.sft.lora else shape.weight_bytes("float32")}
    if not facts.gpus:
        needed["sft"] = shape.training_bytes(recipe, 0, 4) or shape.weights
    if recipe.engine.kind == "transformers":
        cache = 0 if facts.gpus else plan.batch_cache(shape)
        needed["sampling"] = int(plan.engines * (shape.weight_bytes(plan.dtype) + cache))
    stage, most = max(needed.items(), key=lambda item: item[1])
    text = f"{stage} takes {gb(most)} of the machine's memory "
    text += "while loading" if facts.gpus else "at least"
    text += f", {gb(facts.available)} of {gb(facts.memory)} are free"
    if most > facts.available:
        level: Literal["warn", "error"] = "warn" if most < facts.memory + facts.swap else "error"
        yield Finding(level, "memory", f"{text}; use a smaller model or sft.lora, or end other work")
    else:
        yield Finding("ok", "memory", text)


def about_disk(plan: Plan) -> Iterator[Finding]:
    """Judge whether the run's models fit the disk."""
    facts, shape, recipe = plan.facts, plan.shape, plan.recipe
    text = f"{gb(facts.disk)} of disk are free at {facts.place}"
    if shape is None or not recipe.rounds:
        yield Finding("ok" if facts.disk > 1e9 else "warn", "disk", text)
        return
    needed = shape.disk_bytes(recipe)
    text += f"; models and training checkpoints take up to {gb(needed)}, tables on top"
    if facts.disk < needed:
        text += "; make room, set keep.models: last, or choose another --out"
        yield Finding("error" if facts.disk < 2 * shape.weights else "warn", "disk", text)
    else:
        yield Finding("ok", "disk", text)


def number(args: Mapping[str, object], name: str, default: float) -> float:
    """Read an engine's argument; one that is no number is the engine's to refuse."""
    try:
        return float(str(args.get(name, default)))
    except ValueError:
        return default


def gb(size: float) -> str:
    """Write bytes for people."""
    return f"{size / 1e9:.2f} GB" if size < 1e9 else f"{size / 1e9:.1f} GB"
