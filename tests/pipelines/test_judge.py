"""Pins a round that a model judges: how far math agrees is told, and a lost server is no verdict.

Run: python -m pytest tests/pipelines/test_judge.py
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipelines import grade
from rft.errors import Interrupted
from rft.processes.stopping import Stop
from rft.runs import stages
from rft.runs.stages import Job
from tests import small_run
from tests.fake_chat import RIGHT, WRONG, Server

pytest.importorskip("openai")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def begun(folder, server, **more):
    """Begin a run with four answers to a problem whose gold is 7, of which one is equal to it."""
    parameters = ", ".join([f"url: {server.url!r}", "model: m", *(f"{k}: {more[k]}" for k in more)])
    made = small_run.new_run(folder / "run", f"grade.verifier={{judge: {{{parameters}}}}}")
    small_run.prepare(made, train=["p0"], answers={})
    said = [f"\\boxed{{{answer}}}" for answer in ("7", "7.0", "8", "x")]
    small_run.sample(made, 1, [("p0", text, "stop", 0.5) for text in said])
    return made


def told_of(run) -> list[str]:
    """Grade the round, and give what is said."""
    said: list[str] = []
    stages.perform(Job(run, replace(grade.STAGE), 1, Stop(), said.append))
    return said


def test_a_round_is_judged_by_a_model_and_compared_with_math(tmp_path, server):
    server.behave = lambda body, _: (
        RIGHT if "7" in f"{body['messages']}".split("Given")[1] else WRONG
    )
    run = begun(tmp_path, server)
    said = told_of(run)
    graded = run.read("graded", 1).sort("sample_index")
    assert graded["verdict"].to_list() == ["correct", "correct", "wrong", "wrong"]
    assert graded["verdict_path"].to_list() == ["exact", "judge", "judge", "judge"]
    assert len(server.calls) == 3
    assert run.read("verdicts", 1)["verifier"].unique().to_list()[0].startswith("judge m, prompt ")
    found = run.manifest("grade", 1)["agreement"]
    assert (found["pairs"], found["agree"], found["kappa"]) == (3, 3, 1.0)
    assert any("on 3 pairs that math decides too it agrees in 100.0%" in line for line in said)


def test_a_lost_server_ends_the_stage_and_no_answer_is_wrong_for_it(tmp_path, server):
    server.behave = lambda *_: (503, {})
    run = begun(tmp_path, server, retries=0, patience=0.1)
    with pytest.raises(Interrupted, match="3 of 3 verdicts are missing"):
        told_of(run)
    assert run.manifest("grade", 1) is None
    server.behave = lambda *_: RIGHT
    told_of(run)
    assert run.read("graded", 1)["verdict"].to_list() == ["correct"] * 4
