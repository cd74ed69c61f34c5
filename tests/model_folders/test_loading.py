"""Wherever weights are loaded: all of them, no others, and only those of the model's digest.

Run: python -m pytest tests/model_folders/test_loading.py
"""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from rft.bundled import bundled
from rft.engines import vllm
from rft.engines.transformers import Transformers
from rft.errors import RFTError
from rft.model_folders.loading import load_weights
from rft.prompt import load_tokenizer, prompter
from rft.recipe import Model, Prompt
from rft.runs.models import resolve
from rft.token_stats import forward
from rft.training import policy
from tests.faults.cases import DAMAGES

TINY = bundled("data") / "tiny"
NAME = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(TINY, tmp_path / "model")
    return tmp_path / "model"


def ref(folder, **trust):
    return resolve(Model(path=str(folder), **trust))


class Demanded:
    """All that vLLM is asked for, of which only the model is looked at."""

    def __init__(self, model):
        self.model = model


LOADERS = {
    "transformers": lambda model: Transformers(model, prompter(load_tokenizer(TINY), Prompt()), {}),
    "vllm": lambda model: vllm.open_for(Demanded(model), 0),
    "score": forward.load,
    "training": lambda model: policy.load_policy(model, None),
}


@pytest.mark.parametrize("loader", LOADERS)
def test_a_tensor_of_another_name_refuses_the_model_wherever_it_is_loaded(folder, loader):
    DAMAGES["tensor"](folder / "model.safetensors", {"rename": [NAME, "model.up.weight"]})
    with pytest.raises(RFTError, match=f"config.json and the weights are .* lack {NAME}"):
        LOADERS[loader](ref(folder))


@pytest.mark.parametrize("loader", LOADERS)
def test_weights_that_are_not_of_the_digest_are_loaded_nowhere(folder, loader):
    model = ref(folder)
    DAMAGES["flip"](folder / "model.safetensors", {"at": -5})
    with pytest.raises(RFTError, match="not what they were"):
        LOADERS[loader](model)


def test_a_tensor_too_many_refuses_the_model(folder):
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"v_head.weight": torch.ones(2)}, folder / "model.safetensors")
    with pytest.raises(RFTError, match=r"the weights have, beside all it takes, v_head\.weight"):
        load_weights(ref(folder), "auto")


def test_tied_weights_are_no_complaint_whether_they_are_stored_or_not(folder):
    tensors = load_file(folder / "model.safetensors")
    assert "lm_head.weight" not in tensors
    load_weights(ref(folder), "auto")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, folder / "model.safetensors")
    load_weights(ref(folder), "auto")


def test_a_head_that_is_not_tied_has_to_be_there(folder):
    DAMAGES["set"](folder / "config.json", {"key": "tie_word_embeddings", "value": False})
    with pytest.raises(RFTError, match=r"lack lm_head\.weight"):
        load_weights(ref(folder), "auto")


def test_shards_are_loaded_like_one_file(folder):
    whole = load_weights(ref(folder), "auto").state_dict()
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    shards = {"a.safetensors": sorted(tensors)[:20], "b.safetensors": sorted(tensors)[20:]}
    for shard, names in shards.items():
        save_file({name: tensors[name] for name in names}, folder / shard, {"format": "pt"})
    index = {name: shard for shard, names in shards.items() for name in names}
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": index})
    )
    loaded = load_weights(ref(folder), "auto").state_dict()
    assert all(torch.equal(loaded[name], whole[name]) for name in whole)


def test_pickled_weights_are_loaded_where_the_recipe_allows_them(folder):
    tensors = load_file(folder / "model.safetensors")
    whole = load_weights(ref(folder), "auto").state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(RFTError, match=r"model\.allow_pickle: true"):
        ref(folder)
    loaded = load_weights(ref(folder, allow_pickle=True), "auto").state_dict()
    assert all(torch.equal(loaded[name], whole[name]) for name in whole)
    tensors["model.up.weight"] = tensors.pop(NAME)
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(RFTError, match=f"lack {NAME}"):
        load_weights(ref(folder, allow_pickle=True), "auto")


def test_of_weights_of_both_kinds_only_safetensors_are_read(folder):
    (folder / "pytorch_model.bin").write_bytes(b"no pickle at all")
    load_weights(ref(folder, allow_pickle=True), "auto")


def test_a_quantised_model_is_left_to_the_package_that_reads_it(folder):
    how = {"quant_method": "gptq", "bits": 4}
    DAMAGES["set"](folder / "config.json", {"key": "quantization_config", "value": how})
    with pytest.raises(RFTError, match="the model does not load"):
        load_weights(ref(folder), "auto")
