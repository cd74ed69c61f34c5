"""The preflight: an engine has room for its probes, and is warm before they are timed."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from pipelines import evaluate
from rft.engines import Finished, Request, open_engine
from rft.processes.stopping import Stop
from rft.runs.stages import Job, Stage
from rft.sampling import preflight
from tests.small_run import new_run, prepare, solved


@pytest.fixture
def plan(tmp_path):
    """Give a function that plans to measure the base: the first stage of a run that samples."""

    def begin(*settings: str):
        run = new_run(tmp_path / "run", *settings)
        # What is learnt from has the longest questions.
        answers = {("test", "test", f"t{number}"): solved(1, 4) for number in range(4)}
        prepare(run, train=[f"p{number} and then {number}" for number in range(8)], answers=answers)
        return evaluate.plan(run, 0)

    return begin


@pytest.mark.parametrize("kind", ["vllm", "server"])
@pytest.mark.parametrize(("measured", "learnt"), [(16, 300), (300, 16)])
def test_an_engine_that_measures_has_room_for_the_probes(plan, monkeypatch, kind, measured, learnt):
    setting = "{kind: vllm}" if kind == "vllm" else "{kind: server, url: 'http://nowhere/v1'}"
    limits = (f"evaluate.max_tokens={measured}", f"sample.max_tokens={learnt}")
    found = plan(f"engine={setting}", *limits)
    prompt, probe = (
        max(len(each.prompt_ids) for each in which) for which in (found.asked, found.probes)
    )
    assert prompt < probe
    given = {}
    name = {"vllm": "vllm.Vllm", "server": "server.Server"}[kind]
    monkeypatch.setattr(f"rft.engines.{name}", lambda *_, **words: given.update(words))
    open_engine(found, seed=0)
    assert given["longest"] == max(prompt + measured, probe + learnt)
    assert given["sampling"].max_tokens == measured


class Cold:
    """An engine that compiles for 100 s first; an answer to problem i is 100 i tokens in 1 s."""

    def __init__(self):
        self.now, self.cold = 0, True

    def units(self, requests):
        return [[request] for request in requests]

    def sample(self, feed, _sampling, *, check):
        while (unit := feed.take(wait=True)) is not None:
            check()
            self.now += 100 * self.cold + 1
            self.cold = False
            count = int(unit[0].problem_id)
            yield [Finished(unit[0], "", "stop", *[None] * 5, num_tokens=100 * count)]


@pytest.mark.parametrize(
    ("count", "timed"), [(1, [1]), (2, [2]), (8, range(2, 9)), (9, [9]), (64, range(9, 65))]
)
def test_the_engine_is_warm_before_probes_are_timed_and_some_are_timed(
    plan, monkeypatch, count, timed
):
    asked = plan("rounds=0")
    probes = [
        Request(f"r{number}", str(number), 0, 0, "", (1,), 0) for number in range(1, count + 1)
    ]
    engine, said = Cold(), []
    monkeypatch.setattr(preflight, "time", SimpleNamespace(monotonic=lambda: engine.now))
    stage = Stage("evaluate", lambda *_: {}, lambda *_: {}, lambda _: None)
    job = Job(asked.run, stage, 0, Stop(), said.append)
    preflight.preflight(job, replace(asked, probes=probes), lambda: engine)
    seconds = len(timed) + 100 * (count == 1)
    speed = 100 * sum(timed) / seconds
    assert said[-1].startswith(f"preflight: of {count} probes {count} stopped")
    assert said[-1].endswith(f"at {speed:,.0f} tokens/s")
