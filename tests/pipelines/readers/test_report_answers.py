"""Pins what the report says of answers: votes, variety, and what is ever solved, by hand."""

import polars as pl
import pytest

from pipelines.readers.blocks import Block, lines_of
from pipelines.readers.measured_on import MeasuredOn
from pipelines.readers.report_answers import (
    ahead_in_words,
    lost_variety,
    solvable,
    variety,
)
from rft.measuring.crossover import Crossover
from rft.runs import tables
from rft.runs.folder import Run
from tests.answer_frames import answered, solved_of
from tests.small_run import frame, new_run


@pytest.fixture
def run(tmp_path) -> Run:
    return new_run(tmp_path / "run")


def words(blocks: list[Block]) -> list[str]:
    lines = lines_of(blocks)
    assert all(len(line) <= 100 for line in lines)
    return [" ".join(line.split()) for line in lines]


def test_answers_vote_differ_and_leave_problems_unsolved(run):
    base = answered({"a": [0, 1, 1, 2], "b": [0, 0, 1, None], "c": [None] * 4})
    lines = words(variety(run, {0: base, 1: answered({"a": [0] * 4, "b": [0] * 4, "c": [1] * 4})}))
    assert lines[0] == "all answers maj@4 distinct entropy, nats unsolved"
    # One of three votes; 3, 2 and 0 different ones; (1.04 + 0.64 + 0) / 3 nats.
    assert lines[1] == "0 base 33.3 1.67 0.56 1 of 3"
    assert lines[2] == "1 66.7 1.00 0.00 1 of 3"


def test_uneven_numbers_of_answers_are_named_so_and_unknown_classes_have_no_vote(run):
    frame = answered({"a": [0, 1], "b": [0]})
    older = frame.with_columns(answer_class=pl.lit(None, pl.Int32))
    lines = words(variety(run, {0: frame, 1: older}))
    assert lines[0].startswith("all answers maj@n distinct")
    assert lines[2] == "1 - - - 0 of 2"


def test_what_is_gained_and_lost_stands_beside_what_luck_would_do(run):
    before, after = solved_of([(1, 4), (0, 4), (0, 4), (4, 4)]), solved_of([(0, 4), (4, 4)] * 2)
    text = " ".join(words(solvable(run, "test", {0: before, 1: None, 2: after})))
    # By luck: one right of 8 falls on either side, four of 8 with C(4, 4) / C(8, 4).
    assert text.startswith(
        "model 2: newly solved: 1, newly lost: 1 (were the models equal, by luck alone 0.5 "
        "and 0.5); 50.0% of what the base solves at all is kept; the base"
    )


def evaluated(run: Run, model: int, answers: pl.DataFrame) -> None:
    """Write what a model answered to a run's test problems."""
    more = {"round": model, "split": "test", "finish_reason": "stop", "model": "m"}
    rows = [
        {**row, **more, "sample_index": place}
        for place, row in enumerate(answers.iter_rows(named=True))
    ]
    run.folder("evaluations", model).mkdir(parents=True)
    tables.write(run.folder("evaluations", model), "evaluations", frame("evaluations", rows))


def test_variety_that_is_lost_is_parted_into_wrong_answers_and_right_texts(run):
    texts = {"p": ["a", "b", "c", "d"], "q": ["a b", "a  b\n", "c", "d"]}
    before = answered({"p": [0, 0, 1, 2], "q": [0, 0, 0, 1]}, texts)
    after = answered({"p": [0, 0, 0, 0], "q": [0, 0, 0, 1]}, texts | {"q": ["a", "b", "c", "d"]})
    known = {0: before, 1: answered({"p": [0], "q": [0]}), 2: after}
    for model, answers in known.items():
        evaluated(run, model, answers)
    older = known[1].with_columns(answer_class=pl.lit(None, pl.Int32))
    text = " ".join(words(lost_variety(run, MeasuredOn("test", "b"), known | {1: older})))
    # Two wrong ones of p are gone, of q none; of three texts of q two were the same.
    assert text.startswith("model 2: against the base, of equally many samples: -1.00 [")
    assert "] distinct wrong answers a problem, +0.50 [" in text
    assert "(of 2 that both solve twice; long texts never repeat)" in text
    assert lost_variety(run, MeasuredOn("test", "b"), {0: before}) == []
    assert lost_variety(run, MeasuredOn("test", "b"), {0: before, 1: older}) == []


def test_without_the_base_or_another_model_nothing_is_compared(run):
    frame = solved_of([(1, 4)])
    assert solvable(run, "test", {0: frame}) == []
    assert solvable(run, "test", {0: None, 1: frame}) == []


def test_a_base_that_solves_nothing_has_nothing_to_keep(run):
    text = " ".join(words(solvable(run, "test", {0: solved_of([(0, 4)]), 1: solved_of([(4, 4)])})))
    assert "kept" not in text
    assert "newly solved: 1, newly lost: 0 (" in text


def test_a_crossing_is_told_with_its_ends_and_the_lack_of_one_with_its_doubt():
    told = ahead_in_words(Crossover(14, 5, None, 64, 0.8))
    assert told == "the base is ahead from k = 14 [5, none up to 64]"
    told = ahead_in_words(Crossover(None, 40, None, 64, 0.123))
    assert told == "the base overtakes at no k up to 64 (it does in 12% of resamples)"
