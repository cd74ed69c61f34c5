"""A blend lies between two models, weight by weight, to the bit; the oracle is numpy in float32.

Run: python -m pytest tests/training/test_blending.py
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from pipelines import sft
from rft.bundled import bundled
from rft.model_folders.content import MARK, content_digest
from rft.processes.stopping import Stop
from rft.recipe import Model
from rft.recipe.loading import load_recipe
from rft.runs import stages
from rft.runs.folder import Run, open_run
from rft.runs.models import ModelRef, new_model_folder, resolve
from rft.runs.stages import Job
from rft.training.blending import write_blend
from tests.recipe_files import refusal

TINY = bundled("data") / "tiny"
SIZE = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "vocab_size": 30}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 32}


def small_model(folder: Path, seed: int, dtype: str = "float32", tied: bool = False) -> ModelRef:
    torch.manual_seed(seed)
    config = LlamaConfig(**SIZE, **HEADS, tie_word_embeddings=tied, pad_token_id=0)
    with new_model_folder(folder) as scratch:
        LlamaForCausalLM(config).to(getattr(torch, dtype)).save_pretrained(scratch)
        for path in TINY.glob("tokenizer*"):
            shutil.copyfile(path, scratch / path.name)
        (scratch / "special.json").write_text(json.dumps({"of": folder.name}))
    return resolve(Model(path=str(folder)))


def blended(folder: Path, anchor: ModelRef, trained: ModelRef, delta: float) -> dict:
    with new_model_folder(folder) as scratch:
        write_blend(scratch, anchor, trained, delta)
    return load_file(folder / "model.safetensors")


def between(anchor: torch.Tensor, trained: torch.Tensor, delta: float) -> np.ndarray:
    a, t = anchor.float().numpy(), trained.float().numpy()
    return a + np.float32(delta) * (t - a)


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Round to the nearest number of 16 bits, to the even one of two."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("tied", [False, True])
def test_each_weight_is_computed_in_float32_and_rounded_once(tmp_path, dtype, tied):
    anchor = small_model(tmp_path / "anchor", 1, dtype, tied)
    trained = small_model(tmp_path / "trained", 2, dtype, tied)
    new = blended(tmp_path / "new", anchor, trained, 0.3)
    ends = [load_file(Path(each.path) / "model.safetensors") for each in (anchor, trained)]
    assert new.keys() == ends[1].keys()
    assert ("lm_head.weight" in new) != tied
    for name, weight in new.items():
        wanted = between(ends[0][name], ends[1][name], 0.3)
        if dtype == "bfloat16":
            wanted = to_bfloat16(wanted)
        assert str(weight.dtype) == f"torch.{dtype}"
        assert np.array_equal(weight.float().numpy(), wanted), name


def test_all_but_the_weights_is_the_trained_models(tmp_path):
    anchor, trained = (small_model(tmp_path / name, n) for n, name in enumerate("at"))
    blended(tmp_path / "new", anchor, trained, 0.5)
    kept = [path.name for path in (tmp_path / "t").iterdir() if path.name != MARK]
    assert sorted(kept) == sorted(p.name for p in (tmp_path / "new").iterdir() if p.name != MARK)
    for name in set(kept) - {"model.safetensors"}:
        assert (tmp_path / "new" / name).read_bytes() == (tmp_path / "t" / name).read_bytes()


def test_what_training_has_not_moved_stays_to_the_bit(tmp_path):
    one = small_model(tmp_path / "one", 1)
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    other = resolve(Model(path=str(tmp_path / "other")))
    new = blended(tmp_path / "new", one, other, 0.7)
    for name, weight in load_file(tmp_path / "one" / "model.safetensors").items():
        assert torch.equal(weight, new[name])


def changed(finished: Path, folder: Path, *overrides: str) -> Run:
    """Take a copy of a run whose recipe is another."""
    run = open_run(Path(shutil.copytree(finished, folder)))
    recipe = load_recipe(str(run.path / "recipe.yaml"), overrides)
    return Run(run.path, recipe)


def trained_again(run: Run) -> tuple[dict, list[str]]:
    said: list[str] = []
    stages.perform(Job(run, sft.STAGE, 1, Stop(), said.append))
    made = run.manifest("sft", 1)
    assert made is not None
    return made, said


def weights(folder: Path) -> dict:
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


@pytest.mark.parametrize("anchor", ["parent", "base"])
def test_the_stage_blends_the_model_that_plain_training_gives(tmp_path, finished, anchor):
    plain = open_run(finished).manifest("sft", 1)
    blend = f"sft.blend={{delta: 0.25, anchor: {anchor}}}"
    run = changed(finished, tmp_path / "run", blend)
    assert not stages.is_current(sft.STAGE, run, 1)
    made, said = trained_again(run)
    assert made["blend"]["trained"] == plain["outputs"]["model"]["digest"]
    assert made["losses"] == plain["losses"]
    assert any("0.25 of the way" in line for line in said)
    new, start = weights(run.model_folder(1)), weights(TINY)
    for name, end in weights(finished / "models/model-0001").items():
        assert np.array_equal(new[name].numpy(), between(start[name], end, 0.25)), name
    assert made["outputs"]["model"]["digest"] == content_digest(run.model_folder(1))
    assert stages.is_current(sft.STAGE, run, 1)


def test_a_delta_of_1_is_plain_training_and_its_key(tmp_path, finished):
    run = changed(finished, tmp_path / "run", "sft.blend=1")
    assert stages.is_current(sft.STAGE, run, 1)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sft.blend=0", "sft.blend is 0, and should be greater than 0"),
        ("sft.blend=1.5", "sft.blend is 1.5, and should be at most 1"),
        ("sft.blend=true", "sft.blend is true, and should be a mapping"),
        ("sft.blend={delta: 0.5, anchor: first}", 'sft.blend.anchor is "first"'),
    ],
)
def test_a_blend_that_makes_no_model_of_its_own_is_refused(override, words):
    assert words in refusal(override)
