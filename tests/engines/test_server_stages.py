"""Pins what a request that comes to nothing means for a stage: it ends, and has the rest next time.

Run: python -m pytest tests/engines/test_server_stages.py
"""

import re
from types import SimpleNamespace

import pytest

from pipelines.perform import STAGES
from rft.engines import Finished
from rft.errors import Interrupted, RFTError
from rft.processes.stopping import Stop
from rft.recipe.loading import load_recipe
from rft.runs import stages
from rft.runs.folder import Run
from rft.runs.stages import Job
from rft.sampling.collect import collect_share
from rft.sampling.shards import renew
from rft.sampling.worker import Worker
from rft.seeds import derive
from tests import small_run


@pytest.fixture
def stage(serve, tmp_path, monkeypatch):
    """Do a sampling stage with a server that refuses some requests by their seeds."""
    monkeypatch.setattr("rft.sampling.worker.preflight", lambda *_: None)
    made = SimpleNamespace(bad=set(), status=500)
    fake = serve(lambda call: (made.status, b"", {}) if call.body["seed"] in made.bad else None)
    how = [f"engine={{kind: server, url: '{fake.url}', served_model: tiny}}", "sample.problems=5"]
    how += ["engine.args={retries: 0}"]
    # With statistics wanted, what failed would be left out for having none.
    how += ["sample.statistics={entropy: false, branching: false}"]
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
            job = Job(run, STAGES[name], round, Stop(), said.append, accept=lambda _rows: ())
            if not stages.is_current(job.stage, run, round):
                stages.perform(job)
        except (Interrupted, RFTError) as trouble:
            said.append(trouble)
        seeds = [call.body["seed"] for call in fake.calls[first:] if not call.probe]
        return run, said, seeds

    made.begun, made.do = begun, do
    return made


def seed_of(benchmark, problem, index):
    return derive(0, "evaluate", "test", benchmark, problem, index)


@pytest.mark.parametrize("array", [False, True])
def test_a_measurement_with_missing_answers_is_refused_and_asked_for_again(stage, array):
    stage.bad |= {seed_of("large", "p3", i) for i in range(3)} | {seed_of("small", "q0", 0)}
    if array:
        evaluate, begun = STAGES["evaluate"], stage.begun()
        job = Job(begun, evaluate, 0, Stop(), print)
        with pytest.raises(Interrupted, match="4 of 260 answers"):
            collect_share(job, evaluate.plan(begun, 0), 0, 1)
    begun, [trouble], seeds = stage.do("evaluate", 0)
    assert set(seeds) == stage.bad if array else len(set(seeds)) == 260
    of = 4 if array else 260
    assert re.search(
        rf"4 of {of} answers asked for are missing .HTTP 500: no reason .4.", str(trouble)
    )
    assert isinstance(trouble, Interrupted)
    assert "\n" not in str(trouble)
    assert begun.manifest("evaluate", 0) is None
    gone = stage.bad.pop()
    _, [again], seeds = stage.do("evaluate", 0)
    assert "3 of 4 answers" in str(again)
    assert set(seeds) == stage.bad | {gone}, "what is there is not asked for again"
    left = set(stage.bad)
    stage.bad.clear()
    begun, said, seeds = stage.do("evaluate", 0)
    assert set(seeds) == left
    assert said == []
    rows = begun.read("evaluations", 0)
    assert len(rows) == 260
    assert set(rows["finish_reason"]) == {"stop"}


def test_a_measurement_that_the_server_refuses_to_answer_in_part_needs_a_person(stage):
    stage.status = 400
    stage.bad.add(seed_of("large", "p3", 0))
    begun, [trouble], _ = stage.do("evaluate", 0)
    assert isinstance(trouble, RFTError)
    assert re.search(
        r"1 of 260 .*refuses.*one to problem p3 .*leave those problems out", str(trouble)
    )
    assert begun.manifest("evaluate", 0) is None


def test_a_round_with_missing_answers_is_not_closed_and_the_next_plan_asks_for_them(stage):
    stage.bad |= {derive(0, "sample", 1, "t0", index) for index in range(2)}
    begun, [trouble], seeds = stage.do("sample", 1)
    assert "2 of 20 answers" in str(trouble)
    assert len(set(seeds)) == 20
    assert begun.manifest("sample", 1) is None
    again = set(stage.bad)
    stage.bad.clear()
    new = {derive(0, "sample", 1, f"t{i}", 4) for i in range(5)}
    begun, said, seeds = stage.do("sample", 1, "sample.n=5")
    assert set(seeds) == again | new
    assert said == []
    assert set(begun.read("rollouts", 1)["finish_reason"]) == {"stop"}


def test_waves_wait_for_missing_answers_too(stage):
    until = "sample.until={accepted: 1, wave: 2, max: 4}"
    stage.bad.add(derive(0, "sample", 1, "t0", 1))
    begun, [trouble], seeds = stage.do("sample", 1, until)
    assert "1 of" in str(trouble)
    stage.bad.clear()
    begun, said, again = stage.do("sample", 1, until)
    assert said == []
    assert not set(again) & set(seeds) - {derive(0, "sample", 1, "t0", 1)}
    assert len(begun.read("rollouts", 1)) == 20


def test_rows_of_failed_requests_that_an_earlier_version_left_are_asked_for_again(stage):
    begun = stage.begun()
    job = Job(begun, STAGES["sample"], 1, Stop(), print)
    plan = STAGES["sample"].plan(begun, 1)
    work = Worker(job, plan, job.work / "worker-0")
    renew(job, plan, 1)
    request = plan.asked[0].request(0)
    nothing = dict.fromkeys(["token_ids", "logprobs", "entropies", "branching", "stats_origin"])
    work.shards.add([Finished(request, "", "error", **nothing, num_tokens=0)])
    work.shards.flush({})
    _, [trouble], seeds = stage.do("sample", 1)
    assert "1 of 20 answers are missing, which an earlier version" in str(trouble)
    assert len(seeds) == 19
    begun, said, seeds = stage.do("sample", 1)
    assert (said, seeds) == ([], [request.seed])
    assert set(begun.read("rollouts", 1)["finish_reason"]) == {"stop"}
