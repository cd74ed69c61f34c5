"""The preflight: an engine has room for its probes and is warm first, and what is made of them."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from pipelines import evaluate
from rft.engines import Finished, Request, open_engine
from rft.processes.stopping import Stop
from rft.runs.stages import Job, Stage
from rft.sampling import preflight
from tests.small_run import evaluate as write_evaluation
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


class Told:
    """An engine whose answers box a 7 and talk on: 30 tokens, or as many as are allowed."""

    def __init__(self):
        self.asked = []

    def units(self, requests):
        return [[request] for request in requests]

    def sample(self, feed, sampling, *, check):
        while (unit := feed.take(wait=True)) is not None:
            check()
            self.asked.append((unit[0].benchmark, sampling.temperature, sampling.max_tokens))
            text = "so \\boxed{7}, as I said."
            count = min(30, sampling.max_tokens)
            yield [Finished(unit[0], text, "stop", *[None] * 5, num_tokens=count)]


def foretold(asked):
    """Make a preflight of which every other answer is accepted; give engine and forecast."""
    engine = Told()
    stage = Stage("evaluate", lambda *_: {}, lambda *_: {}, lambda _: None)
    job = Job(asked.run, stage, 0, Stop(), lambda _: None)
    job.accept = lambda rows: rows["rollout_id"].to_list()[::2]
    return engine, preflight.preflight(job, asked, lambda: engine)


def test_what_is_measured_is_probed_only_where_it_is_sampled_in_its_own_way(plan):
    same = plan()
    assert {each.benchmark for each in same.probes} == {None}
    engine, ahead = foretold(same)
    assert {limit for *_, limit in engine.asked} == {same.run.recipe.sample.max_tokens}
    answers = 4 * 2 * same.run.recipe.evaluate.samples("test")
    assert ahead.evaluation_tokens == answers * 30


def test_probes_of_what_is_measured_have_its_settings(plan):
    other = plan("evaluate.temperature=0.5", "evaluate.max_tokens=20")
    engine, ahead = foretold(other)
    measured = [asked for asked in engine.asked if asked[0] is not None]
    assert measured == [("test/test", 0.5, 20)] * 4
    assert len(engine.asked) == 8 + 4
    assert ahead.evaluation_tokens == 4 * 2 * other.run.recipe.evaluate.samples("test") * 20


def test_training_tokens_are_those_of_trimmed_responses(plan):
    asked = plan()
    foretold(asked)
    probes = preflight.probes_noted(asked.run)
    trimmed = len(asked.prompts.encode("so \\boxed{7}"))
    assert probes.responses == [[trimmed]] * 8
    assert [verdict for (verdict,) in probes.accepted] == [True, False] * 4


def test_a_preflight_is_made_again_for_another_way_to_evaluate_and_for_the_first_round(plan):
    asked = plan("rounds=0")
    engine, ahead = foretold(asked)
    assert ahead is None
    assert len(engine.asked) == 8
    assert preflight.probes_noted(asked.run) is None

    def with_recipe(**changes):
        return replace(asked.run, recipe=asked.run.recipe.model_copy(update=changes))

    assert preflight.is_current(asked.run)
    assert not preflight.is_current(with_recipe(rounds=1))
    cooler = asked.run.recipe.evaluate.model_copy(update={"temperature": 0.5})
    assert preflight.is_current(with_recipe(evaluate=cooler))  # nothing was forecast
    assert preflight.key_of_preflight(with_recipe(rounds=1)) != preflight.key_of_preflight(
        with_recipe(rounds=1, evaluate=cooler)
    )


def test_a_stage_that_is_done_tells_the_speed_in_place_of_the_probes(plan):
    asked = plan()
    foretold(asked)
    assert preflight.recorded(asked.run).speed.rough
    run, answers = asked.run, {("test", "test", "t0"): solved(1, 4)}
    write_evaluation(run, 0, answers)
    made = run.manifest("evaluate", 0)
    run.write_manifest("evaluate", 0, made | {"tokens_per_second": 1234})
    speed = preflight.recorded(run).speed
    assert (speed.tokens_per_second, speed.rough) == (1234, False)
    assert speed.source == "as in evaluate of the base"
    made["settings"]["engine"] = {"kind": "vllm"}
    run.write_manifest("evaluate", 0, made | {"tokens_per_second": 1234})
    assert preflight.recorded(run).speed.rough
