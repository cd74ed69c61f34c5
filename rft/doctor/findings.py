"""Verdicts: what is in the way of a recipe on a machine. Arithmetic over facts, no looking."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rft.doctor.facts import Facts
from rft.doctor.placement import Placement, gb
from rft.estimates.model_size import OVERHEAD, Lookup, eight_bit
from rft.grading.programs.sandbox import ABSENT
from rft.trackers import missing

# A container's usual 64 MB is too small for processes that share tensors.
SHM = 1e9


@dataclass(frozen=True)
class Finding:
    """One verdict."""

    level: Literal["ok", "warn", "error"]
    about: str
    text: str


def diagnose(placement: Placement, model: Lookup) -> list[Finding]:
    """Collect all verdicts."""
    findings = [
        *about_packages(placement),
        *about_devices(placement),
        *about_recipe(placement, model),
    ]
    findings += [*about_engines(placement), *about_sampling(placement), *about_training(placement)]
    return [*findings, about_disk(placement)]


def about_packages(placement: Placement) -> Iterator[Finding]:
    """Judge versions and imports."""
    facts, kind, traits = (
        placement.facts,
        placement.recipe.engine.kind,
        placement.recipe.engine.traits,
    )
    package, extra = traits.package, traits.extra
    broken = {name: why for name, why in facts.failures.items() if why and name != "cuda"}
    findings = []
    if package and facts.version(package) is None:
        text = f"engine.kind: {kind}, but {package} is not installed here; pip install "
        text += f"'rft-rounds[{extra}]', or set engine.kind: transformers"
        findings.append(Finding("error", "engine", text))
    for name, wanted in asked_by("rft-rounds", facts, extra).items():
        there, install = facts.version(name), f"pip install '{name}{wanted}'"
        if there is None and name != package:
            findings.append(Finding("error", "packages", f"{name} is not installed; {install}"))
        elif there and not fits(there, wanted):
            text = f"{name} {there} is outside the range that is tested ({wanted}); {install}"
            findings.append(Finding("warn", "packages", text))
    vllm, wanted = facts.version("vllm"), asked_by("trl", facts, "vllm").get("vllm", "")
    if vllm and not fits(vllm, wanted):
        text = f"vllm {vllm} is outside what trl {facts.version('trl')} supports ({wanted}); "
        if placement.recipe.grpo and placement.recipe.grpo.vllm:
            text += f"grpo.vllm draws with it: pip install 'vllm{wanted}'"
        else:
            text += "harmless here, where training does not use vLLM (TRL prints a warning)"
        findings.append(Finding("warn", "packages", text))
    torch, vision = facts.version("torch"), facts.version("torchvision")
    if torch and vision:  # one for another torch breaks `import transformers` from afar
        breaks = any("torchvision" in why for why in broken.values())
        builds = {version.partition("+")[2] for version in (torch, vision)} - {""}
        wanted = asked_by("torchvision", facts, "").get("torch", "")
        if breaks or len(builds) > 1 or not fits(torch, wanted):
            text = f"torchvision {vision} is not the one for torch {torch}; pip uninstall "
            text += "torchvision (rft needs none), or with vLLM install both from one index"
            findings.append(Finding("error" if breaks else "warn", "packages", text))
    for name, why in broken.items():
        findings.append(Finding("error", "packages", f"{name} cannot be imported: {why}"))
    tried = ", ".join(name for name in facts.failures if name != "cuda")
    yield from findings or [Finding("ok", "packages", f"versions fit; {tried} can be imported")]


def asked_by(package: str, facts: Facts, extra: str) -> dict[str, str]:
    """Map what a package asks for, with an extra, to the range."""
    from packaging.requirements import Requirement

    return {
        wanted.name: str(wanted.specifier)
        for wanted in map(Requirement, facts.requirements.get(package, ()))
        if wanted.marker is None or wanted.marker.evaluate({"extra": extra})
    }


def fits(version: str, wanted: str) -> bool:
    """Say whether a version is in a range; one for 2.13 takes 2.13+cpu too."""
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(version, prereleases=True)


def about_devices(placement: Placement) -> Iterator[Finding]:
    """Judge what accelerators there are, and whether torch can use them."""
    facts, why = placement.facts, placement.facts.failures.get("cuda", "")
    count = len(facts.gpus)
    if not facts.gpus:
        if not facts.failures.get("torch"):
            yield _without_gpu(placement, why or "no NVIDIA driver")
        return
    if why:
        yield Finding("error", "devices", f"CUDA does not work on every GPU: {why}")
    old = [gpu.name for gpu in facts.gpus if not gpu.bf16]
    if old:
        yield from _without_bfloat16(placement, old[0])
    else:
        yield Finding("ok", "devices", f"{count} GPU{'s' * (count > 1)}, bfloat16 on all")
    if count > 1:
        text = f"{count} GPUs are visible and {placement.recipe.maker} trains on the first alone"
        yield Finding("warn", "devices", text)


def _without_gpu(placement: Placement, why: str) -> Finding:
    """Judge a machine where torch sees no accelerator."""
    facts, torch = placement.facts, placement.facts.version("torch")
    needed = facts.needs_gpu(placement.recipe.engine.traits)
    text = f"torch {torch} is built for CUDA {facts.cuda} and sees no GPU ({why}); "
    if facts.cuda and facts.visible in ("", "-1"):
        text = "CUDA_VISIBLE_DEVICES hides every GPU; unset it"
    elif facts.cuda and facts.driver:
        text += "mend the driver, or install a torch for the one that is there"
        needed = True
    elif facts.cuda:
        text += "install the driver if there is a GPU; on a CPU a smaller torch does "
        text += "(--index-url https://download.pytorch.org/whl/cpu)"
    elif facts.driver:
        text = f"there is an NVIDIA driver, but torch {torch} is a CPU build; install one for CUDA"
    elif needed:
        kind = placement.recipe.engine.kind
        text = f"engine.kind: {kind}, but there is no GPU; set engine.kind: transformers"
    else:
        return Finding("ok", "devices", "no GPU; everything runs on the CPU")
    return Finding("error" if needed else "warn", "devices", text)


def _without_bfloat16(placement: Placement, name: str) -> Iterator[Finding]:
    """Judge the settings of a GPU without bfloat16, such as a T4."""
    engine, how, maker = placement.recipe.engine, placement.recipe.trains, placement.recipe.maker
    asked = str(engine.args.get("dtype", "auto"))
    text, refused = f"{name} has no bfloat16", engine.traits.halves and asked == "bfloat16"
    plain = engine.traits.local and asked in ("auto", "bfloat16")
    if plain:
        does = "falls back to float16" if engine.traits.halves else "emulates it, slowly"
        does = f"with engine.args.dtype {asked} the engine {'refuses it' if refused else does}"
        yield Finding("error" if refused else "warn", "devices", f"{text}; {does}; set half")
    if not how.args.get("fp16"):
        does = "emulates it" if how.bf16 is True else "computes in float32"
        does = f"{maker} {does}; faster is {maker}.bf16: false with {maker}.args.fp16: true"
        yield Finding("warn", "devices", f"{text}; {does}")
    elif not plain:
        yield Finding("ok", "devices", f"{text}; the recipe asks for half precision")


def about_recipe(placement: Placement, model: Lookup) -> Iterator[Finding]:
    """Judge what the recipe asks for, and whether its model is here."""
    recipe = placement.recipe
    if model.trouble:
        yield Finding(model.level, "model", model.trouble)
    limit, own = placement.shape.longest if placement.shape else None, recipe.engine.max_model_len
    if limit and placement.longest + (own is None) > limit:
        text = f"{'engine.max_model_len' if own else 'max_tokens'} is {placement.longest}, and the "
        text += f"model takes {limit} tokens, the prompt included; lower it"
        yield Finding("error", "recipe", text)
    if eight_bit(recipe) and placement.facts.version("bitsandbytes") is None:
        text = f"{recipe.maker}.args.optim needs bitsandbytes, which is not installed; "
        text += "pip install bitsandbytes"
        yield Finding("error", "recipe", text)
    if recipe.grpo and recipe.grpo.vllm == "colocate":
        if placement.facts.version("vllm") is None:
            text = "grpo.vllm: colocate, but vllm is not installed; set grpo.vllm: null"
            yield Finding("error", "recipe", text)
        elif not placement.facts.gpus:
            text = "grpo.vllm: colocate, but there is no GPU; set grpo.vllm: null"
            yield Finding("error", "recipe", text)
    if recipe.grade.judge == "code" and placement.facts.bubblewrap is None:
        yield Finding("error", "grade", ABSENT)
    if (absent := missing(recipe.track)) is not None:
        yield Finding("error", "recipe", absent)
    traits = recipe.engine.traits
    if traits.draws and not traits.local and recipe.rounds:
        text = f"engine.kind: {recipe.engine.kind}: "
        text += "rounds after the first need the new model served"
        yield Finding("warn", "engine", text)


def about_engines(placement: Placement) -> Iterator[Finding]:
    """Judge how the accelerators are shared out."""
    shm, there = placement.facts.shm, len(placement.facts.gpus)
    if placement.wrong:
        yield Finding("error", "engine", placement.wrong)
    if idle := there - len(placement.used) if placement.groups else 0:
        text = f"{idle} of {there} GPUs have no engine; set engine.workers: auto and a "
        yield Finding("warn", "engine", f"{text}tensor_parallel_size that divides {there}")
    if placement.size > 1 and shm is not None and shm < SHM:
        text = f"/dev/shm has {gb(shm)} free, and {placement.size} processes of an engine share "
        text += "tensors there; start the container with --shm-size=8g or --ipc=host"
        yield Finding("warn", "engine", text)


def about_sampling(placement: Placement) -> Iterator[Finding]:
    """Judge whether weights and KV cache fit what an engine may use of its GPUs, or the machine."""
    facts, shape, engine = placement.facts, placement.shape, placement.recipe.engine
    traits, claims = engine.traits, engine.traits.claims
    share = placement.argument("gpu_memory_utilization", claims) if claims else 1.0
    for name, gpu in placement.used.items():
        if claims and gpu.free < share * gpu.total:
            text = f"GPU {name} has {gb(gpu.free)} of {gb(gpu.total)} free, and "
            text += f"{traits.called} claims {share:.0%} of it at start; end what holds the rest, "
            yield Finding("error", "memory", f"{text}or lower engine.args.gpu_memory_utilization")
    in_memory = traits.local and not claims and facts.memory
    if shape is None or not (placement.groups or in_memory):
        return
    claimed, overhead = facts.available / placement.engines, 0.0
    if placement.groups:
        claimed = share * placement.size * min(gpu.total for gpu in placement.used.values())
        overhead = OVERHEAD * placement.size
    weights = shape.weight_bytes(placement.dtype)
    each = shape.kv_bytes(placement.dtype, str(engine.args.get("kv_cache_dtype", "auto"))) or 0
    room, one = claimed - weights, placement.longest * each
    text = f"engine: {gb(claimed)} less {gb(weights)} of weights and about {gb(overhead)} of "
    if room - overhead < one:
        text += f"overhead leave no room for one sequence of {placement.longest} tokens; lower "
        text += "max_tokens and engine.max_model_len"
        if claims:
            text += ", or raise gpu_memory_utilization or tensor_parallel_size in engine.args"
        # The overhead is a guess: without it, it may start.
        yield Finding("error" if room < one else "warn", "memory", text)
    elif each:
        rows = int((room - overhead) / one)
        text += f"overhead leave room for {int((room - overhead) / each):,} tokens of KV cache, "
        text += f"{rows} sequences of {placement.longest}"
        few = not claims and rows < placement.batch
        text += f"; lower engine.args.batch from {placement.batch:.0f}" if few else ""
        yield Finding("warn" if few else "ok", "memory", text)


def about_training(placement: Placement) -> Iterator[Finding]:
    """Judge whether training fits the first accelerator, or the machine's memory."""
    recipe, shape, facts = placement.recipe, placement.shape, placement.facts
    if shape is None or not recipe.rounds or not facts.memory:
        return
    size = 4 if placement.training == "float32" else 2
    needed = shape.training_bytes(recipe, placement.micro_batch, size, on_gpu=bool(facts.gpus))
    where, total, free, overhead = "this machine", facts.memory, facts.available, 0.0
    if facts.gpus:
        where, total, free = f"GPU {placement.names[0]}", facts.gpus[0].total, facts.gpus[0].free
        overhead = OVERHEAD
    text = f"{recipe.maker}: needs at least {gb(needed)} and about {gb(overhead)} of overhead, "
    text += f"{where} has {gb(free)} of {gb(total)} free"
    if needed + overhead <= free:
        yield Finding("ok", "memory", text)
    else:
        section, length = recipe.maker, "max_tokens" if recipe.grpo else "max_length"
        text += f"; lower {section}.{length} or {section}.micro_batch, end what else holds memory, "
        text += "or use " + ("a smaller model" if recipe.trains.lora else f"{section}.lora")
        yield Finding("error" if needed > total else "warn", "memory", text)


def about_disk(placement: Placement) -> Finding:
    """Judge whether the run's models fit the disk."""
    facts, shape = placement.facts, placement.shape
    text = f"{gb(facts.disk)} of disk are free at {facts.place}"
    if shape is None or not placement.recipe.rounds:
        return Finding("ok" if facts.disk > 1e9 else "warn", "disk", text)
    needed = shape.disk_bytes(placement.recipe)
    text += f"; models and training checkpoints take up to {gb(needed)}, tables on top"
    if facts.disk >= needed:
        return Finding("ok", "disk", text)
    text += "; make room, set keep.models: last, or choose another --out"
    return Finding("error" if facts.disk < 2 * shape.weights else "warn", "disk", text)
