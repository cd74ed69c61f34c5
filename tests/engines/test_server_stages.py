"""Pins what a failed request means for a stage: a few are told, too many are refused, all return.

Run: python -m pytest tests/engines/test_server_stages.py
"""

import re
from types import SimpleNamespace

import pytest

from pipelines.perform import STAGES
from rft.errors import RFTError
from rft.processes.stopping import Stop
from rft.recipe.loading import load_recipe
from rft.runs import stages
from rft.runs.folder import Run
from rft.runs.stages import Job
from rft.sampling.collect import collect_share
from rft.seeds import derive
from tests import small_run


@pytest.fixture
def stage(serve, tmp_path, monkeypatch):
    """Do a sampling stage with a server that refuses some requests by their seeds."""
    monkeypatch.setattr("rft.sampling.worker.preflight", lambda *_: None)
    bad: set[int] = set()
    fake = serve(lambda call: (400, b"", {}) if call.body["seed"] in bad else None)
    how = [f"engine={{kind: server, url: '{fake.url}', served_model: tiny}}", "sample.problems=5"]
    # With statistics wanted, what failed would be left out for having none.
    how += ["sample.statistics={entropy: false, branching: false}"]
    # 240 answers, and 20 of a benchmark where each counts for five times the limit.
    answers = {("test", "large", f"p{i}"): () for i in range(60)}
    answers |= {("test", "small", f"q{i}"): () for i in range(5)}
    small_run.prepare(
        small_run.new_run(tmp_path / "run", *how),
        train=[f"t{i}" for i in range(5)],
        answers=answers,
    )

    def begun(*settings):
        return Run(tmp_path / "run", load_recipe("smoke", [*how, *settings]))

    def do(name, round, *settings):
        run, said = begun(*settings), []
        first = len(fake.calls)
        try:
            job = Job(run, STAGES[name], round, Stop(), said.append)
            if not stages.is_current(job.stage, run, round):
                stages.perform(job)
        except RFTError as trouble:
            said.append(trouble)
        seeds = [call.body["seed"] for call in fake.calls[first:] if not call.probe]
        return run, said, seeds

    return SimpleNamespace(begun=begun, do=do, bad=bad)


def seed_of(benchmark, problem, index):
    return derive(0, "evaluate", "test", benchmark, problem, index)


@pytest.mark.parametrize("array", [False, True])
def test_an_evaluation_of_which_too_much_failed_is_refused_and_asked_for_again(stage, array):
    stage.bad |= {seed_of("large", "p3", i) for i in range(3)} | {seed_of("large", "p4", 0)}
    if array:
        evaluate, begun = STAGES["evaluate"], stage.begun()
        job = Job(begun, evaluate, 0, Stop(), print)
        assert collect_share(job, evaluate.plan(begun, 0), 0, 1) == 65
    begun, [trouble], seeds = stage.do("evaluate", 0)
    assert len(seeds) == (0 if array else 260)
    assert re.search(r"HTTP 400\): 4 of 240 on test/large; above 1%.*run again", str(trouble))
    assert "\n" not in str(trouble)
    assert begun.manifest("evaluate", 0) is None
    gone = stage.bad.pop()
    _, [again], seeds = stage.do("evaluate", 0)
    assert "3 of 240" in str(again)
    assert set(seeds) == stage.bad | {gone}, "what did not fail is not asked for again"
    left = set(stage.bad)
    stage.bad.clear()
    begun, said, seeds = stage.do("evaluate", 0)
    assert set(seeds) == left
    assert said == []
    rows = begun.read("evaluations", 0)
    assert len(rows) == 260
    assert set(rows["finish_reason"]) == {"stop"}


def test_the_share_that_failed_is_a_benchmarks_own(stage):
    stage.bad.add(seed_of("small", "q0", 0))
    _, [trouble], _ = stage.do("evaluate", 0)
    assert "1 of 20 on test/small" in str(trouble)


def test_few_failed_answers_are_told_and_count_as_none(stage):
    stage.bad |= {seed_of("large", "p3", 0), seed_of("large", "p4", 1)}
    begun, [said], _ = stage.do("evaluate", 0)
    assert "2 of 240 on test/large" in said
    assert "lower Pass@1" in said
    failed = begun.read("evaluations", 0).filter(finish_reason="error")
    assert set(failed["verdict"]) == {"no_answer"}
    assert len(failed) == 2


def test_a_failed_rollout_is_told_and_sampled_again_by_the_next_plan(stage):
    stage.bad |= {derive(0, "sample", 1, "t0", index) for index in range(2)}
    begun, [said], seeds = stage.do("sample", 1)
    assert said.startswith("2 of 20 answers failed at the engine")
    assert len(seeds) == 20
    assert begun.manifest("sample", 1)["counts"]["finish_reason"] == {"error": 2, "stop": 18}
    again = set(stage.bad)
    stage.bad.clear()
    new = {derive(0, "sample", 1, f"t{i}", 4) for i in range(5)}
    begun, said, seeds = stage.do("sample", 1, "sample.n=5")
    assert set(seeds) == again | new
    assert said == []
    assert set(begun.read("rollouts", 1)["finish_reason"]) == {"stop"}
