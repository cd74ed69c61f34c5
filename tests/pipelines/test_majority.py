"""Pins a round that is judged by majority: what it needs, what it refuses, and how it is told.

Run: python -m pytest tests/pipelines/test_majority.py
"""

import json
from pathlib import Path

import pytest

from pipelines.perform import check_recipe
from pipelines.prepare import hold_out
from pipelines.readers.cards.rounds import checked
from pipelines.readers.report_rounds import _readings
from pipelines.readers.trail_words import path_words
from rft.errors import RFTError
from rft.problems.sources import problems, read_source
from rft.recipe import Source
from rft.recipe.loading import load_recipe
from tests import small_run
from tests.row_files import refused, run

MAJORITY = ("--set", "grade.verifier=majority")


def boxed(answer: str) -> str:
    return f"So \\boxed{{{answer}}}"


def graded(folder: Path):
    """Grade answers to two problems, of which one has no majority; the gold of both is 7."""
    made = small_run.new_run(folder / "run", "grade.verifier=majority")
    small_run.prepare(made, train=["p0", "p1"], answers={})
    said = ["8", "8", "7"], ["7", "8", "9", "10"]
    samples = [
        (f"p{place}", boxed(answer), "stop", 0.5)
        for place, answers in enumerate(said)
        for answer in answers
    ]
    small_run.sample(made, 1, samples)
    small_run.do(made, "grade", 1)
    return made


def test_a_round_is_judged_by_its_own_answers_and_says_so(tmp_path):
    made = graded(tmp_path)
    rows = made.read("graded", 1).sort("problem_id", "sample_index")
    assert rows["verdict"].to_list() == ["correct", "correct", "wrong", *["bad_gold"] * 4]
    assert set(rows["verdict_path"]) == {"majority", "no_majority"}
    manifest = made.manifest("grade", 1)
    told = manifest["majority"]
    assert {name: told[name] for name in ("problems", "labelled", "with_gold", "agree")} == {
        "problems": 2,
        "labelled": 1,
        "with_gold": 1,
        "agree": 0,
    }
    assert "pseudo-labels by majority, no gold" in checked({(1, "grade"): manifest})
    (note,) = _readings(manifest)
    assert "3 judged by the majority" in f"{note}"
    assert "of 2 problems 1 have such a label, and 0 of 1 agree with a known gold" in f"{note}"
    assert path_words("majority") == " (majority: a pseudo-label, no gold)"
    assert path_words("exact") == " (exact)"


def test_what_is_learnt_from_needs_no_gold_and_what_is_measured_does(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps({"question": "What is 1 + 1?"}) + "\n")
    source = Source(source=str(path))
    rows = read_source(source)
    (problem,) = problems(rows, source, needs_gold=False)
    assert (problem["gold"], problem["reason"]) == ([], None)
    with pytest.raises(RFTError, match="no column 'gold'"):
        list(problems(rows, source))


def test_dev_is_held_out_of_problems_whose_gold_is_known():
    recipe = load_recipe("smoke", ["prepare.dev={holdout: 2}"])
    rows = [
        {"problem_id": f"{n}", "gold": ["1"] * (n < 3), "split": "train", "reason": None}
        for n in range(9)
    ]
    hold_out(rows, recipe)
    held = [row for row in rows if row["split"] == "dev"]
    assert len(held) == 2
    assert all(row["gold"] for row in held)
    few = [row | {"split": "train", "gold": []} for row in rows]
    with pytest.raises(RFTError, match="of the training problems 0 have a gold"):
        hold_out(few, recipe)


@pytest.mark.parametrize(
    ("recipe", "setting", "why"),
    [
        ("smoke", "sample.until={accepted: 1, wave: 2, max: 4}", "with sample.until answers are"),
        ("smoke", "sample.n=1", "with sample.n 1 every answer would be right"),
        ("grpo-quickstart", "seed=0", "with grpo online training judges answers as they come"),
    ],
)
def test_it_is_refused_where_a_problem_is_not_seen_whole(recipe, setting, why):
    given = load_recipe(recipe, [setting, "grade.verifier=majority"])
    with pytest.raises(RFTError, match=f"grade.verifier: majority, and {why}"):
        check_recipe(given)


def test_a_share_is_one():
    for wrong in (0, 1.5):
        given = load_recipe("smoke", [f"grade.verifier={{majority: {{at_least: {wrong}}}}}"])
        with pytest.raises(RFTError, match=f"grade.verifier.majority.at_least: {wrong}: input"):
            check_recipe(given)


def test_anyones_rows_are_labelled_without_golds(tmp_path):
    rows = [{"question": "2 + 2?", "completion": [boxed("4"), boxed("4.0"), boxed("5")]},
            {"question": "3 + 3?", "completion": [boxed("6"), boxed("7")]}]  # fmt: skip
    outcome = run(tmp_path, "grade", rows, *MAJORITY)
    found = [(row["verdict"], row["verdict_path"]) for row in outcome.rows]
    assert found == [
        ("correct", "majority"),
        ("correct", "majority"),
        ("wrong", "majority"),
        ("bad_gold", "no_majority"),
        ("bad_gold", "no_majority"),
    ]


def test_rows_that_are_alone_have_no_majority(tmp_path):
    alone = [{"completion": boxed("4")}, {"completion": boxed("4")}]
    assert "every answer would be right" in refused(tmp_path, "grade", alone, *MAJORITY)
    assert "no column 'completion'" in refused(tmp_path, "grade", [{"text": "4"}], *MAJORITY)
