"""Train online with TRL's GRPO, shaped by the recipe's plug-ins.

Reads problems and the base; writes model 1 and dynamics.
"""

import math
import shutil
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from rft.errors import Interrupted, RFTError
from rft.exploration.compose import options_of, plugins_of
from rft.exploration.plugin import Plugin
from rft.grading.grade import grading_settings, keys_of
from rft.grading.judgement import AnswerKey
from rft.grading.method import Judges
from rft.grading.verifiers import finds, open_verifier
from rft.problems.order import problems_of_rounds
from rft.processes.stopping import Stop
from rft.prompt import Prompter, open_prompter
from rft.recipe import Grpo, Recipe
from rft.recipe.parts import contents
from rft.runs.folder import Run
from rft.runs.models import ModelRef, base_model, new_model_folder
from rft.runs.stages import Job, Stage
from rft.seeds import derive
from rft.training import policy
from rft.training.checkpoints import guard, last_checkpoint
from rft.training.curves import NO_CURVES, spare_training, track_into

# TRL's and transformers' defaults that decide what is learnt, by name: an upgrade must not change
# them behind a key's back. `grpo.args` may replace any; AdamW has no weight decay, as in `sft`.
DEFAULTS = policy.DEFAULTS | {
    "top_k": 0,
    "min_p": None,
    "repetition_penalty": 1.0,
    "importance_sampling_level": "token",
    "delta": None,
    "off_policy_mask_threshold": None,
    "top_entropy_quantile": 1.0,
    "entropy_coef": 0.0,
    "use_adaptive_entropy": False,
    "mask_truncated_completions": False,
    "use_bias_correction_kl": True,
    "sync_ref_model": False,
    "disable_dropout": False,
    "cast_lm_head_to_fp32": False,
    "vllm_importance_sampling_correction": True,
    # TRL's default, one ratio for a whole answer, leaves next to nothing of long ones (Methods).
    "vllm_importance_sampling_mode": "token_truncate",
    "vllm_importance_sampling_clip_max": 3.0,
    "vllm_importance_sampling_clip_min": None,
}

# The rows of dynamics as they come, one JSON object a line, for whoever looks on.
JOURNAL = "dynamics.jsonl"

# What changes memory and speed but not what is learnt; see by_micro_batch below.
EXECUTION = {"micro_batch", "save_every"}


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what the new model depends on, problems and parent aside."""
    recipe, grpo = run.recipe, section(run.recipe)
    plugins = plugins_of(grpo)
    return {
        "seed": recipe.seed,
        "prompt": recipe.prompt.model_dump(mode="json"),
        **grading_settings(recipe),
        "grpo": grpo.model_dump(mode="json", exclude=EXECUTION)
        # With the defaults of each, and as a list: their order matters.
        | {"plugins": [[each.name, each.model_dump(mode="json")] for each in plugins]}
        | by_micro_batch(grpo, plugins),
        "defaults": DEFAULTS | {"dtype": policy.training_dtype(grpo.lora)},
        **contents(recipe.parts, "plugins", grpo.plugins),
    }


def by_micro_batch(grpo: Grpo, plugins: list[Plugin]) -> dict[str, int]:
    """Give the size of a micro-batch where something is averaged over it."""
    matters = grpo.loss == "bnpo" or any(plugin.by_micro_batch for plugin in plugins)
    return {"micro_batch": policy.micro_batch(grpo)} if matters else {}


def inputs(run: Run, _round: int) -> dict[str, str]:
    """Give the digests of the problems and of the parent model."""
    return {
        "problems": run.output_digest("prepare", 0, "problems"),
        "model": base_model(run).digest,
    }


def section(recipe: Recipe) -> Grpo:
    """Give the recipe's `grpo` section."""
    assert recipe.grpo is not None, "the command line refuses a recipe without grpo"
    return recipe.grpo


def work(job: Job) -> None:
    """Train model 1, going on from the last whole checkpoint if there is one."""
    run, model = job.run, base_model(job.run)
    policy.first_device()
    prompts = open_prompter(model, run.recipe.prompt, finds(run.recipe.grade))
    problems = run.read("problems", 0).filter(pl.col("split") == "train")
    seed = derive(run.recipe.seed, "grpo", job.round) % 2**31
    job.claim()
    checkpoints = job.work / "checkpoints"
    keys = keys_of(problems)
    with open_verifier(run.recipe.grade, job.say) as verifier:
        trainer = make_trainer(
            run.recipe,
            model=model,
            prompts=prompts,
            problems=problems,
            keys=keys,
            verifier=verifier,
            seed=seed,
            checkpoints=checkpoints,
            stop=job.stop,
            say=job.say,
            journal=job.work / JOURNAL,
            track=track_into(job),
        )
        spare_training(trainer, job.say)
        about = {"round": job.round, "parent": model.digest, "end": prompts.end}
        with new_model_folder(job.work / "out" / "model", **about) as folder:
            train(trainer, prompts, folder, job.stop, dtype=policy.saved_dtype(model))
            if run.recipe.keep.optimizer and (last := last_checkpoint(checkpoints)):
                shutil.copytree(last, folder / "checkpoint")
    rows = trainer.dynamics.rows
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1)), "steps were lost"
    job.write("dynamics", pl.DataFrame(rows, infer_schema_length=None))
    job.outputs["model"] = job.work / "out" / "model"
    grpo = section(run.recipe)
    unverified = sum(row["unverified"] for row in rows)
    drawn = len(rows) * grpo.problems * grpo.n
    job.counts |= {
        "in": drawn,
        "trained": drawn - unverified,
        "dropped": {"unverified": unverified},
    }
    job.notes |= {
        "seeds": {"grpo": seed},
        "model": model.digest,
        "steps": len(rows),
        "tokens": sum(row["tokens"] for row in rows),
        "step_seconds": round(sum(row["seconds"] for row in rows), 1),
        "micro_batch": trainer.args.per_device_train_batch_size,
        "plugins": [each.name for each in trainer.plugins],
        "options": options_of(grpo, trainer.plugins),
    }


def make_trainer(
    recipe: Recipe,
    *,
    model: ModelRef,
    prompts: Prompter,
    problems: pl.DataFrame,
    keys: dict[str, AnswerKey],
    verifier: Judges,
    seed: int,
    checkpoints: Path,
    stop: Stop,
    say: Callable[[str], None],
    journal: Path,
    track: Mapping[str, Any] = NO_CURVES,
) -> Any:
    """Build the trainer, with nothing left to TRL's defaults that decides what is learnt."""
    from transformers import PrinterCallback, set_seed

    from rft.engines.transformers import generation_eos
    from rft.training.grpo_trainer import ShapedGRPOTrainer
    from rft.training.reward import AnswerReward

    grpo = section(recipe)
    plugins = plugins_of(grpo)
    set_seed(seed)
    loaded = policy.load_policy(model, grpo.lora)
    # The same tokens end an answer here as in every engine.
    stops = prompts.stop_ids(generation_eos(loaded.generation_config))
    loaded.generation_config.eos_token_id = sorted(stops)
    prompts.tokenizer.eos_token = prompts.end
    rows = rows_of_steps(recipe, problems, prompts)
    longest = max(rows["length"])
    trainer = ShapedGRPOTrainer(
        model=loaded,
        args=arguments(
            recipe,
            plugins,
            seed,
            checkpoints,
            longest=longest,
            large=policy.is_large(model, policy.micro_batch(grpo) * (longest + grpo.max_tokens)),
            track=track,
        ),
        train_dataset=rows,
        processing_class=prompts.tokenizer,
        peft_config=policy.adapters(grpo.lora),
        callbacks=[guard(stop, "grpo", grpo.updates)],
        plugins=plugins,
        reward=AnswerReward(grpo, keys, prompts, stops, verifier),
        prompts=prompts,
        updates=grpo.updates,
        seed=seed,
        say=say,
        journal=journal,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def arguments(
    recipe: Recipe,
    plugins: list[Plugin],
    seed: int,
    checkpoints: Path,
    *,
    longest: int,
    large: bool,
    track: Mapping[str, Any] = NO_CURVES,
) -> Any:
    """Put the recipe in TRL's terms."""
    from trl import GRPOConfig

    grpo = section(recipe)
    micro = policy.micro_batch(grpo)
    ours = {
        "output_dir": str(checkpoints),
        "max_steps": grpo.steps * grpo.updates,
        "num_generations": grpo.n,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": grpo.batch // micro,
        "steps_per_generation": grpo.problems * grpo.n // micro,
        "num_iterations": 1,
        "temperature": grpo.temperature,
        "top_p": grpo.top_p,
        "max_completion_length": grpo.max_tokens,
        "scale_rewards": grpo.scale,
        "beta": grpo.beta,
        "learning_rate": grpo.learning_rate,
        "lr_scheduler_type": policy.schedule(grpo.schedule, grpo.warmup),
        "warmup_steps": grpo.warmup * grpo.updates,
        **policy.device_arguments(grpo.bf16, large=large),
        "use_vllm": grpo.vllm is not None,
        "vllm_mode": grpo.vllm or "colocate",
        # By default vLLM makes room for the longest text that the model can read.
        "vllm_max_model_length": longest + grpo.max_tokens,
        # The rows are in the order of the steps already.
        "shuffle_dataset": False,
        # For the reference, which TRL loads by itself.
        "trust_remote_code": recipe.model.trust_remote_code,
        "seed": seed,
        "data_seed": seed,
        # Only between steps: rollouts are not saved, and half of a step cannot be gone on with.
        "save_strategy": "steps",
        "save_steps": grpo.save_every * grpo.updates,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        **track,
        "disable_tqdm": True,
    }
    try:
        return GRPOConfig(**(DEFAULTS | ours | options_of(grpo, plugins)))
    except (TypeError, ValueError) as error:
        raise RFTError(f"grpo.args: TRL refuses them: {str(error).splitlines()[0]}") from None


def rows_of_steps(recipe: Recipe, problems: pl.DataFrame, prompts: Prompter) -> Any:
    """List the problem of each group of each step, none again until all were used."""
    from datasets import Dataset

    grpo = section(recipe)
    grpo.refuse_few(len(problems))
    known = problems.sort("problem_id")
    ids = known["problem_id"].to_list()
    place = {name: index for index, name in enumerate(ids)}
    texts = [prompts.render(question) for question in known["question"]]
    lengths = [len(prompts.encode(text)) for text in texts]
    table = Dataset.from_dict({"problem_id": ids, "prompt": texts, "length": lengths})
    steps = islice(problems_of_rounds(ids, grpo.problems, recipe.seed), grpo.steps)
    return table.select([place[name] for chosen in steps for name in chosen])


def train(trainer: Any, prompts: Prompter, folder: Path, stop: Stop, *, dtype: str) -> None:
    """Train, going on from the last whole checkpoint, and save a model folder."""
    last = last_checkpoint(Path(trainer.args.output_dir), trainer.say)
    if last is not None:
        trainer.restore(last)
    else:
        trainer.dynamics.take_over([])
    trainer.dynamics.start()
    trainer.train(resume_from_checkpoint=last)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if not all(math.isfinite(loss) for loss in losses):
        raise RFTError(
            f"grpo: the loss is not finite after {len(losses)} optimizer steps; lower "
            "grpo.learning_rate"
        )
    if trainer.state.global_step < trainer.state.max_steps:
        assert stop.asked(), "the trainer ended early, and nobody had asked it to"
        raise Interrupted(
            f"stopped by {stop.reason} after step {trainer.state.global_step // trainer.updates} "
            f"of {trainer.state.max_steps // trainer.updates}"
        )
    policy.save(trainer, prompts, folder, dtype)


STAGE = Stage("grpo", settings, inputs, work)
