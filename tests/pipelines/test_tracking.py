"""Each round is in the tracker once, whatever is killed or redone; a tracker costs no run.

Run: python -m pytest tests/pipelines/test_tracking.py
"""

import json
import subprocess
import sys
from collections.abc import Mapping

import pytest

from pipelines import tracking
from pipelines.tracking import curves, is_behind, log_rounds, recorded, track_rounds
from rft.processes.stopping import Stop
from rft.runs.folder import Run
from rft.trackers import WRITERS, Place, Points, folder_of, name_of
from tests.small_loop import SAMPLES, follow, gated, measured, stand_in
from tests.small_run import evaluate, prepare, whole_round

READ = """
import json, sys
from trackio.sqlite_storage import SQLiteStorage as storage
project = sys.argv[1]
logs = {name: storage.get_logs(project, name) for name in storage.get_runs(project)}
config = {name: storage.get_run_config(project, name) for name in logs}
print(json.dumps({"logs": logs, "config": config}))
"""


def in_trackio(project: str = "rft") -> dict:
    """Read back what trackio holds."""
    done = subprocess.run(
        [sys.executable, "-c", READ, project], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def tracked(path, track: str = "trackio", *overrides: str) -> Run:
    """Make a run of a base and a round."""
    run = gated(path, f"track={track}", *overrides)
    prepare(run, answers=measured(0))
    evaluate(run, 0, measured(20))
    whole_round(run, 1, SAMPLES, measured(30))
    return run


@pytest.fixture
def logged(monkeypatch) -> list[tuple[Place, Points]]:
    """Stand in for trackio, in this process, and keep what it is given."""
    given: list[tuple[Place, Points]] = []
    monkeypatch.setitem(WRITERS, "trackio", lambda place, points: given.append((place, points)))
    return given


@pytest.mark.slow
def test_trackio_holds_the_figures_of_each_round_once(tmp_path, monkeypatch):
    pytest.importorskip("trackio")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    run = tracked(tmp_path / "run", "trackio", "notify=curl https://secret")
    said: list[str] = []
    track_rounds(run, Stop(), said.append)
    name = name_of(run.path)
    assert said == [f"track: rounds are logged to trackio, project rft, as {name}"]
    track_rounds(run, Stop(), said.append)
    assert len(said) == 1
    there = in_trackio()
    (rounds,) = there["logs"].values()
    assert [point["step"] for point in rounds] == [0, 1]
    assert [point["dev/pass@1"] for point in rounds] == [0.5, 0.75]
    assert rounds[1]["dev/pass@1/low"] < 0.75 < rounds[1]["dev/pass@1/high"]
    assert rounds[1]["adopted"] == 1
    assert "adopted" not in rounds[0]
    config = there["config"][name]
    assert config["sample"]["n"] == run.recipe.sample.n
    assert "secret" not in json.dumps(config)


@pytest.mark.slow
def test_a_tracker_that_cannot_write_is_one_line_and_is_made_up_for(tmp_path, monkeypatch):
    pytest.importorskip("trackio")
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "file" / "trackio"))
    run, said = tracked(tmp_path / "run"), []
    track_rounds(run, Stop(), said.append)
    (line,) = said
    assert line.startswith("track: trackio failed, and the run goes on without it: it ended with 2")
    assert "Not a directory" in line
    assert is_behind(run)
    assert run.events()[-1]["event"] == "track_failed"
    assert not recorded(run)


def test_only_what_is_new_or_came_out_otherwise_is_logged(tmp_path, logged):
    run = tracked(tmp_path / "run", "trackio", "rounds=2")
    log_rounds(run)
    log_rounds(run)
    assert [list(points) for _, points in logged] == [[0, 1]]
    whole_round(run, 2, SAMPLES, measured(31))
    assert is_behind(run)
    log_rounds(run)
    assert [list(points) for _, points in logged] == [[0, 1], [2]]
    run.write_manifest("evaluate", 1, run.manifest("evaluate", 1) | {"tokens": 7})
    log_rounds(run)
    assert list(logged[-1][1]) == [1, 2]  # the tokens of the run up to 2 are others too
    assert not is_behind(run)


@pytest.mark.usefixtures("logged")
def test_a_round_that_is_redone_is_said(tmp_path, monkeypatch):
    run, said = tracked(tmp_path / "run"), []
    log_rounds(run)

    def here(*_: object, **__: object) -> None:
        log_rounds(run)

    monkeypatch.setattr(tracking, "attempt", here)
    run.write_manifest("evaluate", 1, run.manifest("evaluate", 1) | {"tokens": 7})
    track_rounds(run, Stop(), said.append)
    assert said == ["track: logged once more, since it came out otherwise: round 1"]


@pytest.mark.usefixtures("logged")
def test_what_was_not_noted_is_logged_again_and_what_another_tracker_has_is_not_taken_for_it(
    tmp_path, monkeypatch
):
    run = tracked(tmp_path / "run")

    def failing(_place: Place, _points: Points) -> None:
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setitem(WRITERS, "trackio", failing)
        with pytest.raises(OSError, match="gone"):
            log_rounds(run)
    assert not recorded(run)
    log_rounds(run)
    assert recorded(run).keys() == {0, 1}
    other = Run(run.path, run.recipe.model_copy(update={"track": "wandb"}))
    assert is_behind(other)
    assert not recorded(other)


def test_the_driver_has_each_round_tracked_when_it_is_done_and_none_without_a_tracker(
    tmp_path, monkeypatch
):
    calls: list[int] = []

    def note(_words: list[str], *_: object, **__: object) -> None:
        calls.append(len(list((tmp_path / "run" / "manifest").glob("*/gate.json"))))

    monkeypatch.setattr(tracking, "attempt", note)
    run = gated(tmp_path / "run", "rounds=2", "track=trackio")
    stand_in(monkeypatch, 20, 30, 31)
    follow(run)
    assert calls == [0, 1, 2, 2]  # base, rounds, and once more at the end
    follow(run)
    assert calls == [0, 1, 2, 2, 2]  # nothing was logged, so it is tried at the next call
    quiet = gated(tmp_path / "other", "rounds=1")
    follow(quiet)
    assert len(calls) == 5


def test_a_tracker_that_hangs_costs_its_time_and_not_the_run(tmp_path, monkeypatch):
    run, said = tracked(tmp_path / "run"), []
    monkeypatch.setattr(tracking, "SECONDS", 0.3)
    track_rounds(run, Stop(), said.append)
    assert "it did not end within 0.3 seconds, and was killed" in said[0]
    asked = Stop()
    asked.since = 0.0
    track_rounds(run, asked, said.append)
    assert len(said) == 1, "while the run is being stopped, nothing is logged"


def test_a_record_that_is_damaged_is_one_line(tmp_path, monkeypatch):
    run = gated(tmp_path / "run", "track=trackio", "rounds=1")
    folder_of(run.path).mkdir()
    (folder_of(run.path) / "rounds.json").write_text("{")
    stand_in(monkeypatch, 20, 30)
    said = follow(run)
    assert all(line.startswith("track: JSONDecodeError") for line in said)
    assert run.manifest("gate", 1) is not None


def test_a_number_is_named_by_its_place_and_an_interval_by_its_value():
    interval = {"value": 0.5, "low": 0.25, "high": 0.75, "change": {"value": -0.25, "low": -0.5}}
    tree: Mapping[str, object] = {
        "adopted": False,
        "scores": {"test gsm8k": {"problems": 4, "pass@1": interval}},
        "funnel": {"kept": None, "rejected": {"no_box": 2}},
        "round": "a word",
    }
    assert dict(curves(tree)) == {
        "adopted": 0.0,
        "test gsm8k/problems": 4.0,
        "test gsm8k/pass@1": 0.5,
        "test gsm8k/pass@1/low": 0.25,
        "test gsm8k/pass@1/high": 0.75,
        "test gsm8k/pass@1/change": -0.25,
        "test gsm8k/pass@1/change/low": -0.5,
        "funnel/rejected/no_box": 2.0,
    }


def test_the_process_of_the_tracker_asks_nobody_on_the_network(monkeypatch):
    for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    assert tracking.quiet()["HF_HUB_OFFLINE"] == "1"
    monkeypatch.setenv("TRACKIO_SPACE_ID", "mine/curves")
    assert "HF_HUB_OFFLINE" not in tracking.quiet()


@pytest.mark.parametrize("track", ["wandb", "tensorboard"])
def test_the_other_trackers_take_the_same_rounds_where_they_are_installed(
    tmp_path, monkeypatch, track
):
    pytest.importorskip(track)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_DIR", raising=False)
    run, said = tracked(tmp_path / "run", track), []
    track_rounds(run, Stop(), said.append)
    assert said[0].startswith(f"track: rounds are logged to {track}")
    assert recorded(run).keys() == {0, 1}
    files = {path.name for path in folder_of(run.path).rglob("*") if path.is_file()}
    if track == "wandb":
        assert f"run-{name_of(run.path)}.wandb" in files
        return
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder_of(run.path) / "rounds"))
    events.Reload()
    points = events.Scalars("dev/pass@1")
    assert [(point.step, point.value) for point in points] == [(0, 0.5), (1, 0.75)]
