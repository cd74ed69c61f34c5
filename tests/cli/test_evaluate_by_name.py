"""`rft evaluate --problems NAME`: a benchmark is sampled in its own way, and that is told.

Run: python -m pytest tests/cli/test_evaluate_by_name.py
"""

import pytest
import yaml

from rft.cli.stages import measured_on
from rft.problems.benchmarks import BENCHMARKS
from rft.recipe.loading import load_recipe
from rft.runs.folder import open_run
from tests.benchmark_rows import on_the_hub
from tests.command import invoke, rft_here
from tests.fake_hub import FakeHub
from tests.hub_client import connect


def measured(problems, samples=None, recipe=None, *more):
    """Give the resolved recipe that these words lead to."""
    name = recipe or "quickstart"
    begun = load_recipe(name, more)
    changes = measured_on(problems, samples, begun, recipe is None)
    return load_recipe(name, ["gate=null", *more, *changes])


def test_a_benchmark_brings_its_sampling_along():
    how = measured(("aime24", "math500")).evaluate
    assert how.n == {"aime24": 128, "math500": 16}
    assert (how.temperature, how.top_p, how.max_tokens) == (0.6, 0.95, 16_384)
    assert how.k == (1, 2, 4, 8, 16)
    assert measured(("aime24",)).evaluate.k == (1, 2, 4, 8, 16, 32, 64)


def test_samples_and_a_recipe_say_otherwise():
    how = measured(("math500",), 3).evaluate
    assert (how.n, how.k, how.temperature) == (3, (1, 2), 0.6)
    how = measured(("math500",), None, "quickstart").evaluate
    assert (how.n, how.temperature, how.max_tokens) == (16, 1.0, 128)
    # What a recipe says of other benchmarks does not apply to this one.
    paper = measured(("math500", "aime24"), None, "qwen2.5-32b-still3").evaluate
    assert paper.n == {"math500": 16, "aime24": 128}
    assert paper.reference == {"aime24": 10.5}
    assert measured(("math500",), 4, "qwen2.5-32b-still3").evaluate.reference == {}


def test_a_file_is_measured_as_before():
    recipe = measured(("mine.jsonl",))
    assert recipe.prepare.benchmarks("test")["test"].source == "mine.jsonl"
    assert recipe.prepare.dev is None
    assert recipe.evaluate == load_recipe("quickstart").evaluate


@pytest.fixture
def words(tmp_path, monkeypatch):
    with FakeHub(tmp_path / "hub") as hub:
        connect(monkeypatch, hub, tmp_path / "home")
        on_the_hub(hub, "gsm8k")
        out = tmp_path / "out"
        yield ["evaluate", "--model", "bundled:tiny", "--problems", "gsm8k", "--output", out]


@pytest.mark.usefixtures("stages_here")
def test_a_model_is_measured_by_name(words, tmp_path):
    told = rft_here(*words, "--samples", 2, "--set", "evaluate.max_tokens=8")
    assert "gsm8k: 2 samples a problem, temperature 0.6, top-p 0.95, at most 8 tokens" in told
    rows = open_run(tmp_path / "out").read("evaluations", 0)
    assert set(rows["benchmark"]) == {"gsm8k"}
    assert len(rows) == 2


@pytest.mark.usefixtures("stages_here")
def test_answers_longer_than_the_context_are_one_line(words):
    told = rft_here(*words, code=2)
    assert "prepare.test: no usable problem left (1: prompt too long); answers of 16,384" in told


def test_names_and_files_do_not_mix(words):
    told = rft_here(*words, "--problems", "mine.jsonl", code=2)
    assert "--problems mine.jsonl: of several, each has to be a benchmark (aime24, " in told
    told = rft_here("evaluate", "--model", "x", "--problems", "math50", "--output", "o", code=2)
    assert 'prepare.test.source: "math50" names no benchmark; did you mean "math500"?' in told


def test_the_table_is_listed_and_shown():
    lines = invoke("benchmarks").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(BENCHMARKS)
    assert lines[0].split()[1:] == ["30", "problems", "x", "128", "hub:HuggingFaceH4/aime_2024"]
    for name, row in BENCHMARKS.items():
        told = invoke("benchmarks", name).stdout
        assert row.note in told
        # What is printed is YAML that a recipe takes, and the same source.
        source = yaml.safe_load(told.partition("which stands for:\n")[2])
        assert source == row.source()
    told = rft_here("benchmarks", "math50", code=2)
    assert 'no benchmark is called "math50"; did you mean "math500"?' in told
