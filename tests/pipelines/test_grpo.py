"""Pins how the stage `grpo` puts a recipe in TRL's terms: problems, prompts, ends and arguments.

Run: python -m pytest tests/pipelines/test_grpo.py
"""

from itertools import islice
from types import SimpleNamespace

import torch

from pipelines import grpo as stage
from rft.problems.order import problems_of_rounds
from rft.processes.stopping import Stop
from rft.recipe.grpo import OWN_ARGUMENTS
from rft.training import policy
from tests.grpo_training import recipe_for, trainer_for, weights_of


def test_adapters_are_trained_and_merged(tmp_path):
    recipe = recipe_for({"perplexity_advantage": {}}, lora={"r": 4, "alpha": 8.0}, beta=0.05)
    trainer = trainer_for(recipe, tmp_path)
    before = weights_of(trainer)
    (tmp_path / "model").mkdir()
    stage.train(trainer, trainer.prompts, tmp_path / "model", Stop(), dtype="float32")
    assert (tmp_path / "model" / "adapter").is_dir()
    from transformers import AutoModelForCausalLM

    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    base = AutoModelForCausalLM.from_pretrained(recipe.model.path.replace("bundled:", "data/"))
    assert any(
        not torch.equal(a, b) for a, b in zip(merged.parameters(), base.parameters(), strict=True)
    )
    assert before.numel() > sum(p.numel() for p in base.parameters()), "adapters beside the base"


def test_answers_end_at_the_tokens_that_end_them_in_sampling(tmp_path):
    trainer = trainer_for(recipe_for(), tmp_path)
    assert set(trainer.eos_token_ids) == trainer.answers.stop_ids
    assert trainer.prompts.end_id in trainer.eos_token_ids


def test_an_end_that_the_base_names_is_one_too(tmp_path, monkeypatch):
    load = policy.load_policy

    def named(*args):
        policy = load(*args)
        policy.generation_config.eos_token_id = 7
        return policy

    monkeypatch.setattr(policy, "load_policy", named)
    trainer = trainer_for(recipe_for(), tmp_path)
    assert trainer.answers.stop_ids >= {7, trainer.prompts.end_id}
    assert set(trainer.eos_token_ids) == trainer.answers.stop_ids
    assert set(trainer.generation_config.eos_token_id) == trainer.answers.stop_ids


def test_prompts_get_no_special_token_of_trls(tmp_path):
    trainer = trainer_for(recipe_for(), tmp_path)
    text = trainer.train_dataset[0]["prompt"]
    [ids], _, _ = trainer._tokenize_prompts([text])
    assert trainer.prompts.decode(ids) == text
    # Whatever the tokenizer would put before it.
    trainer.prompts = SimpleNamespace(encode=lambda text: [len(text)])
    assert trainer._tokenize_prompts(["four", "three"])[0] == [[4], [5]]


def test_each_step_has_new_problems_until_all_were_used(tmp_path):
    recipe = recipe_for(steps=4)
    trainer = trainer_for(recipe, tmp_path)
    names = trainer.train_dataset["problem_id"]
    ids = sorted(trainer.answers.keys)
    assert sorted(names[:6]) == sorted(names[6:]) == ids
    chosen = list(islice(problems_of_rounds(ids, 3, recipe.seed), 4))
    assert list(names) == [name for step in chosen for name in step]
    assert list(names[:3]) != sorted(names[:3])
    sampler = list(trainer._get_train_sampler())
    assert sampler[:12] == [index for index in range(3) for _ in range(4)]
    assert trainer_for(recipe_for(problems=6), tmp_path / "all").train_dataset.num_rows == 6


def test_a_recipes_steps_are_several_of_trls(tmp_path, monkeypatch):
    monkeypatch.setattr("trl.GRPOConfig", dict)
    settings = {"steps": 5, "updates": 2, "save_every": 3, "warmup": 4, "beta": 0.25, "clip": 0.1}
    settings |= {"temperature": 0.7, "top_p": 0.9, "scale": "none", "args": {"delta": 4.0}}
    given = stage.arguments(recipe_for(**settings), [], 7, tmp_path, longest=100, large=False)
    assert {
        "max_steps": 10,
        "save_steps": 6,
        "warmup_steps": 8,
        "lr_scheduler_type": "constant_with_warmup",
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 3,
        "steps_per_generation": 6,
        "num_iterations": 1,
        "max_completion_length": 24,
        "vllm_max_model_length": 124,
        "seed": 7,
        "data_seed": 7,
        "temperature": 0.7,
        "top_p": 0.9,
        "scale_rewards": "none",
        "beta": 0.25,
        "epsilon": 0.1,
        "epsilon_high": 0.1,
        "delta": 4.0,
        "weight_decay": 0.0,
    }.items() <= given.items()
    # What `grpo.args` may replace; all else is refused there, with the key that decides it.
    free = set(given) - set(OWN_ARGUMENTS) - set(stage.DEFAULTS)
    assert free == {
        "fp16",
        "use_cpu",
        "gradient_checkpointing",
        "dataloader_pin_memory",
        "vllm_max_model_length",
        "logging_nan_inf_filter",
        "disable_tqdm",
    }
