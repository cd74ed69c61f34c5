"""Every setting of a recipe has a bound, and what is beyond it ends in one short line."""

import copy
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from rft.errors import RFTError
from rft.exploration import PLUGINS
from rft.recipe import Recipe
from rft.recipe.loading import load_recipe
from rft.recipe.yaml12 import LIMITS, parse
from rft.training.objectives import OBJECTIVES
from tests.recipe_files import refusal

# What may be as long as a page, and hold what it wants: it becomes a prompt, or a shell's command.
PROSE = {
    "notify",
    *("prompt.system", "prompt.template", "prompt.stop"),
    *("prompt.few_shot.question", "prompt.few_shot.answer"),
}
# What its own check bounds: names that match a pattern, or that a table has.
CHECKED = {"gate.metric", "sft.blend.on", "stop.plateau.metric", "select.by", "select.noise_by"}
# As sections are.
STRICT = ConfigDict(strict=True, allow_inf_nan=False)
NUMBERS = (10**30, -(10**30), 1e308, -1e308, float("inf"), float("nan"))
TEXTS = ("x" * 5_000, "\x1b[2J", "a\nb", "\u202e")


def fields(section: type[BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    """List every setting with its type, those of the sections below as well."""
    for name, field in section.model_fields.items():
        key = f"{above}{name}"
        below = list(sections(field.annotation))
        if not below:
            yield key, TypeAdapter(field.rebuild_annotation(), config=STRICT)
        for each in below:
            yield from fields(each, f"{key}.")


def sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from sections(part)


PLUGIN_SETTINGS = [
    setting
    for name, plugin in PLUGINS.items()
    for setting in fields(plugin, f"grpo.plugins.{name}.")
]
OBJECTIVE_SETTINGS = [
    setting
    for name, objective in OBJECTIVES.items()
    for setting in fields(objective, f"sft.objective.{name}.")
]
SETTINGS = [*fields(Recipe), *PLUGIN_SETTINGS, *OBJECTIVE_SETTINGS]


def taken(kind: TypeAdapter, value: Any) -> bool:
    try:
        kind.validate_python(value)
    except ValidationError:
        return False
    return True


def is_open(key: str) -> bool:
    """Say whether what stands there is an open mapping, which YAML's bounds alone hold."""
    return key in ("filter", "grpo.plugins") or key.rpartition(".")[2] in (
        "args",
        "chat_kwargs",
        "traits",
    )


@pytest.mark.parametrize(("key", "kind"), SETTINGS, ids=[key for key, _ in SETTINGS])
def test_no_setting_takes_a_number_that_nobody_means(key, kind):
    for value in NUMBERS:
        for given in (value, [value], [value, value], {"x": value}):
            assert is_open(key) or not taken(kind, given), (key, given)


@pytest.mark.parametrize(("key", "kind"), SETTINGS, ids=[key for key, _ in SETTINGS])
def test_no_name_takes_a_text_that_is_none(key, kind):
    for value in TEXTS:
        for given in (value, [value]):
            free = is_open(key) or key in PROSE | CHECKED
            assert free or not taken(kind, given), (key, given)


@pytest.mark.parametrize("key", sorted(PROSE))
def test_prose_may_be_long_and_not_without_end(key):
    kind = dict(SETTINGS)[key]
    wrap = (lambda text: [text]) if key == "prompt.stop" else (lambda text: text)
    assert taken(kind, wrap("x" * 5_000))
    assert not taken(kind, wrap("x" * 100_001))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("rounds=1000000000000", "rounds is 1000000000000, and should be at most 9999"),
        ("sample.n=100000000", "sample.n is 100000000, and should be at most 9999"),
        ("sample.temperature=1.0e-300", "it is 1e-300, and above 0 the lowest is 0.001"),
        ("gate.metric=pass@99999", 'it names "pass@99999"; a metric is pass@K or entropy'),
        ("stop={plateau: {metric: pass@99999}}", '"pass@99999" is no metric'),
        ("select.by=" + "x" * 5_000, "should be 'random'"),
        ("stop={tokens: 1e300}", "stop.tokens is 1000000"),
        ("engine.url=http://x/\\e".replace("\\e", '"\\e"'), "http"),
        ('model.path="a\\eb"', "holds the character U+001B, which cannot be seen"),
        ('prompt.system="a\\ud800"', "'a\\ud800' holds half a character (\\ud800)"),
        ('prompt.few_shot=[{question: "\\0", answer: b}]', "the character NUL"),
        ("seed=" + "9" * 5_000, "is too large (the most is 9223372036854775807)"),
        ("seed=-" + "9" * 40, "is too large"),
        ("sft.args={x: 1e999}", "1e999 is too large"),
        ("sft.args=" + "{a: " * 40 + "1" + "}" * 40, "more than 32 levels here"),
        ("sft.args=" + "[" * 3_000, "more than 32 levels here"),
        ("evaluate.k=[" + "1, " * 100_000 + "1]", "more than 10,000 values here"),
        ("prompt.stop=[" + "a, " * 20_000 + "a]", "more than 10,000 values here"),
        (".".join(["a"] * 50_000) + "=1", "no key is as long as this one"),
        ("x" * 5_000 + "=1", "no key is as long as this one"),
        ("sft.args={" + "x" * 900 + ": 1}", "a key of 900 characters"),
        ("filter={a: &a {x: 1}, b: {<<: *a, <<: *a}}", 'key "<<" is given twice'),
        ("extends=" + "x" * 5_000, "extends is for recipe files"),
        ("x" * 100_000, "write a key, = and a value"),
    ],
)
def test_what_is_beyond_a_bound_is_one_short_line(setting, says):
    line = refusal(setting)
    assert says in line
    assert len(line) < 700


def bomb(first: str, line: str, lines: int, times: int = 1) -> str:
    """Write lines each of which names the one before it so many times."""
    names = [f"a{i}" for i in range(lines)]
    repeated = [", ".join([f"*{name}"] * times) for name in names]
    return f"a0: &a0 {first}\n" + "".join(
        f"{name}: &{name} {line.format(before)}\n"
        for name, before in zip(names[1:], repeated, strict=False)
    )


@pytest.mark.parametrize(
    "text",
    [
        bomb("[x, x]", "[{}]", 20, times=9),
        bomb("{x: 1}", "{{<<: [{}]}}", 20, times=9),
        bomb("[x]", "[{}]", 3_000),
        "few_shot: &a " + "x" * 1_000 + "\nb: [" + "*a, " * 2_000 + "]\n",
    ],
    ids=["a billion laughs", "merges of merges", "a chain", "a long text, often"],
)
def test_aliases_count_as_what_they_stand_for(text):
    with pytest.raises(RFTError, match=r"more than .* here, aliases included"):
        parse(text, "bomb.yaml")


def test_aliases_that_stay_small_are_what_they_stand_for():
    read = parse("a: &a {x: [1, 2]}\nb: *a\nc: {<<: *a, y: 3}\n", "mine.yaml")
    assert read == {"a": {"x": [1, 2]}, "b": {"x": [1, 2]}, "c": {"x": [1, 2], "y": 3}}


def test_a_recipe_of_the_largest_size_is_read_and_one_byte_more_is_not(tmp_path):
    whole = "extends: smoke\n#"
    path = tmp_path / "large.yaml"
    path.write_text(whole + "x" * (LIMITS["bytes"] - len(whole)))
    assert load_recipe(str(path)) == load_recipe("smoke")
    path.write_text(whole + "x" * (LIMITS["bytes"] - len(whole) + 1))
    assert "more than 1,048,576 bytes" in refusal(recipe=str(path))


def test_what_a_recipe_takes_it_writes_and_reads_again():
    recipe = load_recipe("quickstart", ["rounds=9999", "sample.n=9999", "seed=9223372036854775807"])
    assert Recipe.model_validate(copy.deepcopy(recipe.model_dump(mode="python"))) == recipe
