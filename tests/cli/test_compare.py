"""`rft compare` makes its runs once, goes on after a kill, and refuses in one line what cannot be."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from rft.runs.lock import is_held
from tests.command import invoke, kill_when, rft_here
from tests.comparing import SMALLER, write_recipe
from tests.same_run import differences

TOLD = ("comparison.csv", "comparison.md")


def seed_run(folder: Path, arm: str, seed: int) -> Path:
    return folder / "arms" / arm / f"seed-{seed}"


def inodes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_ino for path in folder.rglob("*.parquet")
    }


class InPlace(Future):
    """Stands for a pool of threads; what it is given is done at once, signals and all."""

    def __init__(self, _jobs: int = 1):
        super().__init__()

    def __enter__(self) -> "InPlace":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, work: Callable, *arguments: object) -> Future:
        done = InPlace()
        done.set_result(work(*arguments))
        return done


@pytest.fixture
def runs_here(stages_here, monkeypatch) -> None:
    """Have this process do the runs of a comparison: torch is loaded once."""
    monkeypatch.setattr("pipelines.compare.ThreadPoolExecutor", InPlace)
    monkeypatch.setattr("pipelines.compare.outlast", lambda words, *_: invoke(*words[3:]).exit_code)


@pytest.mark.slow
@pytest.mark.usefixtures("runs_here")
def test_a_comparison_that_was_killed_and_gone_on_with_tells_the_same(tmp_path):
    recipe = write_recipe(tmp_path)
    undisturbed, killed = (tmp_path / name / "arms" for name in ("undisturbed", "killed"))
    words = ["compare", recipe, "--out", str(killed), *SMALLER]

    def training() -> bool:
        log = seed_run(killed, "entropy", 0) / "events.jsonl"
        return log.is_file() and '"start", "stage": "sft"' in log.read_text()

    assert kill_when(words, training) == -9
    locks, pause = list(killed.glob("arms/*/*/lock")), threading.Event()
    while any(is_held(lock) for lock in locks):  # what it had begun dies with it
        pause.wait(0.01)
    assert not (killed / "comparison.csv").exists()
    told = rft_here(*words)
    assert "rules, seed 0: begins" not in told
    assert "entropy, seed 1: done (4 of 4)" in told

    done = invoke("compare", recipe, "--out", undisturbed, *SMALLER)
    assert done.exit_code == 0, done.output
    for name in TOLD:
        assert (undisturbed / name).read_bytes() == (killed / name).read_bytes()
    for arm in ("rules", "entropy"):
        for seed in (0, 1):
            both = [seed_run(folder, arm, seed) for folder in (undisturbed, killed)]
            assert [what for what, same in differences(*both) if not same] == []
    for folder in (undisturbed, killed):
        for seed in (0, 1):
            ours, theirs = (seed_run(folder, arm, seed) for arm in ("rules", "entropy"))
            for table in ("problems", "evaluations/round-0000", "rollouts", "graded", "verdicts"):
                assert inodes(ours / table) == inodes(theirs / table) != {}
            assert not inodes(ours / "selected").items() & inodes(theirs / "selected").items()
            events = [json.loads(line)["event"] for line in (theirs / "events.jsonl").open()]
            assert events.count("shared") == 5
    again = invoke("compare", undisturbed)
    assert "nothing to do, all 4 runs are done" in again.stderr
    assert again.stdout == done.stdout
