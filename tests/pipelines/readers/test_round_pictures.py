"""Figures of rounds hold numbers that counting the tables gives.

Run: python -m pytest tests/pipelines/readers/test_round_pictures.py
"""

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from pipelines.readers.round_pictures import (
    FEW,
    TRAITS,
    chosen,
    funnels,
    lengths,
    of_one_origin,
    problems,
    within,
)
from rft.charts import Axis, numbers, specification
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run
from tests.small_run import RIGHT, WRONG, do, evaluate, grade, new_run, prepare, sample, solved
from tests.token_run import EVALUATED, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("rounds") / "run", whole=True)


def told(pictures) -> dict[str, list]:
    """Give the numbers of each picture, plot by plot."""
    return {name: list(numbers(specification(chart))) for name, chart in pictures}


def shares_by_hand(values, edges) -> list[float]:
    counts = [
        sum(low <= each and (each < high or high == edges[-1]) for each in values)
        for low, high in pairwise(edges)
    ]
    return [count / max(1, sum(counts)) for count in counts]


def test_a_funnel_is_what_the_tables_count(run):
    ((_, rows),) = told(funnels(run))["funnel-1"]
    sampled = len(run.read("rollouts", 1, ["rollout_id"]))
    kept = len(run.read("kept", 1, ["rollout_id"]))
    rejected = Counter(run.read("rejected", 1, ["rejected_by"])["rejected_by"])
    roles = Counter(run.read("selected", 1, ["role"])["role"])
    left = Counter(run.read("passed_over", 1, ["reason"])["reason"])
    steps: dict = defaultdict(dict)
    for step, part, count in rows:
        steps[step][part] = count
    assert steps[f"sampled ({sampled})"] == {"kept": kept, **rejected}
    wanted = {f"selected, {role}": count for role, count in roles.items()}
    assert steps[f"kept ({kept})"] == wanted | dict(left)
    assert sum(rejected.values()) + kept == sampled


def test_a_round_that_is_not_filtered_yet_is_shown_by_verdict(tmp_path):
    run = new_run(tmp_path / "run")
    samples = [("p0", RIGHT, "stop", 0.5), ("p0", WRONG, "stop", 0.5), ("p1", RIGHT, "stop", 0.5)]
    prepare(run, answers={("test", "test", "t"): solved(1, 2)})
    assert told(funnels(run)) == {}
    sample(run, 1, samples)
    grade(run, 1, samples)
    ((_, rows),) = told(funnels(run))["funnel-1"]
    assert [row[1:] for row in rows] == [["correct", 2], ["wrong", 1]]
    assert told(chosen(run)) == {}


def test_what_was_chosen_is_held_against_what_could_have_been(run):
    plots = told(chosen(run))["chosen-against-pool"]
    kept = run.read("kept", 1).filter(verdict="correct")
    taken = run.read("selected", 1).filter(role="positive")
    verdicts = defaultdict(list)
    for name, verdict in run.read("graded", 1, ["problem_id", "verdict"]).iter_rows():
        verdicts[name].append(verdict == "correct")
    rates = {name: np.mean(each) for name, each in verdicts.items()}
    assert len(plots) == len(TRAITS)
    for trait, (_, rows) in zip(TRAITS, plots, strict=True):
        for frame, what in ((kept, f"pool ({len(kept)})"), (taken, f"selected ({len(taken)})")):
            here = [row for row in rows if row[0] == what]
            if trait == "pass_rate":
                values = [rates[name] for name in frame["problem_id"]]
            else:
                values = frame[trait].to_list()
            edges = [here[0][1], *(row[2] for row in here)]
            values = np.clip(values, edges[0], edges[-1])  # what lies beyond counts at the end
            assert [row[3] for row in here] == pytest.approx(shares_by_hand(values, edges))


def test_where_nothing_could_be_chosen_there_is_no_picture_of_it(tmp_path):
    run = new_run(tmp_path / "run", "select.noise=1", "select.budget=1")
    samples = [("p0", WRONG, "stop", 0.5), ("p1", WRONG + " ", "stop", 0.25)]
    prepare(run, answers={("test", "test", "t"): solved(1, 2)})
    sample(run, 1, samples)
    grade(run, 1, samples)
    do(run, "filter", 1)
    do(run, "select", 1)
    assert told(chosen(run)) == {}


def test_lengths_are_by_verdict_and_few_answers_have_no_shape(run):
    ((_, rows),) = told(lengths(run))["lengths"]
    graded = run.read("graded", 1, ["num_tokens", "verdict"])
    names = Counter(graded["verdict"])
    assert {row[0] for row in rows} == {
        f"{name} ({count})" for name, count in names.items() if count >= FEW
    }
    for name, count in names.items():
        here = [row for row in rows if row[0] == f"{name} ({count})"]
        edges = [here[0][1], *(row[2] for row in here)]
        values = graded.filter(verdict=name)["num_tokens"]
        assert [row[3] for row in here] == pytest.approx(shares_by_hand(values, edges))


def test_no_shape_is_drawn_of_few_answers(tmp_path):
    run = new_run(tmp_path / "run")
    samples = [("p0", RIGHT, "stop", 0.5)] * (FEW - 1)
    prepare(run, answers={("test", "test", "t"): solved(1, 2)})
    assert told(lengths(run)) == {}
    sample(run, 1, samples)
    grade(run, 1, samples)
    assert told(lengths(run)) == {}


def test_problems_lie_where_their_share_of_right_answers_is(tmp_path):
    run = new_run(tmp_path / "run")
    counts = (0, 0, 1, 2, 4)
    answers = {("test", "test", f"t{place}"): solved(c, 4) for place, c in enumerate(counts)}
    prepare(run, answers=answers)
    assert told(problems(run)) == {}
    evaluate(run, 0, answers)
    ((_, rows),) = told(problems(run))["pass-rates-test"]
    assert {row[0] for row in rows} == {"model 0 base"}
    wanted = [0.4, 0, 0.2, 0, 0, 0.2, 0, 0, 0, 0.2]
    assert [row[3] for row in rows] == pytest.approx(wanted)


def test_the_base_and_the_last_model_are_drawn(run):
    ((_, rows),) = told(problems(run))["pass-rates-test"]
    assert {row[0] for row in rows} == {"model 0 base", "model 1"}
    rates = [sum(text == RIGHT for text in each) / len(each) for each in EVALUATED.values()]
    edges = [n / 10 for n in range(11)]
    assert [row[3] for row in rows[:10]] == pytest.approx(shares_by_hand(rates, edges))


def test_an_axis_is_bounded_by_nearly_all_of_its_values():
    axis = Axis("x", "x")
    values = pl.Series([*range(1_000), 10**6, None])
    low, high = within(axis, values).limits
    assert (low, high) == (values.quantile(0.005), values.quantile(0.995))
    assert within(axis, pl.Series([2.0, 2.0])).limits == (2.0, 3.0)
    share = Axis("x", "x", "share", (0, 1))
    assert within(share, values) is share


def test_statistics_of_another_origin_are_left_out_and_counted():
    rows = pl.DataFrame(
        {
            "stats_origin": ["engine", "topk", "engine", None],
            "mean_entropy": [0.1, 0.2, 0.3, None],
            "mean_branching": [1.0, 2.0, 3.0, None],
        }
    )
    same, mixed = of_one_origin(rows)
    assert mixed == 1
    assert same["mean_entropy"].to_list() == [0.1, None, 0.3, None]
    assert same["mean_branching"].to_list() == [1.0, None, 3.0, None]
    whole = rows.filter(stats_origin="engine")
    assert of_one_origin(whole) == (whole, 0)


def test_a_run_that_did_nothing_has_no_pictures(tmp_path):
    run = Run(tmp_path, load_recipe("smoke"))
    for drawn in (funnels, chosen, lengths, problems):
        assert told(drawn(run)) == {}
