"""The figures of a round are the tables' and the report's; what is not known is null.

Run: python -m pytest tests/pipelines/readers/test_figures.py
"""

import json
import re
from pathlib import Path

import pytest

from pipelines.readers.figures import figures, finite, is_complete, scores_of
from pipelines.readers.report import text_report
from rft.runs.folder import open_run
from tests.exported_run import make_online, make_run
from tests.small_loop import SAMPLES, gated, measured
from tests.small_run import evaluate, new_run, prepare, sample, solved, whole_round

OLD = Path(__file__).parents[2] / "data" / "run-of-0.1"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = gated(tmp_path_factory.mktemp("figures") / "run")
    prepare(run, answers=measured(0))
    evaluate(run, 0, measured(20))
    whole_round(run, 1, SAMPLES, measured(30))
    return run


def test_the_funnel_and_the_means_are_those_of_the_tables(run):
    told = figures(run, 1)
    assert told["adopted"] is True
    assert told["funnel"] == {
        "sampled": 4,
        "correct": 2,
        "kept": 3,
        "kept_share": 0.75,
        "selected": 2,
        "trained": None,  # the stand-in for sft counts nothing
        "rejected": {"no_box": 1},
    }
    entropies = [sample[3] for sample in SAMPLES]
    assert told["entropy"] == {
        "sampled": sum(entropies) / 4,
        "pool": sum(entropies[:2]) / 2,
        "selected": sum(entropies[:2]) / 2,
    }
    assert told["branching"]["pool"] == 1 + told["entropy"]["pool"]
    texts = [len(sample[1]) for sample in SAMPLES]
    assert told["response_tokens"] == {"sampled": sum(texts) / 4, "selected": sum(texts[:2]) / 2}


def test_tokens_are_those_of_the_round_and_of_the_run_up_to_it(run):
    base, first = figures(run, 0)["cost"], figures(run, 1)["cost"]
    evaluated = run.manifest("evaluate", 1)["tokens"]
    sampled = run.manifest("sample", 1)["tokens"]
    assert base["tokens"] == base["tokens_of_run"] == run.manifest("evaluate", 0)["tokens"]
    assert first["tokens"] == evaluated + sampled
    assert first["tokens_of_run"] == first["tokens"] + base["tokens"]
    assert first["tokens_per_second"] == 100


def test_scores_and_their_intervals_are_the_reports(run):
    report = re.sub(r"([\[,]) +", r"\1", text_report(run))
    for name in ("dev", "test"):
        of = figures(run, 1)["scores"][name]
        for metric in ("pass@1", "pass@4"):
            each, change = of[metric], of[metric]["change"]
            here = [100 * each[part] for part in ("value", "low", "high")]
            moved = [100 * change[part] for part in ("value", "low", "high")]
            assert "{:.1f} [{:.1f},{:.1f}]".format(*here) in report
            assert "{:+.1f} [{:+.1f},{:+.1f}]".format(*moved) in report
    assert figures(run, 1)["scores"]["dev"]["problems"] == 40


def test_the_base_has_no_change_and_no_funnel(run):
    told = figures(run, 0)
    assert told.keys() == {"adopted", "scores", "cost"}
    assert told["adopted"] is None
    assert "change" not in told["scores"]["dev"]["pass@1"]


def test_a_round_is_complete_when_its_last_stage_is_done_and_stands(tmp_path):
    run = gated(tmp_path / "run")
    prepare(run, answers=measured(0))
    assert not is_complete(run, 0)
    evaluate(run, 0, measured(20))
    assert is_complete(run, 0)
    sample(run, 1, SAMPLES)
    assert not is_complete(run, 1)


def test_a_benchmark_that_the_base_was_not_measured_on_has_no_change(tmp_path):
    run = new_run(tmp_path / "run")
    places = {("test", name, f"{name}0"): solved(2, 4) for name in ("a", "b")}
    prepare(run, answers=places)
    evaluate(run, 0, {place: each for place, each in places.items() if place[1] == "a"})
    whole_round(run, 1, SAMPLES, places)
    scores = scores_of(run, 1)
    assert list(scores) == ["test a", "test b"]
    assert scores["test a"]["pass@4"]["change"]["value"] == 0
    assert "change" not in scores["test b"]["pass@4"]


def test_online_training_has_its_own_figures(tmp_path):
    told = figures(make_online(tmp_path / "run"), 1)
    assert told["funnel"] == {"sampled": 24, "trained": 21}
    assert (told["steps"], told["reward"]["mean"]) == (3, 0.5)
    assert told["adopted"] is None
    json.dumps(told, allow_nan=False)


def test_hostile_answers_and_older_runs_have_figures_too(tmp_path):
    json.dumps(figures(make_run(tmp_path / "run"), 2), allow_nan=False)
    told = figures(open_run(OLD), 1)
    assert told["scores"]["test"]["pass@1"]["value"] >= 0
    json.dumps(told, allow_nan=False)


def test_what_json_does_not_know_is_null():
    unknown = {"b": float("nan"), "c": [{"d": [1.5, float("-inf")]}]}
    assert finite({"a": unknown, "e": 1, "f": True}) == {
        "a": {"b": None, "c": [{"d": [1.5, None]}]},
        "e": 1,
        "f": True,
    }
