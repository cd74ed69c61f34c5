"""Before the first spend: show prompt and target, probe eight rollouts, count disk and memory."""

import importlib.util
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rft.answers import first_box
from rft.atomic import atomic_text
from rft.engines import Engine, Finished, Fixed, Request
from rft.errors import RFTError
from rft.models import base_model
from rft.prompt import Prompter
from rft.recipe import Recipe, Sft
from rft.recipe_complaints import nearest
from rft.sampling import Plan, as_sampling, sampling_settings
from rft.stages import Job
from rft.store import key_of, now

PROBES = 8
EXAMPLE = "So the answer is $\\boxed{4}$."


def preflight(job: Job, plan: Plan, engine: Callable[[], Engine]) -> None:
    """Refuse a run whose samples neither stop nor close a box; done once per sampling settings."""
    run, recipe, prompts = job.run, job.run.recipe, plan.prompts
    settings = sampling_settings(recipe, recipe.sample)
    key = key_of("preflight", settings, {"model": base_model(run).digest})
    done = run.manifest("preflight", 0)
    if recipe.engine.kind == "replay" or not plan.probes or (done and done["key"] == key):
        return
    check_trainer_arguments(recipe.sft)
    if recipe.track != "none" and importlib.util.find_spec(recipe.track) is None:
        raise RFTError(f"track: {recipe.track} is not installed; pip install {recipe.track}")
    job.say(shown(prompts, plan.probes[0]))
    loaded, sampling = engine(), as_sampling(recipe, recipe.sample)
    units = loaded.units(plan.probes)
    finished = [
        done
        for unit in loaded.sample(Fixed(units), sampling, check=job.stop.check)
        for done in unit
    ]
    stopped = sum(done.finish_reason == "stop" for done in finished)
    boxed = sum(first_box(done.completion) is not None for done in finished)
    judge(finished, recipe.sample.max_tokens, prompts.end, job.say)
    tokens = sum(done.num_tokens or len(done.token_ids or ()) for done in finished) / len(finished)
    figures = estimate(recipe, Path(plan.model.path), tokens, shutil.disk_usage(run.path).free)
    ahead = (
        f"; about {figures['tokens']:,} tokens to sample for training in {recipe.rounds} round(s), "
        f"{figures['disk_gb']:.2f} GB of disk ({figures['free_gb']:.0f} GB free), "
        f"{figures['training_gb']:.2f} GB of memory to train"
    )
    job.say(
        f"preflight: of {len(finished)} probes {stopped} stopped and {boxed} closed a box"
        f"{ahead if recipe.rounds else ''}"
    )
    manifest = {
        "stage": "preflight",
        "round": 0,
        "key": key,
        "settings": settings,
        "inputs": {"model": plan.model.digest},
        "outputs": {},
        "counts": {"in": len(finished), "stopped": stopped, "boxed": boxed},
        "estimate": figures,
        "finished": now(),
    }
    atomic_text(run.manifest_path("preflight", 0), json.dumps(manifest, indent=1) + "\n")


def check_trainer_arguments(sft: Sft) -> None:
    """Refuse names in `sft.args` that TRL does not know, hours before they would be used."""
    if not sft.args:
        return
    from dataclasses import fields

    from trl import SFTConfig

    known = {field.name for field in fields(SFTConfig)}
    for name in sft.args:
        if name not in known:
            guess = nearest(name, known)
            advice = f'; did you mean "{guess}"?' if guess else ""
            raise RFTError(f'sft.args: TRL\'s SFTConfig has no "{name}"{advice}')


def shown(prompts: Prompter, request: Request) -> str:
    """Write one prompt and one SFT target with every token visible."""
    row = prompts.target(request.prompt_ids, prompts.encode(EXAMPLE))
    learnt = [
        token for token, mask in zip(row["input_ids"], row["completion_mask"], strict=True) if mask
    ]
    prompt = json.dumps(request.prompt, ensure_ascii=False)
    target = json.dumps(prompts.decode(learnt), ensure_ascii=False)
    return (
        f"prompt ({len(request.prompt_ids)} tokens): {prompt}\n"
        f"target, as SFT learns it after the prompt: {target}"
    )


def judge(
    finished: Sequence[Finished], max_tokens: int, end: str, say: Callable[[str], None]
) -> None:
    """Refuse when fewer than half of the probes stop or box, warn when fewer than half stop."""
    half = len(finished) / 2
    stopped = sum(done.finish_reason == "stop" for done in finished)
    sound = sum(
        done.finish_reason == "stop" or first_box(done.completion) is not None for done in finished
    )
    if sound < half:
        raise RFTError(
            f"preflight: of {len(finished)} probe rollouts only {sound} stop at {end!r} or close a "
            f"box within sample.max_tokens={max_tokens}; check prompt.style, prompt.end and "
            f"prompt.template against the model, or raise max_tokens. One of them ends: "
            f"{finished[0].completion[-80:]!r}"
        )
    if stopped < half:
        say(
            f"warning: only {stopped} of {len(finished)} probe rollouts stop at {end!r} within "
            f"{max_tokens} tokens; the others are cut at the limit"
        )


def estimate(recipe: Recipe, model: Path, tokens: float, free: int) -> dict[str, Any]:
    """Estimate tokens, disk and memory from the probes' length; refuse what cannot fit."""
    weights = sum(path.stat().st_size for path in model.glob("*.safetensors"))
    rollouts = recipe.rounds * recipe.sample.problems * recipe.sample.n
    sampled = round(rollouts * tokens)
    kept = {"all": recipe.rounds, "adopted": 2, "last": 1}[recipe.keep.models]
    # 11 bytes a token: ids, text and three statistics, compressed; a copy while compacting.
    disk = sampled * 11 * 2 + kept * weights
    # In float32: weights, gradients and Adam's two moments; an adapter adds next to nothing.
    config = json.loads((model / "config.json").read_text())
    bytes_each = 4 if config.get("dtype", config.get("torch_dtype")) in (None, "float32") else 2
    training = weights // bytes_each * 16 if recipe.sft.lora is None else weights
    if recipe.rounds and free < weights * 2 + disk // 2:
        raise RFTError(
            f"preflight: the run needs about {disk / 1e9:.1f} GB of disk and {free / 1e9:.1f} GB "
            "are free; make room, lower sample.n, or set keep.models: last"
        )
    return {
        "tokens": sampled,
        "tokens_per_rollout": round(tokens, 1),
        "disk_gb": disk / 1e9,
        "free_gb": free / 1e9,
        "training_gb": training / 1e9,
    }
