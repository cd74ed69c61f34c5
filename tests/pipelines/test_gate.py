"""What the gate writes down, says and refuses, on run folders without any model."""

from functools import partial

import polars as pl
import pytest

from pipelines.gate import inputs, seen_by_gate
from pipelines.perform import STAGES
from pipelines.readers.current import sound
from pipelines.readers.report import text_report
from rft.errors import RFTError
from rft.processes.stopping import Stop
from rft.runs import stages
from rft.runs.stages import Job
from tests.small_run import RIGHT, Answers, do, evaluate, new_run, prepare, solved, whole_round

DEV = "prepare.dev={holdout: 40}"
SAMPLES = [("p0", "a1 " + RIGHT, "stop", 0.5), ("p1", "b2 " + RIGHT, "stop", 0.75)]


def dev(right: int) -> Answers:
    return {("dev", "dev", f"d{i:02}"): solved(4 if i < right else 0, 4) for i in range(40)}


def run_of(path, *rights: int, metric: str = "pass@1"):
    """Make a run whose models solve these numbers of dev problems, the base first."""
    run = new_run(
        path, "select.noise=0", DEV, f"gate={{metric: {metric}}}", f"rounds={len(rights)}"
    )
    prepare(run, answers=dev(0))
    evaluate(run, 0, dev(rights[0]))
    for round, right in enumerate(rights[1:], start=1):
        whole_round(run, round, SAMPLES, dev(right))
    return run


def test_each_comparison_is_noted_and_which_of_them_refused(tmp_path):
    run = run_of(tmp_path / "run", 20, 30, 26, 24, 10, metric="[pass@1, pass@4]")
    notes = run.manifest("gate", 4)
    assert [run.manifest("gate", round)["counts"]["adopted"] for round in (1, 2, 3, 4)] == [
        *(True, True),
        *(False, False),
    ]
    assert [(each["metric"], each["against"], each["roles"]) for each in notes["comparisons"]] == [
        (metric, against, roles)
        for metric in ("pass@1", "pass@4")
        for against, roles in ((0, ["base"]), (1, ["best"]), (2, ["last"]))
    ]
    for each in notes["comparisons"]:
        value, low, high = each["difference"]
        assert low < value < high
        assert each["refuses"] == (high < 0)
    assert notes["comparisons"][1]["difference"][0] == pytest.approx(-0.5)


def test_a_loss_against_the_best_refuses_what_the_last_would_let_pass(tmp_path):
    run = run_of(tmp_path / "run", 20, 30, 26, 24)
    refusing = [each for each in run.manifest("gate", 3)["comparisons"] if each["refuses"]]
    assert [(each["against"], each["roles"]) for each in refusing] == [(1, ["best"])]


def test_a_decision_hangs_on_the_measurements_of_every_adopted_model(tmp_path):
    run = run_of(tmp_path / "run", 20, 30, 10, 30)
    assert list(inputs(run, 3)) == ["evaluations 0", "evaluations 1", "evaluations 3"]
    assert sound(run, "gate", 3) is not None
    manifest = run.manifest("evaluate", 1)
    manifest["outputs"]["evaluations"]["digest"] = "another"
    run.write_manifest("evaluate", 1, manifest)
    assert sound(run, "gate", 3) is None


def test_the_decision_is_said_with_numbers_and_with_what_the_gate_can_see(tmp_path):
    run, said = run_of(tmp_path / "run", 20, 10), []
    run.manifest_path("gate", 1).unlink()
    stages.perform(Job(run, STAGES["gate"], 1, Stop(), said.append))
    assert said[0] == "gate: model 1 refused, surely worse on dev: model 0 stays"
    assert said[1].startswith("  Pass@1 -25.0 [")
    assert said[1].endswith("points against model 0 (base, last, best) -> refused")
    assert said[2].startswith("  dev 40 x 4, Pass@1: a true loss is refused: of 2 points in ")


def test_what_the_gate_can_see_is_told_once_the_base_is_measured_as_the_recipe_asks(tmp_path):
    run = new_run(tmp_path / "run", DEV, "gate={metric: [pass@1, pass@4]}")
    assert seen_by_gate(run) == []
    prepare(run, answers=dev(20))
    evaluate(run, 0, dev(20))
    assert [line[:18] for line in seen_by_gate(run)] == ["dev 40 x 4, Pass@1", "dev 40 x 4, Pass@4"]
    assert seen_by_gate(new_run(run.path, DEV, "gate={on: dev}", "evaluate.dev_n=8")) == []
    assert seen_by_gate(new_run(run.path, DEV)) == []


def test_entropy_without_recorded_statistics_is_refused_in_a_line(tmp_path):
    with pytest.raises(RFTError, match="the answers of model 0 to 40 of 40 dev problems have none"):
        run_of(tmp_path / "run", 20, 20, metric="entropy")


def test_a_collapse_of_entropy_refuses_a_model_that_solves_more(tmp_path):
    run = run_of(tmp_path / "run", 20, 30)
    gated = new_run(run.path, "select.noise=0", DEV, "gate={metric: [pass@1, entropy]}")
    for round, entropy in ((0, 0.5), (1, 0.1)):
        table = run.read("evaluations", round)
        known = table.with_columns(mean_entropy=pl.lit(entropy, pl.Float32))
        run.manifest_path("evaluate", round).unlink()
        do(gated, "evaluate", round, partial(put, known))
    do(gated, "gate", 1)
    notes = gated.manifest("gate", 1)
    assert not notes["counts"]["adopted"]
    assert [each["metric"] for each in notes["comparisons"] if each["refuses"]] == ["entropy"]
    assert "entropy -0.150 [" in text_report(gated)


def put(table: pl.DataFrame, job: Job) -> None:
    job.write("evaluations", table)
    job.notes |= {"model": f"model{job.round}", "tokens": 1, "tokens_per_second": 1}


def test_a_decision_of_version_0_1_is_still_reported(tmp_path):
    run = run_of(tmp_path / "run", 20, 10)
    manifest = run.manifest("gate", 1)
    del manifest["comparisons"]
    manifest["settings"]["gate"] = {"on": "dev", "metric": "pass@1"}
    manifest["inputs"] = {"evaluations": "a", "evaluations before": "b"}
    manifest["inputs"]["evaluations"] = run.output_digest("evaluate", 1, "evaluations")
    manifest |= {"compared_with": 0, "difference": [-0.25, -0.4, -0.1], "metric": "pass@1"}
    run.write_manifest("gate", 1, manifest)
    words = " ".join(text_report(run).split())
    assert (
        "model 1 refused, surely worse: dev Pass@1 -25.0 [-40.0, -10.0] points against model 0 "
        "(last)" in words
    )
