"""Recipes: what cannot work is refused in one line that names place, key, value and remedy."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from rft.recipe import Recipe, Source
from rft.recipe.loading import dump, load_recipe, settings_differences
from tests.recipe_files import MINIMAL, minimal, refusal, written

# -- the tree -------------------------------------------------------------------------------------


def test_the_smallest_recipe_needs_only_what_costs_or_decides(tmp_path: Path) -> None:
    recipe = load_recipe(minimal(tmp_path))
    assert (recipe.seed, recipe.rounds, recipe.gate) == (0, 1, None)
    assert (recipe.select.noise, recipe.sft.lora, recipe.engine.kind) == (0, None, "transformers")


def test_a_recipe_is_frozen() -> None:
    recipe = load_recipe("smoke")
    with pytest.raises(ValueError, match="frozen"):
        recipe.sample.n = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {
            "prompt": {
                "template": "on\n\t{question} 1e5: \u221a2 #",
                "stop": ["no", "1e5", "~", "\n"],
            }
        },
        {"prompt": {"few_shot": [{"question": "1+1", "answer": "\\boxed{2}"}]}},
        {"model": {"path": "1e5"}},
        {"model": {"path": "010", "revision": "true"}},
        {"engine": {"kind": "server", "url": "http://off", "served_model": "off"}},
        {
            "sft": {
                "learning_rate": 1e-7,
                "max_length": 9,
                "args": {"a": [1, {"b": None}], "on": "3"},
            }
        },
        {"filter": {"z": None, "a": {"x": 1}, "m": {}}},
        {"select": {"by": "random", "budget": 3, "where": "pass_rate < 0.5"}},
        {"evaluate": {"n": {"test": 4}, "k": [1], "max_tokens": 3}},
    ],
)
def test_awkward_values_survive_dump_and_load(tmp_path: Path, change: dict[str, Any]) -> None:
    recipe = load_recipe(minimal(tmp_path, **change))
    again = load_recipe(written(tmp_path, dump(recipe), "again.yaml"))
    assert again == recipe
    assert list(again.filter) == list(recipe.filter)
    assert dump(again) == dump(recipe)


def test_rules_keep_their_order_and_nothing_is_no_parameters(tmp_path: Path) -> None:
    text = yaml.safe_dump({key: MINIMAL[key] for key in MINIMAL if key != "filter"})
    recipe = load_recipe(written(tmp_path, text + "filter:\n  too_long:\n  no_box:\n  a: {}\n"))
    assert recipe.filter == {"too_long": {}, "no_box": {}, "a": {}}
    assert list(recipe.filter) == ["too_long", "no_box", "a"]


def test_unknown_rules_are_left_to_the_command_line(tmp_path: Path) -> None:
    assert "no_such_rule" in load_recipe(minimal(tmp_path, filter={"no_such_rule": {}})).filter


# -- sources --------------------------------------------------------------------------------------


def test_one_source_is_named_after_its_split_and_many_keep_name_and_order(tmp_path: Path) -> None:
    many = {"zeta": {"source": "z.jsonl"}, "alpha": {"source": "hub:a/b", "split": "test"}}
    prepare = {"train": {"source": "t.parquet"}, "dev": None, "test": many}
    recipe = load_recipe(minimal(tmp_path, prepare=prepare))
    assert recipe.prepare.benchmarks("train") == {"train": Source(source="t.parquet")}
    assert list(recipe.prepare.benchmarks("test")) == ["zeta", "alpha"]
    assert recipe.prepare.benchmarks("dev") == {}
    assert recipe.prepare.holdout is None


def test_a_holdout_is_no_benchmark_of_its_own() -> None:
    recipe = load_recipe("quickstart", ["prepare.dev={holdout: 30}"])
    assert recipe.prepare.holdout == 30
    assert recipe.prepare.benchmarks("dev") == {}


def test_benchmarks_may_be_called_source_or_holdout() -> None:
    value = "{source: {source: a.jsonl}, holdout: {source: b.jsonl}}"
    recipe = load_recipe("quickstart", [f"prepare.test={value}"])
    assert list(recipe.prepare.benchmarks("test")) == ["source", "holdout"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{source: openai/gsm8k}", "write hub:openai/gsm8k, or ./openai/gsm8k for a file"),
        ("{source: 'hub:'}", "write hub:org/name"),
        ("{source: 'hub:a/b/c', split: x}", "write hub:org/name"),
        ("{source: 'bundled:../x', split: x}", "write bundled:NAME"),
        ("{source: 'hub:a/b'}", "hub:a/b needs a split"),
        ("{source: a.jsonl, limit: 0}", "prepare.train.limit is 0, and should be at least 1"),
        ("{source: a.jsonl, gold_reader: box}", "'plain', 'gsm8k', 'boxed' or 'tests'"),
        (
            "{source: a.jsonl, columns: {qestion: q}}",
            'did you mean "prepare.train.columns.question"?',
        ),
        ("{m: {source: a.jsonl, sorce: 1}}", 'did you mean "prepare.train.m.source"?'),
        (
            "{sorce: a.jsonl}",
            'unknown key "prepare.train.sorce"; did you mean "prepare.train.source"?',
        ),
        ("{a.b: {source: x.jsonl}}", '"a.b" is no benchmark name'),
        ("{}", "prepare.train.source is missing"),
        ("[a]", '"a" names no benchmark; there are aime24, '),
        ("[1]", "prepare.train is [1], and should be a source or name -> source"),
        ("null", "prepare.train is null, and should be a source or name -> source"),
        ("{holdout: 3}", "prepare.train"),
    ],
)
def test_a_source_that_is_none_is_refused(value: str, words: str) -> None:
    assert words in refusal(f"prepare.train={value}")


def test_a_holdout_beside_a_source_is_refused() -> None:
    text = refusal("prepare.dev.holdout=30")
    assert (
        "prepare.dev: holdout stands alone, taken out of train; remove source, split, limit" in text
    )


# -- what cannot work -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["sample.temperature=0"], "sample: temperature is 0 and n is 8"),
        (["evaluate.temperature=0"], "evaluate: temperature is 0 and n is 16"),
        (["evaluate={n: 1, k: [1], max_tokens: 9, temperature: 0}"], "evaluate.dev_n is 4"),
        (
            ["sample.temperature=0", "sample.n=1", "sample.until={accepted: 1, max: 8, wave: 2}"],
            "until.max is 8",
        ),
        (["sample.temperature=-1"], "sample.temperature is -1, and should be at least 0"),
        (["evaluate.k=[1, 32]"], "k has 32 and n is 16, but Pass@k needs at least k samples"),
        (["evaluate.n={test: 8}"], "k has 16 and n.test is 8"),
        (["evaluate.k=[]"], "evaluate.k is [], and should have at least 1 item"),
        (["evaluate.k=[0, 1]"], "evaluate.k.0 is 0, and should be at least 1"),
        (["evaluate.k=[2, 1]"], "evaluate: k is [2, 1]; list each k once, rising"),
        (["evaluate.k=[1, 1]"], "evaluate: k is [1, 1]; list each k once, rising"),
        (["evaluate.k=4"], "evaluate.k is 4, and should be a list"),
        (["evaluate.n={}"], "evaluate.n lacks the benchmark test"),
        (["evaluate.n={test: 16, tset: 16}"], "prepare.test has no benchmark 'tset'; it has test"),
        (["evaluate.n=0"], "evaluate.n is 0, and should be at least 1"),
        (["evaluate.reference={gsm8k: 68.5}"], "evaluate.reference.gsm8k: prepare.test has no"),
        (["evaluate.reference={test: 0.685}"], "write percent, 68.5"),
        (["evaluate.reference={test: 101}"], "should be at most 100"),
        (["select.noise=1.5"], "select.noise is 1.5, and should be at most 1"),
        (["select.noise=-0.1"], "select.noise is -0.1, and should be at least 0"),
        (["select.budget=0"], "select.budget is 0, and should be at least 1"),
        (["select.difficulty=[0.1, 0.9]"], "select.where: 0.1 <= pass_rate <= 0.9"),
        (["select.difficulty=[0]"], "select.difficulty is [0], and should be 'proportional'"),
        (["select.by=brancing"], "'random', 'entropy', 'branching' or 'perplexity'"),
        (["rounds=-1"], "rounds is -1, and should be at least 0"),
        (["sample.n=0"], "sample.n is 0, and should be at least 1"),
        (["sample.top_p=0"], "sample.top_p is 0, and should be greater than 0"),
        (["sample.top_p=1.1"], "sample.top_p is 1.1, and should be at most 1"),
        (["sample.statistics.mass=1"], "sample.statistics.mass is 1, and should be less than 1"),
        (["sample.statistics.mass=0"], "sample.statistics.mass is 0, and should be greater than 0"),
        (
            ["sample.until={accepted: 4, max: 2, wave: 1}"],
            "sample.until: max is 2, less than accepted",
        ),
        (["prepare.dev=null"], "gate decides on the dev split, and prepare.dev is null"),
        (["prepare.dev={holdout: 0}"], "prepare.dev.holdout is 0, and should be at least 1"),
        (["gate.on=test"], "gate.on is \"test\", and should be 'dev'"),
        (["gate.metric=pass@8"], "gate.metric has pass@8 and evaluate.dev_n is 4"),
        (["gate.metric=[pass@1, pass@8]"], "gate.metric has pass@8 and evaluate.dev_n is 4"),
        (["gate.metric=accuracy"], 'gate.metric: it names "accuracy"; a metric is pass@K or'),
        (["gate.metric=[pass@1, pass@0]"], 'gate.metric: it names "pass@0"; a metric is pass@K'),
        (["gate.metric=[pass@1, pass@1]"], "list each metric once"),
        (["gate.metric=[]"], "gate.metric is [], and should have at least 1 item"),
        (["gate.metric=5"], "gate.metric is 5, and should be a list"),
        (["gate.level=0.5"], "gate.level is 0.5, and should be at most 0.2"),
        (["gate.entropy_floor=1"], "gate.entropy_floor is 1, and should be less than 1"),
        (
            ["gate.metric=entropy", "sample.statistics.entropy=false", "select.by=random"],
            "gate.metric has entropy and sample.statistics.entropy is false",
        ),
        (["sft.max_length=0"], "sft.max_length is 0, and should be at least 1"),
        (["sft.micro_batch=3"], "sft: batch is 32, no multiple of the 3 samples"),
        (["sft.warmup=1.5"], "sft: warmup is 1.5; give whole steps, or a share below 1"),
        (["sft.args.deepspeed=zero3.json"], "the sft stage trains on one; remove it"),
        (
            ["sft.args={fp16: true}"],
            "args.fp16 and bf16 (auto) exclude each other; set bf16: false",
        ),
        (["engine.kind=replay"], "engine: kind: replay needs path; add it"),
        (["engine.kind=server"], "engine: kind: server needs url; add it"),
        (["engine.url=http://x/v1"], "for kind: server only, and kind is transformers"),
        (["engine.runner=v1"], "for kind: vllm only, and kind is transformers"),
        (["engine={kind: server, url: 'localhost:8000/v1'}"], "begins with http://"),
        (["engine.args.max_model_len=9"], "has a key of its own; set engine.max_model_len"),
        (["engine.max_model_len=128"], "sample.max_tokens is 128 and engine.max_model_len is 128"),
        (["engine.workers=0"], "engine.workers is 0, and should be at least 1 or 'auto'"),
        (["prompt.template=What?"], "prompt: template must hold {question} exactly once"),
        (["prompt.template='{question} {question}'"], "exactly once"),
        (["prompt.stop=['']"], 'prompt.stop.0 is "", and should have at least 1 character'),
        (["model.path=''"], 'model.path is "", and should have at least 1 character'),
        (["track=wandbb"], "'none', 'trackio', 'wandb' or 'tensorboard'"),
        (["seed=-1"], "seed is -1, and should be at least 0"),
    ],
)
def test_what_cannot_work_together_is_refused(overrides: list[str], words: str) -> None:
    assert words in refusal(*overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["sample.temperature=0", "sample.n=1"],
        ["select.noise=0"],
        ["select.noise=1"],
        ["rounds=0"],
        ["sample.until={accepted: 4, max: 32, wave: 8}"],
        ["evaluate.k=[16]"],  # above dev_n: left out on dev, not refused
        ["gate=null", "prepare.dev=null", "evaluate={n: 1, k: [1], max_tokens: 9, temperature: 0}"],
        ["gate.metric=pass@4"],
        ["gate.metric=[entropy, pass@2]"],
        ["sft.max_length=8"],  # shorter than max_tokens: such rows are dropped by name
        ["sft.batch=48", "sft.micro_batch=24"],
        ["sft.bf16=false", "sft.args={fp16: true}"],
        ["sft.warmup=0.1"],
        ["engine={kind: replay, path: runs/old}"],
        ["engine={kind: server, url: http://localhost:8000/v1}"],
        ["select.difficulty=proportional"],
        ["prompt.style=raw", "prompt.system=Think."],
        ["sft.lora={r: 8, alpha: 16, targets: [q_proj]}"],
    ],
)
def test_what_can_work_is_accepted(overrides: list[str]) -> None:
    load_recipe("quickstart", overrides)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("max_length", "set sft.max_length instead"),
        ("learning_rate", "set sft.learning_rate instead"),
        ("num_train_epochs", "set sft.epochs instead"),
        ("per_device_train_batch_size", "set sft.micro_batch instead"),
        ("gradient_accumulation_steps", "set sft.batch instead"),
        ("packing", "set sft.packing instead"),
        ("seed", "set seed instead"),
        ("bf16", "set sft.bf16 instead"),
        ("lr_scheduler_type", "set sft.schedule instead"),
        ("warmup_steps", "set sft.warmup instead"),
        ("warmup_ratio", "set sft.warmup instead"),
        ("save_steps", "set sft.save_every instead"),
        ("report_to", "set track instead"),
        ("eos_token", "set prompt.end instead"),
        ("output_dir", "remove it"),
        ("completion_only_loss", "remove it"),
        ("resume_from_checkpoint", "remove it"),
        ("hub_token", "remove it"),
    ],
)
def test_trainer_arguments_that_the_stage_sets_are_refused(name: str, advice: str) -> None:
    text = refusal(f"sft.args.{name}=1")
    assert f"sft: args.{name} is set by the sft stage itself; {advice}" in text


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sample.n=eight", 'sample.n is "eight", and should be a whole number'),
        ("sample.n=8.0", "sample.n is 8.0, and should be a whole number"),
        ("sample.n=true", "sample.n is true, and should be a whole number"),
        ("sample.n='8'", 'sample.n is "8", and should be a whole number'),
        ("sample.n=null", "sample.n is null, and should be a whole number"),
        ("sample.temperature=hot", 'sample.temperature is "hot", and should be a number'),
        ("sample.temperature=true", "sample.temperature is true, and should be a number"),
        ("sft.packing=yes", 'sft.packing is "yes", and should be true or false'),
        ("sft.bf16=on", "sft.bf16 is \"on\", and should be true or false or 'auto'"),
        ("model=some/model", 'model is "some/model", and should be a mapping'),
        ("filter=[no_box]", 'filter is ["no_box"], and should be a mapping'),
        ("filter.redundant=0.31", "filter.redundant is 0.31, and should be a mapping"),
        ("model.path=[a]", 'model.path is ["a"], and should be a text'),
        ("evaluate.n=[3]", "evaluate.n is [3], and should be a whole number or a mapping"),
    ],
)
def test_a_wrong_type_names_key_value_and_what_is_expected(override: str, words: str) -> None:
    text = refusal(override)
    assert text.startswith(f"--set {override}: ")
    assert words in text


def test_a_long_value_is_shown_in_part() -> None:
    assert len(refusal(f"sample.n={'x' * 5000}")) < 5200  # the override itself, and little more
    assert "..." in refusal(f"sample.n={'x' * 5000}")


# -- differences, and what is not built -----------------------------------------------------------


def test_differences_are_dotted_and_tell_both_values() -> None:
    old = load_recipe("quickstart")
    new = load_recipe(
        "quickstart",
        [
            "sample.n=4",
            "gate=null",
            "filter={no_box: {}, redundant: {threshold: 0.5}, no_digit: {}}",
        ],
    )
    assert settings_differences(old, new) == [
        ("sample.n", 8, 4),
        ("filter.redundant.threshold", 0.31, 0.5),
        ("filter.duplicate", {}, None),
        ("gate", old.model_dump(mode="json")["gate"], None),
        (
            "filter",
            ["no_box", "no_digit", "redundant", "duplicate"],
            ["no_box", "redundant", "no_digit"],
        ),
    ]
    assert settings_differences(old, old) == []


def test_a_first_and_a_null_argument_are_differences() -> None:
    old = load_recipe("smoke")
    new = load_recipe("smoke", ["sft.args.x=", "sft.lora={r: 1, alpha: 2}"])
    assert settings_differences(old, new) == [
        ("sft.lora", None, {"r": 1, "alpha": 2.0, "targets": "all-linear"}),
        ("sft.args.x", None, None),
    ]


def test_reordered_rules_are_a_difference() -> None:
    old = load_recipe("smoke", ["filter={a: , b: }"])
    new = load_recipe("smoke", ["filter={b: , a: }"])
    assert settings_differences(old, new) == [("filter", ["a", "b"], ["b", "a"])]


def test_what_nothing_reads_is_an_unknown_key_even_where_it_would_change_nothing() -> None:
    override = "sft.launch={strategy: ddp}"
    assert refusal(override).startswith(f'--set {override}: unknown key "{override.split("=")[0]}')


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("stop={}", "stop: it limits nothing; give rounds, hours"),
        ("stop={hours: 0}", "stop.hours is 0, and should be greater than 0"),
        ("stop={tokens: 2.5}", "stop.tokens is 2.5, and should be a whole number"),
        ("stop={token: 9}", 'unknown key "stop.token"; did you mean "stop.tokens"?'),
        ("stop={plateau: {metric: entropy}}", 'stop.plateau.metric: "entropy" is no metric'),
        ("stop={plateau: {metric: pass@8}}", "stop.plateau.metric is pass@8 and evaluate.dev_n is"),
    ],
)
def test_limits_that_cannot_end_a_run_are_refused(override: str, line: str) -> None:
    assert line in refusal(override)


def test_a_plateau_needs_a_dev_split() -> None:
    assert "prepare.dev is null; set stop.plateau to null" in refusal(
        "stop={plateau: {}}", recipe="smoke"
    )


def test_a_recipe_can_be_built_in_code_from_its_own_dump() -> None:
    recipe = load_recipe("quickstart")
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_a_budget_of_tokens_may_be_written_as_people_do() -> None:
    stop = load_recipe("smoke", ["stop={tokens: 5e7}"]).stop
    assert stop is not None
    assert stop.tokens == 50_000_000
