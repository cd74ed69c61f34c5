"""Benchmarks by name: each row of the table reads a data set of just that id, split and columns.

Run: python -m pytest tests/problems/test_benchmarks.py
"""

import json

import pytest

from rft.errors import RFTError
from rft.grading.verifiers import open_verifier
from rft.problems.benchmarks import BENCHMARKS
from rft.problems.sources import problems, read_source, source_digest
from rft.recipe import Grade
from rft.recipe.loading import dump, load_recipe
from tests.benchmark_rows import GOLDS, on_the_hub
from tests.fake_hub import FakeHub
from tests.hub_client import connect
from tests.recipe_files import refusal


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with FakeHub(tmp_path / "hub") as serving:
        connect(monkeypatch, serving, tmp_path / "home")
        yield serving


def source_of(name):
    return load_recipe("smoke", [f"prepare.test={name}"]).prepare.benchmarks("test")[name]


def test_each_row_has_golds_here():
    assert list(GOLDS) == list(BENCHMARKS)


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_a_row_of_the_table_reads_its_data_set(hub, name):
    on_the_hub(hub, name)
    source, row = source_of(name), BENCHMARKS[name]
    assert source_digest(source).startswith(f"hub:{row.dataset}@")
    read = list(problems(read_source(source), source))
    assert [each["question"] for each in read] == [
        f"Question {number}?" for number in range(1, len(GOLDS[name]) + 1)
    ]
    assert [each["reason"] for each in read] == [None] * len(read)
    assert [each["difficulty"] for each in read] == [
        float(number) if row.difficulty else None for number in range(1, len(read) + 1)
    ]
    with open_verifier(Grade()) as verifier:
        assert verifier.bad_golds(gold for each in read for gold in each["gold"]) == {}
        for each, (_, answer, right) in zip(read, GOLDS[name], strict=True):
            (gold,) = each["gold"]
            judged = verifier.verdicts([(gold, answer)])[gold, answer]
            assert judged.verdict == ("correct" if right else "wrong"), (gold, answer)


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_a_renamed_column_is_one_line_that_says_what_is_there(hub, name):
    on_the_hub(hub, name, **{BENCHMARKS[name].gold: "solved"})
    source = source_of(name)
    with pytest.raises(RFTError, match=r"no column '\w+' for gold \(it has .*solved.*\); write"):
        list(problems(read_source(source), source))
    mended = source_of_given(name, "{gold: solved}")
    assert [each["reason"] for each in problems(read_source(mended), mended)] == [None] * len(
        GOLDS[name]
    )


def source_of_given(name, columns):
    test = f"prepare.test={{{name}: {{source: {name}, columns: {columns}}}}}"
    return load_recipe("smoke", [test]).prepare.benchmarks("test")[name]


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_a_renamed_split_is_one_line_that_says_what_is_there(hub, name):
    on_the_hub(hub, name, split="validation")
    row = BENCHMARKS[name]
    with pytest.raises(RFTError) as refused:
        read_source(source_of(name), f"prepare.test.{name}")
    wanted = f'prepare.test.{name}.split: "{row.split}" is none of hub:{row.dataset}'
    assert str(refused.value) == f"{wanted}; it has validation"


@pytest.mark.parametrize(
    "spelling",
    ["[aime24, math500]", "{aime24: aime24, math500: {source: math500}}"],
)
def test_names_are_the_sources_that_they_stand_for(tmp_path, spelling):
    recipe = load_recipe("smoke", [f"prepare.test={spelling}"])
    whole = {name: BENCHMARKS[name].source() for name in ("aime24", "math500")}
    assert recipe.prepare == load_recipe("smoke", [f"prepare.test={json.dumps(whole)}"]).prepare
    # What a run stores knows nothing of names: a later table changes no run.
    (tmp_path / "stored.yaml").write_text(dump(recipe))
    assert "source: hub:HuggingFaceH4/MATH-500\n" in (tmp_path / "stored.yaml").read_text()
    assert load_recipe(str(tmp_path / "stored.yaml")) == recipe


def test_keys_beside_a_name_count():
    given = "{source: math500, limit: 50, revision: v1, columns: {difficulty: hard}}"
    source = load_recipe("smoke", [f"prepare.dev={given}"]).prepare.benchmarks("dev")["dev"]
    assert (source.source, source.limit, source.revision) == (
        "hub:HuggingFaceH4/MATH-500",
        50,
        "v1",
    )
    assert source.columns.model_dump() == {
        "question": "problem",
        "gold": "answer",
        "difficulty": "hard",
    }


def test_a_plain_word_may_be_a_file():
    recipe = load_recipe("smoke", ["prepare.test=mine.jsonl", "prepare.train=./math500"])
    assert recipe.prepare.benchmarks("test")["test"].source == "mine.jsonl"
    assert recipe.prepare.benchmarks("train")["train"].source == "./math500"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("test=mth500", 'test: "mth500" names no benchmark; did you mean "math500"? (./NAME is'),
        ("test=[aime24, AIME-25]", '"AIME-25" names no benchmark; did you mean "aime25"?'),
        ("test={hard: {source: olympiad}}", 'did you mean "olympiadbench"? (./NAME is a file)'),
        ("test={hard: olympiad}", 'did you mean "olympiadbench"?'),
        ("test=[xyz]", '"xyz" names no benchmark; there are aime24, aime25, '),
        ("test=[gsm8k, gsm8k]", "it lists gsm8k twice"),
        ("train=gsm8k", "to learn from one, write the split too, as in {source: gsm8k, split: tra"),
        ("train=[aime24]", "aime24 is a benchmark, measured on its split train"),
        ("train={source: math500}", "math500 is a benchmark"),
    ],
)
def test_what_names_no_benchmark_or_would_learn_from_one_is_refused(override, words):
    assert words in refusal(f"prepare.{override}")


def test_to_learn_from_one_its_split_is_written_down():
    recipe = load_recipe("smoke", ["prepare.train={source: gsm8k, split: train}"])
    (source,) = recipe.prepare.benchmarks("train").values()
    assert (source.config, source.split, source.gold_reader) == ("main", "train", "gsm8k")
