"""Pins how large a model is: read from its files, without its weights and without a network.

Run: python -m pytest tests/estimates/test_model_size.py
"""

import json
import shutil
import time

import pytest

from rft.bundled import bundled
from rft.estimates.model_size import find_model, shape_of
from rft.recipe import Model


def test_the_bundled_models_shape_is_that_of_the_model_itself():
    from transformers import AutoModelForCausalLM

    size = find_model(Model(path="bundled:tiny"))
    model = AutoModelForCausalLM.from_pretrained(bundled("data") / "tiny", dtype="float32")
    shape = size.shape
    parameters = sum(each.numel() for each in model.parameters())
    # The file has a header, hence a little more.
    assert parameters <= shape.parameters < 1.02 * parameters
    assert (shape.layers, shape.hidden, shape.longest) == (4, 128, 512)
    out = model(input_ids=model.dummy_inputs["input_ids"], use_cache=True)
    rows, tokens = model.dummy_inputs["input_ids"].shape
    cached = sum(layer.keys.numel() + layer.values.numel() for layer in out.past_key_values.layers)
    assert shape.kv_values == cached // (rows * tokens)


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_config_that_is_none_is_an_error(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    size = find_model(Model(path=str(tmp_path)))
    assert (size.shape, size.level) == (None, "error")
    assert size.trouble.startswith(f"{tmp_path / 'config.json'}: ")


def test_a_config_that_tells_nothing_is_a_warning_and_no_crash(tmp_path):
    shutil.copytree(bundled("data") / "tiny", tmp_path / "model")
    config = json.loads((tmp_path / "model/config.json").read_text())
    config["num_hidden_layers"] = "many"
    (tmp_path / "model/config.json").write_text(json.dumps(config))
    size = find_model(Model(path=str(tmp_path / "model")))
    assert (size.shape, size.level) == (None, "warn")
    assert size.trouble.isprintable()


def test_layers_without_a_cache_do_not_count(tmp_path):
    config = {"num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 4, "head_dim": 32}
    config |= {"layer_types": ["linear_attention", "full_attention"] * 2, "dtype": "bfloat16"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"0" * 1000)
    assert shape_of(tmp_path).kv_values == 2 * 2 * 4 * 32


def test_a_size_that_each_layer_has_of_its_own_is_the_largest(tmp_path):
    config = {"num_hidden_layers": 3, "hidden_size": 64, "intermediate_size": [96, 128, 128]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"0" * 1000)
    assert shape_of(tmp_path).wide == 128


def test_an_unfinished_download_counts_as_its_index_says(tmp_path):
    (tmp_path / "config.json").write_text('{"dtype": "bfloat16"}')
    index = {"metadata": {"total_size": 5000}, "weight_map": {"a": "1.safetensors", "b": "2"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "1.safetensors").write_bytes(b"0" * 1000)
    assert shape_of(tmp_path).weights == 5000


def test_a_hub_model_that_is_not_here_costs_no_network_and_no_time(monkeypatch):
    import socket

    def refuse(*_, **__):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    began = time.monotonic()
    size = find_model(Model(path="nobody/has-this-one"))
    assert time.monotonic() - began < 5
    assert (size.shape, size.level) == (None, "warn")
    assert "not on this machine" in size.trouble
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert find_model(Model(path="nobody/has-this-one")).level == "error"


def test_a_model_in_the_cache_is_found_at_its_revision(tmp_path, monkeypatch):
    home = tmp_path / "models--org--name"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("c" * 40)
    snapshot = home / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text('{"dtype": "bfloat16"}')
    (snapshot / "model.safetensors").write_bytes(b"0" * 64)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert find_model(Model(path="org/name")).shape.weights == 64
    assert find_model(Model(path="org/name", revision="other")).shape is None


@pytest.mark.parametrize("path", ["./nowhere", "/nowhere/at/all", "bundled:none"])
def test_a_folder_that_is_not_there_is_an_error(path):
    size = find_model(Model(path=path))
    assert size.level == "error"
    assert "is not a folder" in size.trouble or "is not bundled" in size.trouble
