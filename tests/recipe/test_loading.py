"""Recipe files: names, typos, overrides, extends and YAML end in a recipe or in one line."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from rft.bundled import bundled
from rft.errors import RFTError, nearest
from rft.recipe import Source
from rft.recipe.loading import dump, load_recipe, recipe_names, recipe_text, rooted
from tests.recipe_files import MINIMAL, minimal, refusal, written

# -- typos ----------------------------------------------------------------------------------------


def test_a_misspelled_section_is_named_with_file_and_nearest_key(tmp_path: Path) -> None:
    changed = {("sampel" if key == "sample" else key): MINIMAL[key] for key in MINIMAL}
    changed["sampel"] = {"n": 4, "problems": 10, "max_tokens": 64}
    path = written(tmp_path, yaml.safe_dump(changed, sort_keys=False))
    assert refusal(recipe=path) == f'{path}: unknown key "sampel.n"; did you mean "sample.n"?'


@pytest.mark.parametrize(
    ("override", "guess"),
    [
        ("sampel.n=4", '"sample.n"'),
        ("sample.temprature=1", '"sample.temperature"'),
        ("select.per_probelm=1", '"select.per_problem"'),
        ("temprature=1", '"sample.temperature"'),
        ("max_tokens=1", '"sample.max_tokens" or "evaluate.max_tokens"'),
        ("sft.lora={r: 4, alpha: 3, target: x}", '"sft.lora.targets"'),
        ("evaluate.k_values=3", '"evaluate.'),
    ],
)
def test_a_misspelled_override_suggests_the_full_key(override: str, guess: str) -> None:
    text = refusal(override)
    assert "unknown key" in text
    assert f"did you mean {guess}" in text


def test_a_key_like_no_other_is_answered_with_those_there_are() -> None:
    assert "the keys here are models, optimizer" in refusal("keep.xyzzy=1")


def test_a_misspelled_key_within_a_list_is_found() -> None:
    text = refusal("prompt.few_shot=[{question: a, anser: b}]")
    assert 'unknown key "prompt.few_shot.0.anser"; did you mean "prompt.few_shot.0.answer"?' in text


def test_only_the_first_problem_is_told_and_the_others_counted(tmp_path: Path) -> None:
    path = minimal(tmp_path, seed="a", rounds="b", zzz=3)
    assert refusal(recipe=path).endswith("(and 2 more)")
    assert 'unknown key "zzz"' in refusal(recipe=path)


def test_missing_keys_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "model: {path: x}\n")
    assert refusal(recipe=path).startswith(f"{path}: prepare is missing; add it")


# -- overrides ------------------------------------------------------------------------------------


def test_overrides_are_yaml_and_the_last_one_wins() -> None:
    recipe = load_recipe(
        "quickstart",
        [
            "sample.n=2",
            "sample.n=4",
            "sft.learning_rate=1e-5",
            "evaluate.k=[1, 2]",
            "filter.redundant.threshold=0.5",
            "sft.args.weight_decay=0.1",
            "prompt.system=",
            "prompt.template='{question} = ?'",
            "sft.lora.r=8",
            "sft.lora.alpha=16",
            "engine.args.x=a=b",
        ],
    )
    assert (recipe.sample.n, recipe.sft.learning_rate, recipe.evaluate.k) == (4, 1e-5, (1, 2))
    assert recipe.filter["redundant"] == {"threshold": 0.5}
    assert recipe.sft.args == {"weight_decay": 0.1}
    assert (recipe.prompt.system, recipe.prompt.template) == (None, "{question} = ?")
    assert recipe.sft.lora is not None
    assert (recipe.sft.lora.r, recipe.sft.lora.alpha) == (8, 16)
    assert recipe.engine.args == {"x": "a=b"}


def test_an_override_replaces_a_mapping_wholly() -> None:
    recipe = load_recipe("quickstart", ["filter={no_digit: }", "prepare.dev={holdout: 5}"])
    assert recipe.filter == {"no_digit": {}}
    assert recipe.prepare.holdout == 5


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sample.n", "--set sample.n: write a key, = and a value, such as --set sample.n=4"),
        ("=4", "write a key, = and a value"),
        ("sample.=4", "write a key, = and a value"),
        (".n=4", "write a key, = and a value"),
        ("sample.n=[", "--set sample.n=[: not valid YAML: "),
        ("sample.n=1\n---\n2", "not valid YAML"),
        ("seed.x=1", "seed is 0, which has no keys; set seed itself"),
        ("evaluate.k.x=1", "evaluate.k is [1, 2, 4, 8, 16], which has no keys"),
        ("extends=smoke", "extends is for recipe files"),
        ("sample.n=!!python/name:os.system x", "is not for recipes"),
        ("sample.n=!!int '3'", "the tag tag:yaml.org,2002:int is not for recipes"),
        ("sample={n: 1, n: 2}", 'key "n" is given twice'),
    ],
)
def test_an_override_that_is_none_is_refused(override: str, words: str) -> None:
    with pytest.raises(RFTError) as caught:
        load_recipe("quickstart", [override])
    assert words in str(caught.value)


def test_a_clash_made_by_an_override_names_it_beside_the_file() -> None:
    text = refusal("sample.top_p=0.9", "sample.temperature=0", "rounds=1")
    assert text.startswith("quickstart with --set sample.top_p=0.9 --set sample.temperature=0: ")


# -- extends --------------------------------------------------------------------------------------


def test_an_extending_recipe_merges_sections_key_by_key(tmp_path: Path) -> None:
    path = written(tmp_path, "extends: quickstart\nsample: {n: 2}\nsft: {lora: {r: 4, alpha: 8}}\n")
    recipe, base = load_recipe(path), load_recipe("quickstart")
    assert recipe.sample == base.sample.model_copy(update={"n": 2})
    assert recipe.sft.learning_rate == base.sft.learning_rate
    assert recipe.sft.lora is not None


def test_null_scalar_and_list_replace(tmp_path: Path) -> None:
    path = written(tmp_path, "extends: quickstart\ngate: null\nevaluate: {n: 2, k: [2]}\n")
    recipe = load_recipe(path)
    assert recipe.gate is None
    assert (recipe.evaluate.n, recipe.evaluate.k) == (2, (2,))


def test_rules_sources_and_free_mappings_replace_wholly(tmp_path: Path) -> None:
    base = load_recipe("quickstart", ["sft.args={weight_decay: 0.1}", "evaluate.n={test: 16}"])
    written(tmp_path, dump(base), "base.yaml")
    path = written(
        tmp_path,
        "extends: ./base.yaml\n"
        "filter: {too_long: {}, no_box: {}}\n"
        "prepare: {train: {source: mine.jsonl}, test: {mine: {source: mine.jsonl}}}\n"
        "sft: {args: {optim: sgd}}\n"
        "evaluate: {n: {mine: 16}}\n",
    )
    recipe = load_recipe(path)
    assert list(recipe.filter) == ["too_long", "no_box"]
    assert recipe.prepare.benchmarks("train") == {"train": Source(source="mine.jsonl")}
    assert list(recipe.prepare.benchmarks("test")) == ["mine"]
    assert recipe.prepare.dev == base.prepare.dev
    assert recipe.sft.args == {"optim": "sgd"}
    assert recipe.evaluate.n == {"mine": 16}


def test_a_base_is_looked_for_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    minimal(tmp_path)
    path = written(tmp_path / "sub", "extends: ../mine.yaml\nseed: 7\n")
    assert load_recipe(path).seed == 7


def test_a_second_level_is_refused_with_the_way_out(tmp_path: Path) -> None:
    written(tmp_path, "extends: smoke\n", "one.yaml")
    path = written(tmp_path, "extends: one.yaml\n", "two.yaml")
    text = refusal(recipe=path)
    assert "extends one.yaml, which itself extends smoke; one level is allowed" in text


def test_a_recipe_cannot_extend_itself(tmp_path: Path) -> None:
    path = written(tmp_path, "extends: mine.yaml\n")
    assert "one level is allowed" in refusal(recipe=path)


@pytest.mark.parametrize("value", ["3", "null", "[smoke]"])
def test_extends_must_name_a_recipe(tmp_path: Path, value: str) -> None:
    path = written(tmp_path, f"extends: {value}\n")
    assert "give a recipe's name or path" in refusal(recipe=path)


def test_a_missing_base_names_the_file_that_wants_it(tmp_path: Path) -> None:
    path = written(tmp_path, "extends: smok\n")
    text = refusal(recipe=path)
    assert text.startswith(f"{path}: extends: ")
    assert 'did you mean "smoke"?' in text


def test_a_mistake_is_blamed_on_the_file_that_holds_it(tmp_path: Path) -> None:
    written(tmp_path, json.dumps(MINIMAL | {"seed": "a"}), "base.yaml")
    path = written(tmp_path, "extends: base.yaml\nrounds: 2\n")
    assert refusal(recipe=path).startswith("base.yaml: seed is")
    path = written(tmp_path, "extends: base.yaml\nseed: b\n")
    assert refusal(recipe=path).startswith(f'{path}: seed is "b"')


# -- files ----------------------------------------------------------------------------------------


def test_a_misspelled_name_suggests_a_bundled_recipe() -> None:
    assert 'no bundled recipe "smok"; did you mean "smoke"?' in refusal(recipe="smok")
    text = refusal(recipe="zzz")
    assert all(name in text for name in recipe_names())


def test_a_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    written(tmp_path, "seed: 0\n", "mine.yaml")
    text = refusal(recipe=str(tmp_path / "mien.yaml"))
    assert f'no such file; did you mean "{tmp_path / "mine.yaml"}"?' in text
    assert 'bundled recipe "smoke"' in refusal(recipe="./nowhere/smoke.yaml")
    assert "bundled recipes are" in refusal(recipe="./nowhere/zzz.yaml")


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    assert "not a file" in refusal(recipe=str(tmp_path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds nothing; a recipe is a mapping"),
        (b"# only a comment\n", "holds nothing"),
        (b"- a\n- b\n", "holds one list; a recipe is a mapping"),
        (b"smoke\n", "holds one str"),
        (b"seed: 0\nmodel: [\n", "mine.yaml:3: not valid YAML"),
        (b"seed: 0\n\tmodel: 1\n", "mine.yaml:2: not valid YAML"),
        (b"seed: 0\n---\nseed: 1\n", "mine.yaml:2: not valid YAML"),
        (
            b"seed: 0\nsample:\n  n: 1\n  n: 2\n",
            'mine.yaml:4: key "n" is given twice, first in line 3',
        ),
        (b"seed: 0\nseed: 0\n", 'mine.yaml:2: key "seed" is given twice, first in line 1'),
        (b"seed: 0\n3: x\n", "mine.yaml:2: key 3 is no text"),
        (b"true: x\nseed: 1\n", "mine.yaml:1: key true is no text"),
        (b"[a]: x\nseed: 1\n", "mine.yaml:1: key a list or mapping is no text"),
        (b"model: {path: \xff}\n", "not UTF-8 text (byte 14)"),
        (b"model: {path: \x00}\n", "not valid YAML"),
        (b"a: &a {b: *a}\nc: 1\n", "an alias that contains itself"),
        (b"a: *nothing\nb: 1\n", "mine.yaml:1: not valid YAML: found undefined alias"),
        (b"a: !!python/object:x.Y {}\nb: 1\n", "mine.yaml:1: the tag"),
        (b"a: !!timestamp x\nb: 1\n", "mine.yaml:1: the tag"),
        (b"a: 1e999\nb: 1\n", "mine.yaml:1: 1e999 is too large"),
        (b"[" * 5000, "more than 32 levels"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_with_its_line(
    tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "mine.yaml").write_bytes(content)
    assert words in refusal(recipe=str(tmp_path / "mine.yaml"))


def test_a_byte_order_mark_and_a_shared_part_are_welcome(tmp_path: Path) -> None:
    text = json.dumps(MINIMAL, indent=1)
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8-sig")
    assert load_recipe(str(tmp_path / "mine.yaml")).sample.n == 4
    shared = "filter:\n  a: &same {x: 1}\n  b: *same\n  c: {<<: *same, y: 2}\n" + yaml.safe_dump(
        {key: MINIMAL[key] for key in MINIMAL if key != "filter"}
    )
    recipe = load_recipe(written(tmp_path, shared), ["filter.a.x=5"])
    assert recipe.filter == {"a": {"x": 5}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


# -- YAML 1.1 -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4),
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        ("3.0e-4", 3e-4),
        (".5", 0.5),
        ("-1.", -1.0),
        ("1_000", 1000),
        ("-3", -3),
        ("0", 0),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("010", "010"),
        ("1:30", "1:30"),
        ("0x10", "0x10"),
        ("2024-01-01", "2024-01-01"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1.2.3", "1.2.3"),
        ("'1e5'", "1e5"),
        ("=", "="),
    ],
)
def test_yaml_values_are_what_they_look_like(text: str, value: object) -> None:
    seen = load_recipe("quickstart", [f"sft.args.x={text}"]).sft.args["x"]
    assert seen == value
    assert type(seen) is type(value)


def test_on_and_off_are_words_as_keys_and_values(tmp_path: Path) -> None:
    text = "extends: quickstart\ngate: {on: dev}\nmodel: {path: off}\n"
    recipe = load_recipe(written(tmp_path, text))
    assert recipe.gate is not None
    assert (recipe.gate.on, recipe.gate.metric) == ("dev", ("pass@1", "pass@4"))
    assert recipe.model.path == "off"


def test_recipe_text_is_the_commented_source() -> None:
    assert recipe_text("smoke").startswith("# ")
    with pytest.raises(RFTError, match="no bundled recipe"):
        recipe_text("nothing-like-it")


def test_nearest_gives_up_on_strangers() -> None:
    assert nearest("smok", ["smoke", "quickstart"]) == "smoke"
    assert nearest("zzz", ["smoke"]) is None


# -- local paths ----------------------------------------------------------------------------------


def test_paths_that_are_there_become_absolute_and_names_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bundled("data") / "tiny", tmp_path / "model")
    (tmp_path / "train.jsonl").write_text("{}\n")
    settings = [
        "model.path=model@2",
        "prepare.train={mine: {source: ./train.jsonl}, other: {source: hub:a/b, split: train}}",
        "prepare.dev={holdout: 4}",
    ]
    recipe = rooted(load_recipe("smoke", settings))
    assert recipe.model.path == f"{tmp_path}/model@2"
    train = recipe.prepare.benchmarks("train")
    assert train["mine"].source == f"{tmp_path}/train.jsonl"
    assert train["other"].source == "hub:a/b"
    assert recipe.prepare.benchmarks("test")["test"].source == "bundled:arithmetic"
    assert recipe.prepare.holdout == 4
    (tmp_path / "again.yaml").write_text(dump(recipe))
    assert load_recipe(str(tmp_path / "again.yaml")) == recipe
    monkeypatch.chdir("/")
    assert rooted(recipe) == recipe
