"""Stages that go through a table some rows at a time do what they would do with all of it at once.

Random tables, rules and settings: the counts add up, nothing is lost and nothing is there twice.
"""

import shutil
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, note
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as some

from pipelines.filter import apply_rules
from pipelines.grade import whole_problems
from rft.errors import RFTError
from rft.grading.answers import NO_FORM
from rft.grading.endings import endings
from rft.grading.grade import grade, keys_of
from rft.grading.verifiers import open_verifier
from rft.measuring.pass_rates import pass_rates
from rft.recipe import Grade
from rft.runs import tables
from rft.runs.folder import Run
from rft.seeds import derive
from rft.selection.choice import select
from tests import small_run

TEXTS = some.sampled_from(
    [
        "",
        " ",
        "so \\boxed{7}",
        "so \\boxed{7} and more",
        "3 + 4 = \\boxed{8}",
        "\\boxed{7} or \\boxed{8}",
        "no digit here \\boxed{}",
        "again and again and again and again and again \\boxed{7}",
        "是 7: \\boxed{7}",
        "\ud7ff 9 \\boxed{ 9 }",
        "it is 12",
    ]
)
SAMPLES = some.lists(
    some.tuples(
        some.sampled_from(["p0", "p1", "p2", "p3"]),
        TEXTS,
        some.sampled_from(["stop", "length"]),
        some.none(),
    ),
    min_size=1,
    max_size=40,
)
RULES = some.dictionaries(
    some.sampled_from(["no_box", "no_digit", "duplicate", "truncated", "mixed_language"]),
    some.just({}),
).flatmap(
    lambda rules: some.fixed_dictionaries(
        {name: some.just(parameters) for name, parameters in rules.items()},
        optional={
            "redundant": some.fixed_dictionaries({"threshold": some.floats(0, 1)}),
            "many_boxes": some.fixed_dictionaries({"most": some.integers(1, 3)}),
            "too_long": some.fixed_dictionaries({"max_tokens": some.integers(1, 60)}),
        },
    )
)
CHOICES = some.fixed_dictionaries(
    {
        "by": some.just("random"),
        "budget": some.integers(1, 30),
        "noise": some.sampled_from([0, 0.25, 0.5]),
        "per_problem": some.none() | some.integers(1, 3),
        "where": some.none() | some.sampled_from(["num_boxed <= 1", "pass_rate < 0.9"]),
    },
    optional={"within": some.just("problem"), "strata": some.just("length")},
).filter(lambda made: not ("within" in made and "strata" in made))


@hypothesis_settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    samples=SAMPLES,
    rules=RULES,
    choice=CHOICES,
    group=some.integers(1, 4000),
    parts=some.sampled_from([1, 2, 50]),
)
def test_streamed_stages_equal_those_in_memory_and_lose_nothing(
    tmp_path, monkeypatch, samples, rules, choice, group, parts
):
    monkeypatch.setattr(tables, "ROW_GROUP_BYTES", group)
    monkeypatch.setattr("pipelines.selection.parts_for", lambda _size: parts)
    samples = sorted(samples, key=lambda sample: sample[0])  # as they are put together
    run = begun(tmp_path, rules, choice)
    small_run.sample(run, 1, samples)
    small_run.do(run, "grade", 1)
    graded = run.read("graded", 1)
    keys = keys_of(run.read("problems", 0))
    rollouts = run.read("rollouts", 1)
    with open_verifier(run.recipe.grade) as verifier:
        assert graded.equals(grade(rollouts, keys, verifier=verifier, trim=None, form=NO_FORM))
    assert run.manifest("grade", 1)["endings"] == endings(rollouts, graded)
    small_run.do(run, "filter", 1)
    kept, rejected = run.read("kept", 1), run.read("rejected", 1)
    for mine, theirs in zip((kept, rejected), apply_rules(graded, rules), strict=True):
        assert mine.equals(theirs.select(mine.columns))
    assert len(kept) + len(rejected) == len(graded) == len(samples)
    counts = run.manifest("filter", 1)["counts"]
    assert counts["rejected"] == dict(Counter(rejected["rejected_by"]))
    select_too(run, kept, pass_rates([graded]))


def begun(folder: Path, rules, choice) -> Run:
    """Begin a run with problems that are answered 7, without a model's tokens."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    run = small_run.new_run(folder / "run", "grade.verifier=exact")
    recipe = run.recipe.model_copy(
        update={
            "filter": rules,
            "select": type(run.recipe.select)(**choice),
            "grade": Grade(verifier="exact"),
        }
    )
    run = Run(run.path, recipe)
    small_run.prepare(run, train=["p0", "p1", "p2", "p3"], answers={})
    return run


def select_too(run: Run, kept: pl.DataFrame, rates) -> None:
    """Select from what is kept: as in memory, and each row once, or refuse as there."""
    seed = derive(run.recipe.seed, "select", 1)
    try:
        wanted = select(kept, settings=run.recipe.select, seed=seed, pass_rates=rates)
    except RFTError as error:
        note(str(error))
        with pytest.raises(RFTError, match="select"):
            small_run.do(run, "select", 1)
        return
    small_run.do(run, "select", 1)
    selected, passed_over = run.read("selected", 1), run.read("passed_over", 1)
    assert selected.equals(wanted.rows.select(selected.columns))
    order = ["rollout_id"]
    assert passed_over.sort(order).equals(
        wanted.passed_over.select(passed_over.columns).sort(order)
    )
    assert len(selected) + len(passed_over) == len(kept)
    assert sorted([*selected["rollout_id"], *passed_over["rollout_id"]]) == sorted(
        kept["rollout_id"]
    )
    counts = run.manifest("select", 1)["counts"]
    assert counts["in"] == sum(counts["selected"].values()) + sum(counts["dropped"].values())


def test_rows_of_a_problem_come_together_however_they_were_cut():
    frame = pl.DataFrame({"problem_id": list("aaabbcdddd"), "row": range(10)})
    for size in range(1, 12):
        cut = [frame[start : start + size] for start in range(0, 10, size)]
        whole = list(whole_problems([frame[:0], *cut, frame[:0]]))
        assert pl.concat(whole).equals(frame)
        names = [name for part in whole for name in part["problem_id"].unique()]
        assert sorted(names) == list("abcd")
    assert [len(rows) for rows in whole_problems([frame[:0]])] == [0]


def test_rows_of_a_problem_that_do_not_stand_together_are_not_graded_apart():
    rows = [pl.DataFrame({"problem_id": list(names)}) for names in ("ab", "ca", "b")]
    with pytest.raises(AssertionError, match="do not stand together"):
        list(whole_problems(rows))
