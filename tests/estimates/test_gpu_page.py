"""GPU.md is true: its figures follow from its formulas, its keys, settings and messages exist."""

import ast
import json
import math
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from rft.bundled import bundled
from rft.engines.vllm import CHECKED, TOLERANCE
from rft.engines.vllm_start import PREFIXES, REFUSED
from rft.estimates import model_size as sizes
from rft.recipe import Recipe
from rft.recipe.loading import load_recipe, recipe_names, recipe_text

ROOT = bundled("configs").parent
PAGE = (ROOT / "GPU.md").read_text()
UTILISATION, OVERHEAD = 0.90, 2e9
CARDS = {"KV on 16 GB": (16, 1), "on 24 GB": (24, 1), "on 80 GB": (80, 1)}
CARDS |= {"on 2 x 80": (80, 2), "on 4 x 80": (80, 4)}


def table(first: str) -> list[dict[str, str]]:
    """Read the table whose first column has this name."""
    (found,) = re.findall(rf"(?m)^\| {re.escape(first)} \|.*(?:\n\|.*)+", PAGE)
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in found.split("\n")
    ]
    assert all(len(row) == len(head) for row in rows)
    return [dict(zip(head, row, strict=True)) for row in rows]


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


SHAPES = {row["shape"]: row for row in table("shape")}


def parameters(name: str) -> int:
    """Count the parameters of a model of the Qwen2.5 kind."""
    row = SHAPES[name]
    hidden, width = number(row["hidden"]), number(row["MLP"])
    query = number(row["heads"]) * number(row["head dim"])
    key = number(row["KV heads"]) * number(row["head dim"])
    attention = hidden * query + 2 * hidden * key + query + 2 * key + query * hidden
    layer = attention + 3 * hidden * width + 2 * hidden
    tables = 1 if row["tied"] == "yes" else 2
    return tables * number(row["vocabulary"]) * hidden + number(row["layers"]) * layer + hidden


def kv_bytes(name: str) -> int:
    row = SHAPES[name]
    return 2 * number(row["layers"]) * number(row["KV heads"]) * number(row["head dim"]) * 2


def kv_tokens(name: str, card: int, cards: int, utilisation: float = UTILISATION) -> int:
    room = cards * (utilisation * card * 1e9 - OVERHEAD) - 2 * parameters(name)
    return int(room / kv_bytes(name))


@pytest.mark.parametrize("name", list(SHAPES))
def test_parameters_follow_from_the_shapes(name):
    assert number(SHAPES[name]["parameters"]) == parameters(name)


@pytest.mark.parametrize("row", table("model"), ids=lambda row: row["model"])
def test_every_figure_of_the_memory_table_follows_from_the_shapes(row):
    name = row["model"]
    count = parameters(name)
    assert row["weights, GB"] == row["LoRA base, GB"] == f"{2 * count / 1e9:.1f}"
    assert number(row["KV, bytes a token"]) == kv_bytes(name)
    assert row["full training, GB"] == f"{16 * count / 1e9:.0f}"
    for column, (card, cards) in CARDS.items():
        tokens = kv_tokens(name, card, cards) // 1000
        assert row[column] == (f"{tokens:,}" if tokens > 0 else "-"), column


def test_both_tables_have_the_same_models():
    assert [row["model"] for row in table("model")] == list(SHAPES)


def test_the_doctor_computes_what_the_page_says(tmp_path):
    for name, row in SHAPES.items():
        config = {
            "dtype": "bfloat16",
            "num_hidden_layers": number(row["layers"]),
            "hidden_size": number(row["hidden"]),
            "num_attention_heads": number(row["heads"]),
            "num_key_value_heads": number(row["KV heads"]),
            "intermediate_size": number(row["MLP"]),
        }
        (tmp_path / "config.json").write_text(json.dumps(config))
        with (tmp_path / "model.safetensors").open("wb") as file:
            file.truncate(2 * parameters(name))
        shape = sizes.shape_of(tmp_path)
        assert (shape.parameters, shape.kv_values) == (parameters(name), kv_bytes(name) // 2)
    assert (sizes.OVERHEAD, sizes.TRAINING) == (OVERHEAD, 16)
    assert f"makes it {sizes.TRAINING_8BIT} bytes" in PAGE


def test_the_worked_example_comes_out():
    tokens = kv_tokens("Qwen2.5-7B", 24, 1, 0.92)
    assert f"is {tokens:,} tokens of {kv_bytes('Qwen2.5-7B'):,} bytes" in PAGE
    assert f"{tokens // 3072} sequences of 3,072 tokens, or {tokens // 600} of 600" in PAGE
    recipe = load_recipe("math-7b-24gb")
    assert recipe.engine.args["gpu_memory_utilization"] == 0.92
    assert (recipe.engine.max_model_len, recipe.sft.max_length) == (3072, 2560)
    assert f"`max_num_seqs: {recipe.engine.args['max_num_seqs']}`" in PAGE
    assert f"{28 * 2560 * 3584 * 2 / 1e9:.1f} GB of activations" in PAGE
    assert f"{0.92 * 24:.2f} GB. Less {2 * parameters('Qwen2.5-7B') / 1e9:.2f} GB" in PAGE
    assert f"ln 2 = {math.log(2):.2f}" in PAGE


# What it names ------------------------------------------------------------------------------------


def below(annotation: Any) -> Any:
    """Find the section that an annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(below, get_args(annotation))), None)


def check(key: str) -> None:
    """Walk a dotted key through the recipe's sections; `args` take any name."""
    section: Any = Recipe
    for name in key.split("."):
        if section is None:
            return
        assert name in section.model_fields, f"{key}: there is no {name}"
        section = below(section.model_fields[name].annotation)


def dotted(value: Any, above: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from dotted(each, f"{above}.{name}" if above else name)
    else:
        yield above


def test_a_key_that_does_not_exist_would_be_seen():
    for key in ("engine.worker", "sft.lora.rank", "sampel.n", "sample.statistics.entropies"):
        with pytest.raises(AssertionError):
            check(key)


def test_every_dotted_key_of_the_page_exists():
    spans = [span.partition(":")[0] for span in re.findall(r"`([^`\n]+)`", PAGE)]
    keys = {span for span in spans if re.fullmatch(r"[a-z_]+(\.[a-z_]\w*)+", span)}
    keys -= {span for span in keys if span.endswith((".yaml", ".json", ".md"))}
    assert {"engine.workers", "sft.bf16", "sample.statistics.mass"} <= keys
    for key in keys:
        check(key)
    for block in re.findall(r"(?s)```yaml\n(.*?)```", PAGE):
        for key in dotted(yaml.safe_load(block)):
            check(key)


def test_every_recipe_of_the_page_ships_and_what_is_not_built_is_said():
    rows = table("card")
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row["start from"])}
    none = [each for each in recipe_names() if re.search(r"(?m)^# card: +none", recipe_text(each))]
    assert named == set(recipe_names()) - {*none}
    assert "not built yet" in rows[-1]["training"]
    assert "Training on several GPUs is not built yet" in PAGE


def test_every_setting_that_is_said_to_be_refused_is():
    rows = table("setting")
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row["setting"])}
    named -= {"min_tokens", "top_k", "engine.args", "seed", "model", "revision", "max_model_len"}
    assert "spec_..." in named
    for name in named - {"spec_..."}:
        assert name in REFUSED, name
    assert "spec_" in PREFIXES
    assert f"first {CHECKED} rollouts" in PAGE
    assert f"difference above {TOLERANCE} " in PAGE


def messages() -> str:
    """Collect all texts of our modules, with what is filled in left out."""
    found = []
    for path in sorted((ROOT / "rft").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_every_line_of_the_troubleshooting_table_is_one_that_we_print():
    said = messages()
    rows = table("symptom")
    assert len(rows) >= 10
    for row in rows:
        for line in re.findall(r"`([^`]+)`", row["the line says"]):
            assert line in said, line


def test_the_range_of_vllm_is_the_one_that_is_declared():
    declared = (ROOT / "pyproject.toml").read_text()
    (wanted,) = re.findall(r'(?m)^vllm = \["vllm([^"]+)"', declared)
    assert f"vLLM `{wanted}`" in PAGE


def test_the_readme_links_to_the_page():
    assert "(GPU.md)" in (ROOT / "README.md").read_text()
