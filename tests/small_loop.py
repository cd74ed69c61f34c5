"""The real loop over a small run folder, whose heavy stages write made-up tables."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pipelines import perform
from pipelines.followed import run_followed
from rft.processes.stopping import Stop
from rft.runs.folder import Run
from tests import small_run
from tests.small_run import RIGHT, WRONG, Answers, solved

SAMPLES = [("p0", "a1 " + RIGHT, "stop", 0.5), ("p1", "b2 " + RIGHT, "stop", 0.75)]
SAMPLES += [("p0", "a3 " + WRONG, "stop", 0.25), ("p1", "no box", "length", 1.0)]
DEV = "prepare.dev={holdout: 40}"

# (stage, round) -> what happens in its place.
Instead = Mapping[tuple[str, int], Callable[[], None]]


def gated(path: Path, *overrides: str) -> Run:
    """Begin a run that has a gate on 40 dev problems."""
    run = small_run.new_run(path, "select.noise=0", DEV, "gate={metric: pass@1}", *overrides)
    run.event("recipe", new=True)
    return run


def measured(right: int) -> Answers:
    """Solve so many of the dev problems, and half of the test problems' answers."""
    dev = {("dev", "dev", f"d{i:02}"): solved(4 if i < right else 0, 4) for i in range(40)}
    return dev | {("test", "test", f"t{i}"): solved(2, 4) for i in range(4)}


def stand_in(
    monkeypatch: pytest.MonkeyPatch, *rights: int, instead: Instead | None = None
) -> list[tuple[str, int]]:
    """Let models solve these numbers of dev problems, the base first; list what was done."""
    done: list[tuple[str, int]] = []

    def in_child(name: str, run: Run, round: int, _stop: Stop) -> None:
        if (name, round) in (instead or {}):
            instead[name, round]()
        heavy = {
            "prepare": lambda: small_run.prepare(run, answers=measured(0)),
            "sample": lambda: small_run.sample(run, round, SAMPLES),
            "grade": lambda: small_run.grade(run, round, SAMPLES),
            "sft": lambda: small_run.sft(run, round),
            "evaluate": lambda: small_run.evaluate(run, round, measured(rights[round])),
        }
        heavy[name]()
        done.append((name, round))

    monkeypatch.setattr(perform, "in_child", in_child)
    return done


def follow(run: Run, *, stop: Stop | None = None) -> list[str]:
    """Do what is left of a run, and give what was said that tells of notices and trackers."""
    said: list[str] = []
    run_followed(run, run.recipe.rounds, stop or Stop(), said.append)
    return [line for line in said if line.startswith(("notify", "track"))]
