"""Pins what `sample` asks under `order: adaptive`: a function of what earlier rounds graded."""

from itertools import pairwise
from pathlib import Path

import pytest

from pipelines import sample
from pipelines.perform import STAGES
from rft.problems.order import adaptive_problems
from rft.runs import stages
from rft.runs.folder import Run
from tests.small_run import RIGHT, WRONG, do, evaluate, grade, new_run, prepare, whole_round
from tests.small_run import sample as sample_as

MEASURED = {("test", "test", "t"): [RIGHT] * 4}
NAMES = [f"p{number}" for number in range(8)]


def begin(folder: Path, order: str = "adaptive", *settings: str) -> Run:
    run = new_run(
        folder,
        f"sample.order={order}",
        "sample.problems=4",
        "rounds=4",
        "select.noise=0",
        *settings,
    )
    prepare(run, train=NAMES, answers=MEASURED)
    evaluate(run, 0, MEASURED)
    return run


def answers(names: list[str], hard: str) -> list[tuple[str, str, str, float]]:
    """Answer each problem twice: one of them wrongly both times, one once."""
    wrong = {(hard, 0), (hard, 1), (names[0], 1)}
    return [
        (name, f"{name} {index} " + (WRONG if (name, index) in wrong else RIGHT), "stop", 0.5)
        for name in names
        for index in range(2)
    ]


def test_three_rounds_take_what_the_earlier_ones_make_them_take(tmp_path):
    run = begin(tmp_path / "run")
    given: list[dict[str, tuple[int, int]]] = []
    taken = []
    for round in (1, 2, 3):
        chosen = sample.problems_for(run, round)
        assert chosen == adaptive_problems(NAMES, 4, run.recipe.seed, given)
        taken.append(chosen)
        rows = answers(chosen, hard=chosen[1])
        whole_round(run, round, rows, MEASURED)
        given.append(
            {name: (sum(RIGHT in row[1] for row in rows if row[0] == name), 2) for name in chosen}
        )
        # What is done stays done, and is told the same however often it is asked.
        assert stages.is_current(STAGES["sample"], run, round)
        assert sample.problems_for(Run(run.path, run.recipe), round) == chosen
    # Of 8 answers 5 are right: 4 * 25 // 64 = 1 problem moves on, three come again.
    assert [len(set(one) & set(other)) for one, other in pairwise(taken)] == [
        3,
        3,
    ]


def test_the_key_of_a_round_holds_what_earlier_rounds_graded(tmp_path):
    run = begin(tmp_path / "run")
    whole_round(run, 1, answers(NAMES[:4], "p1"), MEASURED)
    digests = sample.inputs(run, 2)
    assert digests["graded 1"] == run.output_digest("grade", 1, "graded")
    assert sample.settings(run, 2)["order"] == "adaptive"
    whole_round(run, 2, answers(NAMES[4:], "p5"), MEASURED)
    assert stages.is_current(STAGES["sample"], run, 2)
    # Other answers in round 1 make other problems of round 2.
    other = answers(NAMES[:4], "p2")
    run.put_away([run.manifest_path(name, 1) for name in ("sample", "grade")])
    sample_as(run, 1, other)
    grade(run, 1, other)
    for stage in ("filter", "select"):
        do(run, stage, 1)
    assert stages.state_of(STAGES["sample"], run, 2) in ("redo", "follow")


@pytest.mark.parametrize("order", ["shuffled", "adaptive"])
def test_a_shuffled_run_has_the_key_of_before_there_was_a_choice(order, tmp_path):
    run = begin(tmp_path / "run", order)
    whole_round(run, 1, answers(NAMES[:4], "p1"), MEASURED)
    adaptive = order == "adaptive"
    assert ("order" in sample.settings(run, 2)) == adaptive
    assert ("graded 1" in sample.inputs(run, 2)) == adaptive
    assert "graded 1" not in sample.inputs(run, 1)
