"""Which models are compared, and which are refused in one line or told to be unlike."""

import json
from pathlib import Path

import pytest

from pipelines.readers.comparison.sources import last_parts, of_arms, of_runs
from pipelines.readers.comparison.text import notes
from rft.errors import RFTError
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run
from tests import small_run
from tests.compared_runs import RIGHT, begin, draw, make

TEXTS = draw((1, 1, 1, 1, 1), 0, problems=3)
OTHERS = draw((2, 1, 1, 1, 1), 1, problems=3)


def new(path: Path, *overrides: str) -> str:
    """Make a finished run."""
    benchmarks = "{source: 'bundled:arithmetic', split: test}"
    two = f"prepare.test={{easy: {benchmarks}, hard: {benchmarks}}}"
    make(Run(path, load_recipe("smoke", [two, *overrides])), TEXTS, OTHERS)
    return str(path)


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> str:
    return new(tmp_path_factory.mktemp("one") / "one")


def refusal(*targets: str) -> str:
    with pytest.raises(RFTError) as error:
        of_runs(targets)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_no_model_of_a_run_is_refused_in_one_line(one, tmp_path):
    assert "not a run folder" in refusal(one, str(tmp_path / "none"))
    assert "there is no model 9; the last one of that run is 1" in refusal(one, f"{one}@9")
    for number in ("x", "", "-1", "1.5", "9" * 40, "٣"):
        assert "after @ comes the number of a model" in refusal(one, f"{one}@{number}")


def test_the_same_model_twice_is_refused_however_it_is_spelled(one, monkeypatch):
    monkeypatch.chdir(Path(one).parent)
    for again in (
        "one",
        "./one",
        "one/",
        "one@1",
        f"{one}@1",
        "../" + Path(one).parent.name + "/one",
    ):
        assert "that is" in (said := refusal(one, again))
        assert f"{one} again" in said
    assert list(of_runs([one, "one@0"]).arms) == ["one", "one@0"]


def test_runs_are_called_by_as_much_of_their_paths_as_tells_them_apart():
    def called(*paths: str) -> list[str]:
        return [*last_parts(paths).values()]

    assert called("/home/me/runs/a", "runs/b@2") == ["a", "b@2"]
    assert called("/x/a/seed-0/", "/x/b/seed-0", "/x/b/seed-0@1") == [
        *("a/seed-0", "b/seed-0", "b/seed-0@1"),
    ]
    assert called("a", "x/a", "y/x/a") == ["a", "x/a", "y/x/a"]
    assert called("a", "./a") == ["a", "./a"]
    assert called("/", "a") == ["/", "a"]


def test_a_run_may_be_called_as_the_base_is_or_have_an_at_in_its_path(one, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    new(Path("base"))
    at = new(Path("me@home") / "run")
    compared = of_runs(["base", at, one])
    assert list(compared.arms) == ["./base", "run", "one"]
    assert [row.arm for row in compared.on["easy"].rows(compared.on["easy"].metric("pass@1"))] == [
        *("base", "./base", "run", "one")
    ]


def test_a_run_that_is_not_done_is_refused_with_what_to_do(one, tmp_path):
    run = small_run.new_run(tmp_path / "begun", "rounds=2")
    said = refusal(one, str(run.path))
    assert "the model that it is to end with was not measured" in said
    assert f"`rft run {run.path}` goes on with it" in said


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("evaluate.temperature=0.5", "evaluate.temperature differs: 1.0 ("),
        ("evaluate.top_p=0.9", "evaluate.top_p differs"),
        ("evaluate.max_tokens=64", "evaluate.max_tokens differs: 128 ("),
    ],
)
def test_models_that_were_sampled_otherwise_are_refused(one, tmp_path, setting, told):
    assert told in refusal(one, new(tmp_path / "two", setting))


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("prompt.template='{question} Think.'", "NOT ALIKE: prompt.template differs"),
        ("grade.verifier=exact", "NOT ALIKE: grade.verifier differs"),
        ("seed=4", None),
        ("evaluate.k=[1, 2]", None),
        ("sample.temperature=0.5", None),
    ],
)
def test_models_that_were_asked_or_judged_otherwise_are_compared_and_that_is_said(
    one, tmp_path, setting, told
):
    lines = notes(of_runs([one, new(tmp_path / "two", setting)]))
    alike = [line for line in lines if line.startswith("NOT ALIKE")]
    assert all(line.startswith(told) for line in alike) if told else alike == []
    assert bool(alike) == bool(told)


def test_runs_without_a_benchmark_in_common_are_refused(one, tmp_path):
    run = Run(tmp_path / "two", load_recipe("smoke"))
    make(run, {("other", "x"): [RIGHT]}, {("other", "x"): [RIGHT]})
    assert "no test benchmark in common (there are easy, hard, other)" in refusal(
        one, str(run.path)
    )


def test_a_damaged_evaluation_is_refused_in_one_line(tmp_path):
    path = new(tmp_path / "run")
    part = tmp_path / "run" / "evaluations" / "round-0001" / "part-00000.parquet"
    whole = bytearray(part.read_bytes())
    whole[100] ^= 1
    part.write_bytes(whole)
    assert "damaged, not what `evaluate` of round 1 wrote" in refusal(path, f"{path}@0")


def test_arms_that_have_read_a_source_at_different_times_are_told_of(tmp_path):
    whole, runs = begin(tmp_path / "arms", seeds=[0])
    for each in runs:
        make(each.run, TEXTS, OTHERS)
    assert notes(of_arms(tmp_path / "arms", whole, runs))[0].startswith("95% intervals")
    run = runs[1].run
    made = run.manifest("prepare", 0)
    made["inputs"]["train/train"] = "another digest"
    run.write_manifest("prepare", 0, made)
    assert notes(of_arms(tmp_path / "arms", whole, runs))[0] == (
        "NOT ALIKE: entropy/seed-0 has read train/train when it held something else than for "
        "rules/seed-0"
    )
    assert json.dumps(made)
