"""Fine-tune on the selected samples with TRL's SFTTrainer: prompt + response + end, nothing else.

Reads selected and rollouts, and the model of the round before; writes model r.
"""

import math
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from rft.errors import Interrupted, RFTError
from rft.models import ModelRef, base_model, model_before, new_model_folder
from rft.progress import Progress
from rft.prompt import Prompter, load_tokenizer, prompter
from rft.recipe import Sft
from rft.seeds import derive
from rft.stages import Job, Stage
from rft.stopping import Stop
from rft.store import Run

if TYPE_CHECKING:
    from transformers import TrainerCallback

# Written into a checkpoint after all of its files: resume ignores the ones without.
COMPLETE = "rft-complete"

# TRL's and transformers' defaults that decide what is learnt, by name: an upgrade must not change
# them behind a key's back. `sft.args` may replace any.
DEFAULTS = {
    "optim": "adamw_torch_fused",
    "weight_decay": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "loss_type": "nll",
    "packing_strategy": "bfd",
    "dataloader_drop_last": False,
}

# What changes memory and speed but not what is learnt.
EXECUTION = {"micro_batch", "save_every", "launch"}


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what the new model depends on, data and parent aside."""
    recipe = run.recipe
    return {
        "seed": recipe.seed,
        "end": recipe.prompt.end,
        "style": recipe.prompt.style,
        "sft": recipe.sft.model_dump(mode="json", exclude=EXECUTION),
        "defaults": DEFAULTS | {"dtype": training_dtype(recipe.sft)},
    }


def training_dtype(sft: Sft) -> str:
    """Name the precision of the weights in training.

    A bfloat16 weight is a multiple of steps far wider than an update at 1e-5: trained in it, 19 of
    20 weights never move. So all that is trained is float32, and computed in bfloat16 where asked.
    """
    return "float32" if sft.lora is None else "auto"


def data_rounds(run: Run, round: int) -> list[int]:
    """List the rounds whose selected samples are trained on."""
    return list(range(1, round + 1)) if run.recipe.sft.data == "all" else [round]


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the samples and of the parent model."""
    found = {"model": parent(run, round).digest}
    for number in data_rounds(run, round):
        found[f"selected {number}"] = run.output_digest("select", number, "selected")
        found[f"rollouts {number}"] = run.output_digest("sample", number, "rollouts")
    return found


def parent(run: Run, round: int) -> ModelRef:
    """Refer to the model that training starts from."""
    return base_model(run) if run.recipe.sft.start == "base" else model_before(run, round)


def work(job: Job) -> None:
    """Train model r, going on from the last whole checkpoint if there is one."""
    run, model = job.run, parent(job.run, job.round)
    first_device()
    prompts = prompter(load_tokenizer(model.path, **model.options), run.recipe.prompt)
    rows = pl.concat([samples(run, number) for number in data_rounds(run, job.round)])
    targets = [target(prompts, row) for row in rows.iter_rows(named=True)]
    rows, targets, dropped = without_long(rows, targets, run.recipe.sft.max_length)
    seed = derive(run.recipe.seed, "sft", job.round) % 2**31
    _same_work(job)
    checkpoints = job.work / "checkpoints"
    trainer = make_trainer(
        run.recipe.sft,
        model=model,
        prompts=prompts,
        targets=targets,
        seed=seed,
        checkpoints=checkpoints,
        stop=job.stop,
        track=run.recipe.track,
    )
    about = {"round": job.round, "parent": model.digest, "end": prompts.end}
    with new_model_folder(job.work / "out" / "model", **about) as folder:
        figures = train(trainer, prompts, folder, job.stop, dtype=saved_dtype(model))
        if run.recipe.keep.optimizer and (last := last_checkpoint(checkpoints)):
            shutil.copytree(last, folder / "checkpoint")
    job.outputs["model"] = job.work / "out" / "model"
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
        "tokens": sum(len(row["input_ids"]) for row in targets),
        "learnt_tokens": sum(sum(row["completion_mask"]) for row in targets),
        **figures,
    }


def samples(run: Run, round: int) -> pl.DataFrame:
    """Join the selected rows of a round with the tokens that they were sampled as."""
    selected = run.read("selected", round)
    rollouts = run.read("rollouts", round, ["rollout_id", "prompt", "token_ids"])
    rows = selected.join(rollouts, on="rollout_id", how="left", validate="1:1")
    assert len(rows) == len(selected), "selected rows were lost in the join"
    if orphans := rows["prompt"].null_count():
        raise RFTError(f"{run.path}: {orphans} selected rows of round {round} have no rollout")
    # The order of the rows is the order of training before the trainer shuffles: fix it.
    return rows.sort("rollout_id").select(
        "rollout_id", "role", "prompt", "response", "token_ids", "num_response_tokens"
    )


def target(prompts: Prompter, row: dict[str, Any]) -> dict[str, list[int]]:
    """Make a training row from the tokens of a sample, or from its text where it has none."""
    if row["token_ids"] is not None:
        learnt = row["token_ids"][: row["num_response_tokens"]]
    else:
        learnt = prompts.encode(row["response"])
    return prompts.target(prompts.encode(row["prompt"]), learnt)


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


def first_device() -> None:
    """Show the trainer one GPU only: TRL refuses several without a launcher."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = "0" if visible is None else visible.split(",")[0]


def _same_work(job: Job) -> None:
    """Forget checkpoints of other settings or data."""
    mark = job.work / "key"
    if not mark.is_file() or mark.read_text() != job.key:
        job.run.put_away([job.work])
        job.work.mkdir(parents=True)
        mark.write_text(job.key)


def make_trainer(
    sft: Sft,
    *,
    model: ModelRef,
    prompts: Prompter,
    targets: list[dict[str, list[int]]],
    seed: int,
    checkpoints: Path,
    stop: Stop,
    track: str = "none",
) -> Any:
    """Build TRL's trainer, with nothing left to its defaults that decides what is learnt."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, PrinterCallback, set_seed
    from trl import SFTConfig, SFTTrainer

    set_seed(seed)
    loaded = AutoModelForCausalLM.from_pretrained(
        model.path, dtype=training_dtype(sft), **model.options
    )
    make_savable(loaded)
    cuda = torch.cuda.is_available()
    micro = micro_batch(sft)
    bf16 = (
        cuda and torch.cuda.is_bf16_supported(including_emulation=False)
        if sft.bf16 == "auto"
        else sft.bf16
    )
    ours = {
        "output_dir": str(checkpoints),
        "num_train_epochs": sft.epochs,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": sft.batch // micro,
        "learning_rate": sft.learning_rate,
        "lr_scheduler_type": schedule(sft),
        "warmup_steps": sft.warmup,
        "max_length": sft.max_length,
        "packing": sft.packing,
        "completion_only_loss": True,
        "eos_token": prompts.end,
        "bf16": bf16,
        "fp16": False,
        "use_cpu": not cuda,
        "gradient_checkpointing": cuda,
        "seed": seed,
        "data_seed": seed,
        "save_strategy": "steps",
        "save_steps": sft.save_every,
        "logging_steps": 1,
        # By default a loss that is not a number is left out of the average, and never seen.
        "logging_nan_inf_filter": False,
        "report_to": track,
        "dataloader_pin_memory": cuda,
        "disable_tqdm": True,
    }
    trainer = SFTTrainer(
        model=loaded,
        args=SFTConfig(**(DEFAULTS | ours | sft.args)),
        train_dataset=Dataset.from_list(targets),
        processing_class=prompts.tokenizer,
        peft_config=_lora(sft),
        callbacks=[_callback(stop)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def train(
    trainer: Any, prompts: Prompter, folder: Path, stop: Stop, *, dtype: str
) -> dict[str, Any]:
    """Train, going on from the last whole checkpoint, save a model folder, and report."""
    trainer.train(resume_from_checkpoint=last_checkpoint(Path(trainer.args.output_dir)))
    step = trainer.state.global_step
    if stop.asked():
        raise Interrupted(f"stopped by {stop.reason} at step {step} of {trainer.state.max_steps}")
    # Not the result's own average, which after a resume is over this call's steps alone.
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if not all(math.isfinite(loss) for loss in losses):
        raise RFTError(f"sft: the loss is not finite within {step} steps; lower sft.learning_rate")
    save(trainer, prompts, folder, dtype)
    return {
        "steps": step,
        "loss": sum(losses) / len(losses),
        "losses": losses,
        "micro_batch": trainer.args.per_device_train_batch_size,
    }


def schedule(sft: Sft) -> str:
    """Name the schedule as transformers does, whose plain `constant` would ignore a warm-up."""
    return "constant_with_warmup" if sft.schedule == "constant" and sft.warmup else sft.schedule


def micro_batch(sft: Sft) -> int:
    """Choose how many rows go through the model at once; the batch is a multiple of it."""
    micro = sft.micro_batch
    if micro == "auto":
        # Within 16k padded tokens, which a 24 GB card and a laptop both take.
        fit = max(1, 16384 // sft.max_length)
        micro = max(
            size for size in range(1, sft.batch + 1) if sft.batch % size == 0 and size <= fit
        )
    return int(micro)


def saved_dtype(model: ModelRef) -> str:
    """Name the precision that a model is stored in."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model.path, **model.options).get_text_config()
    return str(config.dtype or "float32").removeprefix("torch.")


def make_savable(model: Any) -> None:
    """Mend a base whose generation config contradicts itself, and so cannot be saved."""
    try:
        model.generation_config.validate(strict=True)
    except ValueError:
        model.generation_config.do_sample = True


def _lora(sft: Sft) -> Any:
    if sft.lora is None:
        return None
    from peft import LoraConfig

    targets = sft.lora.targets
    return LoraConfig(
        r=sft.lora.r,
        lora_alpha=sft.lora.alpha,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )


def _callback(stop: Stop) -> "TrainerCallback":
    """Mark whole checkpoints, and save one and leave when a stop was asked for."""
    from transformers import TrainerCallback

    class Guard(TrainerCallback):
        def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            self.progress = Progress("sft, steps", state.max_steps, state.global_step)

        def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
            newest = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (newest / COMPLETE).touch()
            for older in set(newest.parent.glob("checkpoint-*")) - {newest}:
                shutil.rmtree(older)

        def on_step_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
            self.progress.advance(1)
            if stop.asked():
                control.should_save = True
                control.should_training_stop = True

        def on_train_end(self, *_: Any, **__: Any) -> None:
            self.progress.close()

    return Guard()


def last_checkpoint(folder: Path) -> str | None:
    """Find the last whole checkpoint, and remove torn ones."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        if (path / COMPLETE).exists():
            whole.append(path)
        else:
            shutil.rmtree(path)
    return str(max(whole, key=lambda p: int(p.name.rpartition("-")[2]))) if whole else None


def save(trainer: Any, prompts: Prompter, folder: Path, dtype: str) -> None:
    """Save weights (LoRA merged, its adapter beside), tokenizer and generation config."""
    import torch

    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        model.save_pretrained(folder / "adapter")
        model = model.merge_and_unload()
    eos = getattr(model.generation_config, "eos_token_id", None)
    others = [] if eos is None else eos if isinstance(eos, list) else [eos]
    stops = list(dict.fromkeys([prompts.end_id, *others]))
    model.generation_config.eos_token_id = stops if len(stops) > 1 else stops[0]
    # The trainer turns the cache off for itself, and trains in float32; the model is as its base.
    model.config.use_cache = True
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer = prompts.tokenizer
    tokenizer.eos_token = prompts.end
    tokenizer.save_pretrained(folder)


STAGE = Stage("sft", settings, inputs, work)
