"""SFT learns response + end, once and nothing else, by the real trainer; a kill costs no digit."""

import json
import shutil

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from pipelines import sft
from rft.bundled import bundled
from rft.errors import Interrupted, RFTError
from rft.model_folders.content import MARK, content_digest
from rft.processes.stopping import Stop
from rft.prompt import load_tokenizer, prompter
from rft.recipe import Model, Prompt, Sft
from rft.recipe.loading import load_recipe
from rft.runs.models import ModelRef, new_model_folder, resolve
from rft.training import policy
from rft.training.arguments import check_trainer_arguments

TINY = bundled("data") / "tiny"
MODEL = resolve(Model(path="bundled:tiny"))
ANSWERS = [f"{n} + {n} = {2 * n}. The answer is $\\boxed{{{2 * n}}}$." for n in range(12)]


def settings(**changes) -> Sft:
    basic = {"epochs": 1, "batch": 4, "learning_rate": 3e-4, "max_length": 128, "save_every": 1}
    return Sft.model_validate(basic | changes)


def rows(prompts) -> list[dict]:
    asked = prompts.encode(prompts.render("What is it?"))
    return [prompts.target(asked, prompts.encode(answer)) for answer in ANSWERS]


def build(tmp_path, stop=None, style="chat", targets=None, model=MODEL, **changes):
    prompts = prompter(load_tokenizer(TINY), Prompt(style=style))
    trainer = sft.make_trainer(
        settings(**changes),
        model=model,
        prompts=prompts,
        targets=targets or rows(prompts),
        seed=7,
        checkpoints=tmp_path / "checkpoints",
        stop=stop or Stop(),
    )
    return trainer, prompts


@pytest.mark.parametrize("style", ["chat", "raw"])
@pytest.mark.parametrize("packing", [False, True])
def test_decoded_labels_are_response_and_end_exactly_once(tmp_path, style, packing):
    trainer, prompts = build(tmp_path, style=style, packing=packing)
    learnt = []
    for batch in trainer.get_train_dataloader():
        for labels in batch["labels"]:
            kept = [int(token) for token in labels if token != -100]
            learnt += prompts.decode(kept).split(prompts.end)[:-1]
            assert kept[-1] == prompts.end_id
            assert len(prompts.decode(kept).split(prompts.end)) - 1 == kept.count(prompts.end_id)
    assert sorted(learnt) == sorted(ANSWERS)


@pytest.mark.parametrize("lora", [None, {"r": 4, "alpha": 8}])
def test_packed_samples_teach_what_they_teach_alone(tmp_path, lora):
    """The oracle is the training without packing: the same samples in the same steps."""
    learnt = {}
    for packing in (False, True):
        trainer, prompts = build(tmp_path / str(packing), packing=packing, micro_batch=2, lora=lora)
        for batch in trainer.get_train_dataloader():
            assert len(batch["input_ids"]) == (1 if packing else 2)
        with new_model_folder(tmp_path / str(packing) / "model") as folder:
            figures = sft.train(trainer, prompts, folder, Stop(), dtype="float32")
        learnt[packing] = figures, weights(tmp_path / str(packing) / "model")
    (plain, apart), (packed, together) = learnt[False], learnt[True]
    # 12 samples, 4 a step: packing makes neither fewer steps nor larger ones.
    assert plain["steps"] == packed["steps"] == 3
    assert packed["losses"] == pytest.approx(plain["losses"], rel=1e-5)
    moved = max(float((apart[k] - v).abs().max()) for k, v in weights(TINY).items())
    between = max(float((apart[k] - together[k]).abs().max()) for k in apart)
    assert between < 0.01 * moved


def test_rows_over_the_limit_are_left_out_and_counted_and_never_cut():
    targets = [{"input_ids": [1] * n, "completion_mask": [1] * n} for n in (130, 128, 5)]
    frame = pl.DataFrame({"rollout_id": ["long", "fits", "short"]})
    rows, kept, dropped = sft.without_long(frame, targets, 128)
    assert rows["rollout_id"].to_list() == ["fits", "short"]
    assert kept == targets[1:]
    assert dropped == 1
    with pytest.raises(RFTError, match=r"sft\.max_length: all 3 selected rows are longer than 4"):
        sft.without_long(frame, targets, 4)


def half_precision_base(folder) -> ModelRef:
    """Store the bundled model in bfloat16."""
    AutoModelForCausalLM.from_pretrained(TINY).bfloat16().save_pretrained(folder)
    load_tokenizer(TINY).save_pretrained(folder)
    return resolve(Model(path=str(folder)))


def test_an_adapter_is_merged_in_float32_and_rounded_once(tmp_path):
    model = half_precision_base(tmp_path / "base")
    trainer, prompts = build(
        tmp_path, model=model, lora={"r": 4, "alpha": 6}, learning_rate=1e-3, epochs=2
    )
    with new_model_folder(tmp_path / "model") as folder:
        sft.train(trainer, prompts, folder, Stop(), dtype=policy.saved_dtype(model))
    adapter = load_file(tmp_path / "model" / "adapter" / "adapter_model.safetensors")
    before = load_file(tmp_path / "base" / "model.safetensors")
    after = load_file(tmp_path / "model" / "model.safetensors")
    adapted, twice = set(), 0
    for name, a in adapter.items():
        if ".lora_A." not in name:
            continue
        b = adapter[name.replace(".lora_A.", ".lora_B.")]
        assert a.dtype == b.dtype == torch.float32
        weight = name.removeprefix("base_model.model.").replace(".lora_A.", ".")
        assert before[weight].dtype == after[weight].dtype == torch.bfloat16
        update = 6 / 4 * (b @ a)
        once = (before[weight].float() + update).bfloat16()
        assert torch.equal(after[weight], once), weight
        # Merged in bfloat16 the update is rounded by itself first, and the sum again.
        twice += int((before[weight] + update.bfloat16() != once).sum())
        adapted.add(weight)
    assert adapted
    assert twice > 0
    assert all(torch.equal(after[name], before[name]) for name in before.keys() - adapted)


def test_a_half_precision_base_is_trained_in_float32_and_stored_as_it_came(tmp_path):
    model = half_precision_base(tmp_path / "base")
    trainer, prompts = build(tmp_path, model=model, learning_rate=1e-5, epochs=2)
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    assert policy.saved_dtype(model) == "bfloat16"
    with new_model_folder(tmp_path / "model") as folder:
        sft.train(trainer, prompts, folder, Stop(), dtype="bfloat16")
    assert json.loads((tmp_path / "model/config.json").read_text())["dtype"] == "bfloat16"
    trainer.model.float()
    frozen = sum(
        int((value == before[name]).sum()) for name, value in trainer.model.named_parameters()
    )
    total = sum(value.numel() for value in before.values())
    assert frozen < 0.97 * total  # the steps were taken in float32, then rounded once on saving


def test_a_base_with_sampling_flags_but_no_sampling_can_be_trained_and_saved(tmp_path):
    base = tmp_path / "base"
    shutil.copytree(TINY, base)
    config = json.loads((base / "generation_config.json").read_text())
    (base / "generation_config.json").write_text(json.dumps(config | {"temperature": 0.6}))
    prompts = prompter(load_tokenizer(base), Prompt())
    trainer = sft.make_trainer(
        settings(),
        model=resolve(Model(path=str(base))),
        prompts=prompts,
        targets=rows(prompts),
        seed=7,
        checkpoints=tmp_path / "checkpoints",
        stop=Stop(),
    )
    with new_model_folder(tmp_path / "model") as folder:
        sft.train(trainer, prompts, folder, Stop(), dtype="float32")
    assert json.loads((tmp_path / "model/config.json").read_text())["use_cache"] is True


def weights(folder) -> dict:
    return {
        k: v.clone() for k, v in AutoModelForCausalLM.from_pretrained(folder).state_dict().items()
    }


@pytest.mark.parametrize("lora", [None, {"r": 4, "alpha": 8}])
def test_activations_that_are_too_large_are_computed_twice_to_the_same_bit(
    tmp_path, monkeypatch, lora
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    learnt = {}
    for most in (1e9, 0):
        monkeypatch.setattr("rft.estimates.model_size.MOST_KEPT", most)
        trainer, prompts = build(tmp_path / str(most), lora=lora)
        assert trainer.args.gradient_checkpointing is (most == 0)
        with new_model_folder(tmp_path / str(most) / "model") as folder:
            sft.train(trainer, prompts, folder, Stop(), dtype="float32")
        learnt[most] = weights(tmp_path / str(most) / "model")
    assert all(torch.equal(learnt[0][name], value) for name, value in learnt[1e9].items())


def test_a_model_of_unknown_size_is_trained_all_the_same(tmp_path):
    (tmp_path / "config.json").write_text('{"hidden_size": 8, "num_attention_heads": 2}')
    assert not policy.is_large(ModelRef(str(tmp_path), ""), 10**9)
    assert policy.is_large(MODEL, 10**9)


def test_training_resumed_after_a_stop_ends_with_the_same_weights(tmp_path):
    whole, prompts = build(tmp_path / "whole", epochs=2)
    with new_model_folder(tmp_path / "a") as folder:
        sft.train(whole, prompts, folder, Stop(), dtype="float32")
    stop = Stop()
    broken, prompts = build(tmp_path / "broken", stop, epochs=2)

    class AtStepTwo(sft_callback()):
        def on_step_begin(self, _args, state, _control, **_):
            if state.global_step == 2:
                stop.since, stop.reason = 0.0, "TERM"

    broken.add_callback(AtStepTwo())
    with pytest.raises(Interrupted, match="step 3 of 6"):
        sft.train(broken, prompts, tmp_path / "never", stop, dtype="float32")
    torn = tmp_path / "broken" / "checkpoints" / "checkpoint-5"
    torn.mkdir()  # no mark: a kill in the middle of saving
    resumed, prompts = build(tmp_path / "broken", epochs=2)
    with new_model_folder(tmp_path / "b") as folder:
        sft.train(resumed, prompts, folder, Stop(), dtype="float32")
    assert content_digest(tmp_path / "a") == content_digest(tmp_path / "b")


@pytest.mark.parametrize("name", ["optimizer.pt", "model.safetensors", "trainer_state.json"])
def test_training_goes_back_to_the_last_whole_checkpoint_to_the_same_weights(tmp_path, name):
    whole, prompts = build(tmp_path / "whole")
    with new_model_folder(tmp_path / "a") as folder:
        sft.train(whole, prompts, folder, Stop(), dtype="float32")
    damaged = tmp_path / "whole/checkpoints/checkpoint-3" / name
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 0xFF]))
    resumed, prompts = build(tmp_path / "whole")
    said: list[str] = []
    with new_model_folder(tmp_path / "b") as folder:
        sft.train(resumed, prompts, folder, Stop(), dtype="float32", say=said.append)
    assert content_digest(tmp_path / "a") == content_digest(tmp_path / "b")
    assert [name in line for line in said] == [True]
    assert resumed.state.global_step == 3


def sft_callback():
    from transformers import TrainerCallback

    return TrainerCallback


def test_the_model_folder_is_complete_and_ends_where_its_targets_end(tmp_path):
    trainer, prompts = build(tmp_path)
    with new_model_folder(tmp_path / "model", round=1) as folder:
        figures = sft.train(trainer, prompts, folder, Stop(), dtype="float32")
    model = tmp_path / "model"
    assert figures["steps"] == 3
    assert json.loads((model / MARK).read_text())["digest"] == content_digest(model)
    generation = json.loads((model / "generation_config.json").read_text())
    assert generation["eos_token_id"][0] == prompts.end_id
    again = prompter(load_tokenizer(model), Prompt())
    assert again.tokenizer.eos_token == "<|im_end|>" == again.end
    assert again.render("1 + 1?") == prompts.render("1 + 1?")
    text = "1 + 1 = 2. \\boxed{2}$. x"
    assert again.encode(text) == prompts.encode(text)
    assert json.loads((model / "config.json").read_text())["dtype"] == "float32"


def test_lora_is_merged_for_sampling_with_the_adapter_beside(tmp_path):
    trainer, prompts = build(tmp_path, lora={"r": 4, "alpha": 8}, learning_rate=1e-2)
    with new_model_folder(tmp_path / "model") as folder:
        sft.train(trainer, prompts, folder, Stop(), dtype="float32")
    before, after = weights(TINY), weights(tmp_path / "model")
    assert before.keys() == after.keys()
    assert any((before[name] != after[name]).any() for name in before)
    assert (tmp_path / "model" / "adapter" / "adapter_model.safetensors").is_file()


def test_any_key_of_sftconfig_can_be_passed_and_a_wrong_one_is_one_line(tmp_path):
    trainer, _ = build(tmp_path, args={"max_grad_norm": 0.5, "optim": "sgd"})
    assert trainer.args.max_grad_norm == 0.5
    check_trainer_arguments(load_recipe("smoke", ["sft.args={max_grad_norm: 0.5}"]))
    for recipe, maker in (("smoke", "sft"), ("grpo-quickstart", "grpo")):
        wrong = load_recipe(recipe, [f"{maker}.args={{max_gard_norm: 0.5}}"])
        with pytest.raises(RFTError, match=f'{maker}.args.*did you mean "max_grad_norm"'):
            check_trainer_arguments(wrong)


def test_a_loss_that_is_not_finite_ends_the_round(tmp_path):
    trainer, prompts = build(tmp_path, learning_rate=1e6, epochs=2, args={"max_grad_norm": 1e30})
    with pytest.raises(RFTError, match=r"lower sft\.learning_rate"):
        sft.train(trainer, prompts, tmp_path / "model", Stop(), dtype="float32")
