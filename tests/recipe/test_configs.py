"""Shipped recipes: each loads anywhere, says what it costs, and marks what it owes to the paper."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from pipelines.perform import check_recipe
from rft import bundled as bundled_module
from rft.bundled import bundled
from rft.engines.vllm_start import refuse
from rft.errors import RFTError
from rft.exploration.compose import plugins_of
from rft.recipe import Holdout, Source
from rft.recipe.loading import (
    dump,
    load_recipe,
    recipe_names,
    recipe_text,
    settings_differences,
)
from rft.training.arguments import check_trainer_arguments
from tests.command import ROOT

NAMES = recipe_names()
PAPER = "qwen2.5-32b-still3"

# design.md section 7, but for the keys that nothing reads yet.
QUICKSTART = {
    "seed": 0,
    "rounds": 2,
    "parts": {},
    "model": {
        "path": "bundled:tiny",
        "revision": None,
        "trust_remote_code": False,
        "allow_pickle": False,
    },
    "prompt": {
        "style": "chat",
        "system": None,
        "template": "{question}\nPut your final answer within \\boxed{{}}.",
        "few_shot": None,
        "stop": [],
        "end": "auto",
        "chat_kwargs": {},
    },
    "grade": {"verifier": "math", "deadline": 5, "verdicts": None},
    "filter": {"no_box": {}, "no_digit": {}, "redundant": {"threshold": 0.31}, "duplicate": {}},
    "score": {"micro_batch": "auto"},
    "sample": {
        "problems": 256,
        "order": "shuffled",
        "n": 8,
        "until": None,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": 128,
        "statistics": {"entropy": True, "branching": True, "mass": 0.95},
    },
    "select": {
        "by": "branching",
        "budget": 512,
        "noise": 0.05,
        "noise_by": "random",
        "verdicts": "correct",
        "strata": "length",
        "within": None,
        "diverse": False,
        "per_problem": 4,
        "difficulty": None,
        "where": None,
    },
    "sft": {
        "start": "previous",
        "data": "round",
        "objective": {"nll": {}},
        "epochs": 2,
        "batch": 32,
        "micro_batch": "auto",
        "learning_rate": 2e-4,
        "schedule": "constant",
        "warmup": 0,
        "max_length": 512,
        "packing": False,
        "lora": None,
        "blend": None,
        "bf16": "auto",
        "save_every": 20,
        "args": {},
    },
    "evaluate": {
        "n": 16,
        "k": [1, 2, 4, 8, 16],
        "dev_n": 4,
        "test": "every_round",
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": 128,
        "reference": {},
    },
    "grpo": None,
    "gate": {
        "on": "dev",
        "metric": ["pass@1", "pass@4"],
        "level": 0.05,
        "entropy_floor": 0.5,
    },
    "compare": None,
    "keep": {"models": "all", "optimizer": False},
    "track": "none",
    "stop": None,
    "notify": None,
}


def test_the_recipes_of_this_release_are_there() -> None:
    assert set(NAMES) >= {
        "grpo-entropy",
        "grpo-position",
        "grpo-ppl",
        "grpo-quickstart",
        "gsm8k-0.5b-t4",
        "gsm8k-math-1.5b-24gb",
        "math-7b-24gb",
        "math-7b-80gb",
        "quickstart",
        PAPER,
        "smoke",
        "smollm2-135m",
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_recipe_survives_being_written_and_read_back(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    written = tmp_path / "resolved.yaml"
    written.write_text(dump(recipe))
    again = load_recipe(str(written))
    assert again == recipe
    # Equal is not enough: 5 == 5.0, but the two have different digests.
    assert dump(again) == dump(recipe)
    assert settings_differences(recipe, again) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_header_names_card_hours_tokens_and_disk(name: str) -> None:
    header = recipe_text(name).split("\n\n")[0]
    for word in ("card", "hours", "tokens", "disk"):
        assert re.search(rf"^# {word}: +\S", header, re.MULTILINE), f"{name} lacks {word}"


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_that_uses_a_split_to_decide_has_one(name: str) -> None:
    prepare = load_recipe(name).prepare
    if prepare.dev is None:
        assert load_recipe(name).gate is None
    for split in ("train", "test"):
        assert all(source.split for source in prepare.benchmarks(split).values())


def test_quickstart_has_the_values_of_the_design() -> None:
    recipe = load_recipe("quickstart")
    resolved = recipe.model_dump(mode="json")
    assert {key: resolved[key] for key in QUICKSTART} == QUICKSTART
    assert set(resolved) == {*QUICKSTART, "prepare", "engine"}
    train, dev, test = (recipe.prepare.benchmarks(split) for split in ("train", "dev", "test"))
    assert train == {"train": Source(source="bundled:arithmetic", split="train")}
    assert dev == {"dev": Source(source="bundled:arithmetic", split="dev", limit=100)}
    assert test == {"test": Source(source="bundled:arithmetic", split="test", limit=100)}
    engine = recipe.engine
    assert (engine.kind, engine.workers, engine.max_model_len) == ("transformers", "auto", None)
    assert engine.args == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_recipe_passes_every_check_that_needs_neither_model_nor_data(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(name)
    check_recipe(recipe)
    # What the machine lacks may refuse it, and nothing else.
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    check_trainer_arguments(recipe)
    for split in ("train", "dev", "test"):
        for source in recipe.prepare.benchmarks(split).values():
            assert source.source.startswith(("bundled:", "hub:"))
    if recipe.engine.kind == "vllm":
        refuse(recipe.engine.args)


def test_smoke_is_as_small_as_the_kill_tests_need() -> None:
    recipe = load_recipe("smoke")
    assert recipe.prepare.benchmarks("train")["train"].limit == 16
    assert recipe.prepare.benchmarks("test")["test"].limit == 8
    assert (recipe.sample.problems, recipe.sample.n, recipe.rounds) == (16, 4, 1)
    assert (recipe.evaluate.n, recipe.evaluate.k) == (4, (1, 2, 4))
    assert recipe.prepare.dev is None
    assert recipe.gate is None
    quickstart = load_recipe("quickstart")
    assert recipe.model == quickstart.model
    assert recipe.prompt == quickstart.prompt


def test_the_paper_recipe_has_the_papers_numbers() -> None:
    recipe = load_recipe(PAPER)
    assert recipe.model.path == "Qwen/Qwen2.5-32B"
    assert recipe.filter == {"no_box": {}, "no_digit": {}, "redundant": {"threshold": 0.31}}
    assert list(recipe.filter) == ["no_box", "no_digit", "redundant"]
    select, sft, evaluate = recipe.select, recipe.sft, recipe.evaluate
    assert (select.by, select.budget, select.noise) == ("branching", 1100, 0.05)
    assert (sft.max_length, sft.batch, sft.learning_rate) == (20_000, 32, 1e-5)
    assert sft.lora is None
    assert evaluate.n == {"aime24": 128, "amc23": 64, "minerva": 64}
    assert evaluate.k == (1, 2, 4, 8, 16, 32, 64)
    assert (evaluate.temperature, evaluate.top_p) == (0.6, 0.95)
    assert recipe.sample.statistics.mass == 0.95
    assert recipe.gate is None


def _value_lines(node: yaml.Node) -> Iterator[int]:
    """List the line of each leaf: a scalar, a list, or an empty mapping."""
    if isinstance(node, yaml.MappingNode) and node.value:
        for _, value in node.value:
            yield from _value_lines(value)
    else:
        yield node.start_mark.line


def test_each_value_of_the_paper_recipe_is_marked_once_as_the_papers_or_ours() -> None:
    text = recipe_text(PAPER)
    lines = text.splitlines()
    root = yaml.compose(text, yaml.SafeLoader)
    assert root is not None
    values = list(_value_lines(root))
    assert len(values) == len(set(values)), "two values share a line, hence a mark"
    for number in values:
        assert len(re.findall(r"# (paper|ours)\b", lines[number])) == 1, lines[number]
    marked = [n for n, line in enumerate(lines) if re.search(r"\S.*# (paper|ours)\b", line)]
    assert marked == sorted(values), "a mark without a value"


def test_the_online_recipes_have_the_papers_numbers() -> None:
    made = {}
    for name in ("grpo-entropy", "grpo-ppl", "grpo-position"):
        recipe = load_recipe(name)
        grpo = recipe.grpo
        assert grpo is not None
        made[name] = {plugin.name: plugin for plugin in plugins_of(grpo)}
        assert (grpo.problems, grpo.n, grpo.updates, grpo.max_tokens) == (512, 8, 16, 8192)
        assert (grpo.learning_rate, grpo.warmup, grpo.beta) == (1e-6, 10, 0.0)
        assert grpo.args["weight_decay"] == 0.1
    assert made["grpo-entropy"]["entropy_advantage"].model_dump() == {
        "start": 0,
        "steps": None,
        "alpha": 0.4,
        "kappa": 2.0,
    }
    assert made["grpo-ppl"]["perplexity_advantage"].model_dump()["alpha"] == 0.01
    position = made["grpo-position"]["position_advantage"].model_dump()
    assert (position["start"], position["steps"], position["gamma"]) == (200, 100, 0.1)
    assert (position["d"], position["m"], position["n"]) == (1, 15, 0.5)


@pytest.mark.parametrize("name", ["grpo-entropy", "grpo-ppl", "grpo-position"])
def test_each_value_of_an_online_recipe_is_marked(name: str) -> None:
    text = recipe_text(name)
    section = text[text.index("\ngrpo:\n") :].split("\n\n")[0]
    for line in section.splitlines():
        if re.match(r"\s+\w+: +\S", line):
            assert re.search(r"# (paper|ours|released code)\b", line), line


def test_the_small_cards_recipes_train_adapters_and_hold_out_a_dev_split() -> None:
    for name in ("gsm8k-0.5b-t4", "math-7b-24gb", "math-7b-80gb"):
        recipe = load_recipe(name)
        assert recipe.sft.lora is not None
        assert recipe.prepare.dev == Holdout(holdout=300)
        assert recipe.prepare.holdout == 300
    t4 = load_recipe("gsm8k-0.5b-t4")
    assert (t4.engine.args["dtype"], t4.sft.bf16, t4.sft.args) == ("half", False, {"fp16": True})


def test_the_80gb_recipe_differs_from_the_24gb_one_by_its_card_only() -> None:
    small, large = load_recipe("math-7b-24gb"), load_recipe("math-7b-80gb")
    changed = {key for key, _, _ in settings_differences(small, large)}
    assert changed == {
        "prepare.train.limit",
        "engine.max_model_len",
        "engine.args.gpu_memory_utilization",
        "engine.args.max_num_seqs",
        "sample.problems",
        "sft.micro_batch",
        "sft.lora.r",
        "sft.lora.alpha",
    }


def test_reading_a_recipe_imports_nothing_heavy() -> None:
    heavy = "torch transformers trl datasets vllm ray peft polars pyarrow"
    program = (
        "import sys; from rft.recipe.loading import load_recipe; load_recipe('smoke');"
        f"print(*[name for name in '{heavy}'.split() if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.strip() == ""


def test_every_key_has_a_docstring() -> None:
    sections = {"Section"}
    for path in sorted((Path(bundled_module.__file__).parent / "recipe").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.ClassDef) and "Section" in map(ast.unparse, node.bases)):
                continue
            sections.add(node.name)
            for field, after in pairwise([*node.body, ast.Pass()]):
                if isinstance(field, ast.AnnAssign):
                    assert isinstance(after, ast.Expr), f"{node.name}.{ast.unparse(field)}"
    assert {"Recipe", "Source", "Sft", "Lora", "Until"} <= sections


def test_bundled_prefers_what_the_wheel_carries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rft/_bundled/data").mkdir(parents=True)
    (tmp_path / "configs").mkdir()
    monkeypatch.setattr(bundled_module, "PACKAGE", tmp_path / "rft")
    assert bundled("data") == tmp_path / "rft/_bundled/data"
    assert bundled("configs") == tmp_path / "configs"


def test_bundled_names_both_places_when_neither_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled_module, "PACKAGE", tmp_path / "rft")
    with pytest.raises(RFTError) as caught:
        bundled("configs")
    assert str(tmp_path / "rft/_bundled/configs") in str(caught.value)
    assert str(tmp_path / "configs") in str(caught.value)
