"""A trail names every step that led to an answer, and every model that learnt from it."""

import json
import shlex

import pytest

from pipelines.readers.layout import short_digest
from pipelines.readers.show import choose, listing, model_of, trail_of, whole
from pipelines.readers.trail_words import model_words, text_trace
from rft.cli import cli
from rft.runs.folder import Run
from tests.small_run import (
    RIGHT,
    WRONG,
    Sample,
    digest_of_model,
    evaluate,
    new_run,
    prepare,
    solved,
    whole_round,
)

ANSWERS = {("test", "test", "t0"): solved(1, 4), ("dev", "dev", "d0"): solved(2, 4)}
DEV = ("prepare.dev={source: bundled:arithmetic, split: dev}", "evaluate.dev_n=4")
GATE = (*DEV, "gate={}")
FEW = ("select.budget=4", "select.noise=0.25", "select.by=entropy")


def samples(tag: str) -> list[Sample]:
    return [
        ("p0", f"{tag}1 {RIGHT}", "stop", 0.5),
        ("p0", f"{tag}1 {RIGHT}", "stop", 0.75),
        ("p0", "one two three " * 9 + RIGHT, "stop", 0.125),
        ("p1", f"{tag}4 {WRONG}", "stop", 1.5),
        ("p1", "no box", "length", 2.0),
    ]


def made(path, *settings: str, rounds: int = 2) -> Run:
    run = new_run(path, f"rounds={rounds}", *FEW, *settings)
    prepare(run, answers=ANSWERS)
    evaluate(run, 0, ANSWERS)
    for round in range(1, rounds + 1):
        whole_round(run, round, samples("ab"[round - 1]), ANSWERS)
    return run


def trail(run: Run, round: int, problem: str, index: int) -> dict:
    rows = listing(run).filter(round=round, problem_id=problem, sample_index=index)
    return trail_of(run, whole(run, rows.row(0, named=True)))


@pytest.mark.parametrize(("data", "taught"), [("round", [1]), ("all", [1, 2])])
def test_every_model_whose_training_read_the_round_is_named(tmp_path, data, taught):
    run = made(tmp_path / "run", f"sft.data={data}", "sft.epochs=3", *GATE)
    chosen = choose(run, round=1, role="positive").row(0, named=True)
    models = trail_of(run, whole(run, chosen))["models"]
    assert [each["model"] for each in models] == taught
    assert {each["epochs"] for each in models} == {3}
    assert [each["digest"] for each in models] == [digest_of_model(number) for number in taught]
    assert all(each["adopted"] for each in models)


def test_what_was_not_selected_taught_no_model(tmp_path):
    run = made(tmp_path / "run", rounds=1)
    assert trail(run, 1, "p1", 1)["models"] == []


def test_a_model_without_its_gates_word_is_undecided(tmp_path):
    run = made(tmp_path / "run", *GATE, rounds=1)
    run.manifest_path("gate", 1).unlink()
    chosen = choose(run, role="positive").row(0, named=True)
    traced = trail_of(run, whole(run, chosen))
    assert [each["adopted"] for each in traced["models"]] == [None]


def test_the_rule_that_rejected_is_named_with_its_number_after_those_that_were_passed(tmp_path):
    run = made(tmp_path / "run", rounds=1)
    told = trail(run, 1, "p0", 2)["rules"]
    assert [each["rule"] for each in told["passed"]] == ["no_box", "no_digit"]
    assert told["rejected_by"] == {
        "rule": "redundant",
        "parameters": {"threshold": 0.31},
        "because": "0.81 > 0.31",
    }
    last = trail(run, 1, "p0", 1)["rules"]
    assert [each["rule"] for each in last["passed"]] == ["no_box", "no_digit", "redundant"]
    assert trail(run, 1, "p0", 0)["rules"]["rejected_by"] is None


def test_the_steps_lead_from_the_source_through_the_model_to_the_row_and_on(tmp_path):
    run = made(tmp_path / "run", *GATE)
    chosen = choose(run, round=2, role="positive").row(0, named=True)
    traced = trail_of(run, whole(run, chosen))
    assert [(each["round"], each["stage"]) for each in traced["steps"]] == [
        (0, "prepare"),
        (1, "sft"),
        (1, "gate"),
        *((2, stage) for stage in ("sample", "grade", "filter", "select", "sft", "gate")),
    ]
    assert traced["model"] | {"digest": digest_of_model(1), "number": 1} == traced["model"]
    # Each is read by what comes after it, by its digest.
    wrote = {digest for step in traced["steps"] for digest in step["wrote"].values()}
    read = traced["steps"][3]["read"]
    assert set(read.values()) <= wrote
    for step in traced["steps"]:
        _, name, *words = shlex.split(step["command"])
        cli.commands[name].make_context(name, words)
        assert step["versions"]["rft-rounds"]
        assert step["finished"]


def test_a_trail_is_json_and_says_what_is_documented(tmp_path):
    run = made(tmp_path / "run", rounds=1)
    traced = json.loads(json.dumps(trail(run, 1, "p0", 0)))
    from pipelines.readers import trail as module

    names = [line.split()[0] for line in module.__doc__.splitlines() if line.startswith("    ")]
    assert all(name in names for name in traced if name != "version")
    assert traced["problem"]["gold"] == ["7"]
    assert traced["problem"]["sources"][0]["name"] == "train/train"
    assert traced["engine"]["kind"] == "transformers"
    assert traced["engine"]["settings"]["temperature"] == 1.0
    assert traced["verdict"]["verifier"] == "math"


def test_what_is_not_graded_yet_has_nulls(tmp_path):
    from tests.small_run import sample

    run = new_run(tmp_path / "run")
    prepare(run, answers={})
    sample(run, 1, samples("a"))
    traced = trail(run, 1, "p0", 0)
    assert (traced["verdict"], traced["rules"], traced["models"]) == (None, None, [])
    assert [each["stage"] for each in traced["steps"]] == ["prepare", "sample"]
    words = text_trace(traced | {"row": {"file": None}, "digests": []})
    assert "verdict     -" in words
    assert "learnt by   no model" in words


def test_a_model_of_the_hub_keeps_its_name_where_its_digest_is_shortened(tmp_path):
    digest = f"hub:org/mine-model@{'c0ffee' * 7}"
    short = "hub:org/mine-model@c0ffeec0ffee"
    assert (short_digest(digest), short_digest("ab" * 32)) == (short, "ab" * 6)
    run = made(tmp_path / "run", rounds=1)
    traced = trail(run, 1, "p0", 0)
    for number in (0, 1):
        model = traced["model"] | {"number": number, "digest": digest}
        assert f"digest {short};" in model_words(model) or f"digest {short}," in model_words(model)
        assert f"({short})" in model_of({"model": model})
