"""Fine-tune on the selected samples with TRL's SFTTrainer: prompt + response + end, nothing else.

Reads selected and rollouts, and the model of the round before; writes model r. Where the recipe
searches for a blend, there are two stages here: `train` learns, `sft` blends as `blend` chose.
"""

import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from rft.errors import Interrupted, RFTError
from rft.grading.answers import answer_box
from rft.grading.verifiers import finds
from rft.model_folders.content import folder_digest, read_mark
from rft.processes.stopping import Stop
from rft.prompt import Prompter, open_prompter
from rft.recipe import Blend, Sft
from rft.recipe.parts import contents
from rft.runs.folder import NotReady, Run
from rft.runs.models import ModelRef, new_model_folder
from rft.runs.stages import Job, Stage
from rft.seeds import derive
from rft.training import policy
from rft.training.blending import anchor_of, parent, trained_at, write_blend
from rft.training.checkpoints import guard, last_checkpoint, silent
from rft.training.curves import NO_CURVES, spare_training, track_into
from rft.training.objectives.apply import objective_of, put_in_place
from rft.training.objectives.nll import Nll
from rft.training.packing import refuse_leaks

# TRL's and transformers' defaults that decide what is learnt; `sft.args` may replace any.
DEFAULTS = policy.DEFAULTS | {"loss_type": "nll"}

# What changes memory and speed but not what is learnt.
EXECUTION = {"micro_batch", "packing", "save_every"}

# What the manifest of a model says of a training that another stage did.
LEARNT = (
    *("model", "roles", "tokens", "learnt_tokens"),
    *("steps", "loss", "losses", "micro_batch"),
)
# What the mark of a model says beside its digest.
ABOUT = ("round", "parent", "end")


def settings(run: Run, round: int) -> dict[str, Any]:
    """List what the new model depends on, data and parent aside."""
    listed = training_settings(run, round)
    if (how := blend_of(run.recipe.sft)) is not None:
        # Of a search only what was chosen counts: it is an input.
        blend = how.model_dump(mode="json", exclude_none=True, exclude={"search", "on"})
        listed["sft"] |= {"blend": blend}
    return listed


def training_settings(run: Run, _round: int) -> dict[str, Any]:
    """List what the trained weights depend on, data and parent aside."""
    recipe = run.recipe
    return {
        "seed": recipe.seed,
        "end": recipe.prompt.end,
        "style": recipe.prompt.style,
        "sft": what_is_learnt(recipe.sft),
        **contents(recipe.parts, "objectives", recipe.sft.objective),
        "defaults": DEFAULTS | {"dtype": policy.training_dtype(recipe.sft.lora)},
    }


def what_is_learnt(sft: Sft) -> dict[str, Any]:
    """List the section's settings that training depends on, with its objective's parameters.

    Plain likelihood is left out, as by runs that were made before there was a choice.
    """
    listed = sft.model_dump(mode="json", exclude=EXECUTION | {"objective", "blend"})
    objective = objective_of(sft)
    if not isinstance(objective, Nll):
        listed["objective"] = {objective.name: objective.model_dump(mode="json")}
    return listed


def blend_of(sft: Sft) -> Blend | None:
    """Give the recipe's blend, unless the new model's weights are the trained ones."""
    return None if sft.blend is None or sft.blend.delta == 1 else sft.blend


def data_rounds(run: Run, round: int) -> list[int]:
    """List the rounds whose selected samples are trained on."""
    return list(range(1, round + 1)) if run.recipe.sft.data == "all" else [round]


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the samples, of the parent model, and of what is blended."""
    digests = training_inputs(run, round)
    if (how := blend_of(run.recipe.sft)) is not None:
        digests["anchor"] = anchor_of(run, round, how).digest
    if run.recipe.searches:
        digests["trained"] = run.output_digest("train", round, "trained")
        digests["delta"] = str(chosen(run, round))
    return digests


def training_inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the samples and of the parent model."""
    digests = {"model": parent(run, round).digest}
    for number in data_rounds(run, round):
        digests[f"selected {number}"] = run.output_digest("select", number, "selected")
        digests[f"rollouts {number}"] = run.output_digest("sample", number, "rollouts")
    return digests


def chosen(run: Run, round: int) -> float:
    """Give the delta that is best on dev."""
    choice = run.manifest("blend", round)
    if choice is None:
        raise NotReady(f"{run.path}: round {round} has no finished `blend`; run that first")
    return float(choice["delta"])


def work(job: Job) -> None:
    """Make model r: train it, and blend it where the recipe says so."""
    run, how, made = job.run, blend_of(job.run.recipe.sft), job.work / "out" / "model"
    if how is None:
        fine_tune(job, made)
    elif how.delta is not None:
        fine_tune(job, job.work / "trained")
        blend(job, how, job.work / "trained", made, how.delta)
    else:
        job.claim()
        learnt = run.manifest("train", job.round)
        assert learnt is not None, "its output is an input"
        job.counts |= learnt["counts"]
        job.notes |= {name: learnt[name] for name in LEARNT}
        blend(job, how, run.folder("trained", job.round), made, chosen(run, job.round))
    job.outputs["model"] = made


def work_of_training(job: Job) -> None:
    """Train what is to be blended."""
    fine_tune(job, job.work / "out" / "trained")
    job.outputs["trained"] = job.work / "out" / "trained"


def fine_tune(job: Job, made: Path) -> None:
    """Train a model, going on from the last whole checkpoint if there is one."""
    run, model = job.run, parent(job.run, job.round)
    policy.first_device()
    prompts = open_prompter(model, run.recipe.prompt, finds(run.recipe.grade))
    rows = pl.concat([samples(run, number) for number in data_rounds(run, job.round)])
    targets = [target(prompts, row) for row in rows.iter_rows(named=True)]
    rows, targets, dropped = without_long(rows, targets, run.recipe.sft.max_length)
    seed = derive(run.recipe.seed, "sft", job.round) % 2**31
    job.claim()
    checkpoints = job.work / "checkpoints"
    trainer = make_trainer(
        run.recipe.sft,
        model=model,
        prompts=prompts,
        targets=targets,
        seed=seed,
        checkpoints=checkpoints,
        stop=job.stop,
        track=track_into(job),
    )
    spare_training(trainer, job.say)
    about = {"round": job.round, "parent": model.digest, "end": prompts.end}
    with new_model_folder(made, **about) as folder:
        dtype = policy.saved_dtype(model)
        figures = train(trainer, prompts, folder, job.stop, dtype=dtype, say=job.say)
        if run.recipe.keep.optimizer and (last := last_checkpoint(checkpoints)):
            shutil.copytree(last, folder / "checkpoint")
    job.counts |= {
        "in": len(rows) + dropped,
        "trained": len(rows),
        "dropped": {"max_length": dropped},
    }
    roles = rows["role"].value_counts().iter_rows()
    job.notes |= {
        "seeds": {"sft": seed},
        "model": model.digest,
        "roles": dict(sorted(roles)),
        "not_correct": len(rows.filter(pl.col("verdict") != "correct", role="positive")),
        "tokens": sum(len(row["input_ids"]) for row in targets),
        "learnt_tokens": sum(sum(row["completion_mask"]) for row in targets),
        **figures,
    }


def blend(job: Job, how: Blend, trained: Path, made: Path, delta: float) -> None:
    """Write the model between the anchor and the one that was trained, and tell of it."""
    end = trained_at(job.run, trained, folder_digest(trained))
    anchor = anchor_of(job.run, job.round, how)
    told = {"delta": delta, "anchor": how.anchor, "trained": end.digest}
    about = {name: value for name, value in (read_mark(trained) or {}).items() if name in ABOUT}
    with new_model_folder(made, **about, blend=told) as folder:
        write_blend(folder, anchor, end, delta)
        if (trained / "checkpoint").is_dir():
            shutil.copytree(trained / "checkpoint", folder / "checkpoint")
    job.notes["blend"] = told
    job.say(f"  blended: {delta:g} of the way from the {how.anchor}'s weights to the trained")


def samples(run: Run, round: int) -> pl.DataFrame:
    """Join the selected rows of a round with the tokens that they were sampled as."""
    selected = run.read("selected", round)
    names = ["rollout_id", "prompt", "token_ids"]
    # Not all of a round's tokens at once, of which most are not trained on.
    rollouts = pl.concat(
        batch.join(selected, on="rollout_id", how="semi")
        for batch in run.batches("rollouts", round, names)
    )
    rows = selected.join(rollouts, on="rollout_id", how="left", validate="1:1")
    assert len(rows) == len(selected), "selected rows were lost in the join"
    if orphans := rows["prompt"].null_count():
        raise RFTError(f"{run.path}: {orphans} selected rows of round {round} have no rollout")
    # The order of the rows is the order of training before the trainer shuffles: fix it.
    return rows.sort("rollout_id").select(
        *("rollout_id", "role", "verdict", "finish_reason"),
        *("prompt", "response", "token_ids", "num_response_tokens"),
    )


def target(prompts: Prompter, row: dict[str, Any]) -> dict[str, list[int]]:
    """Make a training row from the tokens of a sample, or from its text where it has none.

    One that was cut off at the limit, with no answer that it could be trimmed to, did not end: its
    row has no end, which would teach to stop in mid-sentence.
    """
    if row["token_ids"] is not None:
        learnt = row["token_ids"][: row["num_response_tokens"]]
    else:
        learnt = prompts.encode(row["response"])
    ended = row["finish_reason"] != "length" or answer_box(row["response"], prompts.form)
    return prompts.target(prompts.encode(row["prompt"]), learnt, ended=bool(ended))


def without_long(
    rows: pl.DataFrame, targets: list[dict[str, list[int]]], limit: int
) -> tuple[pl.DataFrame, list[dict[str, list[int]]], int]:
    """Leave out and count rows over the limit: cutting them would cut their answer and their end.

    `select` has dropped the ones whose tokens were known; here only recorded text can be too long.
    """
    fits = [len(target["input_ids"]) <= limit for target in targets]
    if not any(fits):
        raise RFTError(
            f"sft.max_length: all {len(targets)} selected rows are longer than {limit} tokens; "
            "raise it"
        )
    kept = [target for target, short in zip(targets, fits, strict=True) if short]
    return rows.filter(pl.Series(fits)), kept, len(targets) - len(kept)


def make_trainer(
    sft: Sft,
    *,
    model: ModelRef,
    prompts: Prompter,
    targets: list[dict[str, list[int]]],
    seed: int,
    checkpoints: Path,
    stop: Stop,
    track: Mapping[str, Any] = NO_CURVES,
) -> Any:
    """Build TRL's trainer, with nothing left to its defaults that decides what is learnt."""
    from datasets import Dataset
    from transformers import PrinterCallback, set_seed
    from trl import SFTConfig, SFTTrainer

    set_seed(seed)
    loaded = policy.load_policy(model, sft.lora)
    micro = policy.micro_batch(sft)
    objective = objective_of(sft)
    ours = {
        "loss_type": objective.loss_type,
        "output_dir": str(checkpoints),
        "num_train_epochs": sft.epochs,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": sft.batch // micro,
        "learning_rate": sft.learning_rate,
        "lr_scheduler_type": policy.schedule(sft.schedule, sft.warmup),
        "warmup_steps": sft.warmup,
        # The samples of a forward pass become one row. TRL's own packing fills rows up from all
        # samples beforehand, and then a batch of 32 rows may hold 300 samples: `batch` would lie.
        "padding_free": sft.packing,
        "packing": False,
        # Without padding TRL cuts nothing, and says so if asked to; nothing is longer by now.
        "max_length": None if sft.packing else sft.max_length,
        "completion_only_loss": True,
        "eos_token": prompts.end,
        **policy.device_arguments(sft.bf16, large=policy.is_large(model, micro * sft.longest)),
        "seed": seed,
        "data_seed": seed,
        "save_strategy": "steps",
        "save_steps": sft.save_every,
        "logging_steps": 1,
        # By default a loss that is not a number is left out of the average, and never seen.
        "logging_nan_inf_filter": False,
        **track,
        "disable_tqdm": True,
    }
    trainer = SFTTrainer(
        model=loaded,
        args=SFTConfig(**(DEFAULTS | ours | sft.args)),
        train_dataset=Dataset.from_list(targets),
        processing_class=prompts.tokenizer,
        peft_config=policy.adapters(sft.lora),
        callbacks=[guard(stop, "sft")],
    )
    trainer.remove_callback(PrinterCallback)
    if sft.packing:
        refuse_leaks(trainer, targets)
    put_in_place(objective, trainer)
    return trainer


def train(
    trainer: Any,
    prompts: Prompter,
    folder: Path,
    stop: Stop,
    *,
    dtype: str,
    say: Callable[[str], None] = silent,
) -> dict[str, Any]:
    """Train, going on from the last whole checkpoint, save a model folder, and report."""
    trainer.train(resume_from_checkpoint=last_checkpoint(Path(trainer.args.output_dir), say))
    step = trainer.state.global_step
    if stop.asked():
        raise Interrupted(f"stopped by {stop.reason} at step {step} of {trainer.state.max_steps}")
    # Not the result's own average, which after a resume is over this call's steps alone.
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if not all(math.isfinite(loss) for loss in losses):
        raise RFTError(f"sft: the loss is not finite within {step} steps; lower sft.learning_rate")
    policy.save(trainer, prompts, folder, dtype)
    return {
        "steps": step,
        "loss": sum(losses) / len(losses),
        "losses": losses,
        "micro_batch": trainer.args.per_device_train_batch_size,
    }


STAGE = Stage("sft", settings, inputs, work)
# Before `blend`, which searches for the best delta by sampling, in another process.
TRAIN = Stage("train", training_settings, training_inputs, work_of_training)
