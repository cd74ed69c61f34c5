"""The live line says how far a stage is, and passes on what its process says."""

import json
import sys
from types import SimpleNamespace

import pytest

from pipelines import compare
from pipelines.live import LiveLine
from rft.cli.terminal import Harmless
from rft.processes.progress import MARK
from rft.processes.stopping import Stop
from tests.screens import seen, terminal
from tests.small_run import RIGHT, evaluate, new_run, prepare, solved, whole_round

MEASURED = {("test", "test", f"t{i}"): solved(2, 4) for i in range(2)}
SAMPLES = [("p0", "a1 " + RIGHT, "stop", 0.5), ("p1", "b2 " + RIGHT, "stop", 0.75)]
HALF = f"{MARK}{json.dumps({'line': 'sample: 1/2', 'share': 0.5, 'left': 120.0})}"


class Saying:
    """Stands for a stage's process that says lines."""

    def __init__(self, *lines: str):
        self.lines, self.process = [*lines], self
        self.returncode: int | None = None

    def overheard(self) -> list[str]:
        return [self.lines.pop(0)] if self.lines else []


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = new_run(tmp_path_factory.mktemp("live") / "run", "select.noise=0", "rounds=2")
    prepare(run, answers=MEASURED)
    evaluate(run, 0, MEASURED)
    whole_round(run, 1, SAMPLES, MEASURED)
    for stage, seconds in {"sample": 600.0, "grade": 60.0, "sft": 120.0, "evaluate": 240.0}.items():
        run.write_manifest(stage, 1, run.manifest(stage, 1) | {"seconds": seconds})
    return run


def live(run, *, stage="sample", round=2, stop=None) -> LiveLine:
    return LiveLine(run, stage, round, stop or Stop())


def test_what_a_stage_counts_is_told_and_else_what_the_last_one_took(run):
    line = live(run)
    assert line.line(60.4) == "  sample: 60 s, about 9 min left; round 2: about 16 min"
    line.look(Saying(HALF))
    assert line.line(60.4) == "  sample: 1/2, about 2 min left; round 2: about 9 min"


def test_what_has_counted_all_may_go_on_uncounted(run):
    line = live(run)
    line.look(Saying(HALF.replace("0.5", "1.0").replace("1/2", "2/2").replace("120.0", "0.0")))
    assert line.line(540) == "  sample: 2/2, about 60 s left; round 2: about 8 min"
    assert line.line(601) == "  sample: 2/2"


def test_where_nothing_is_known_nothing_is_said(run):
    assert live(run).line(601) == "  sample: 10 min"  # longer than the last one
    assert live(run, stage="prepare", round=0).line(3) == "  prepare: 3 s"


def test_words_scroll_by_above_the_line_which_goes_when_the_work_ends(run, monkeypatch):
    child = Saying("first", HALF, "second")
    line = live(run)
    with terminal(monkeypatch) as screen, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", Harmless(sys.stderr))
        for _ in range(3):
            line.look(child)
        screen.wait_for("second")
        child.returncode = 0
        line.look(child)
    written = screen.close()
    assert seen(written) == ["first", "second", ""]
    assert "sample: 1/2, about 2 min left; round 2: about 9 min" in written


def test_who_is_asked_to_stop_draws_no_more(run, monkeypatch):
    stop, child = Stop(), Saying()
    line = live(run, stop=stop)
    with terminal(monkeypatch) as screen:
        line.look(child)
        stop.since = 0.0
        line.look(child)
        line.look(child)
    written = screen.close()
    assert seen(written) == [""]
    assert written.count("\r\x1b[K") == 2


def test_a_comparison_draws_how_many_runs_are_done_and_which_are_worked_on(monkeypatch):
    now = iter([0.0, 600.0, 600.0, 630.0, 630.0, 630.0])
    monkeypatch.setattr(compare, "time", SimpleNamespace(monotonic=lambda: next(now)))
    one, other = (SimpleNamespace(name=f"rules, seed {seed}") for seed in (0, 1))
    with terminal(monkeypatch, width=120) as screen:
        told = compare.Told(lambda _: None, 4, 3)
        told.look([one])
        told.ended(one, 0, "")
        told.look([other])
        told.look([])
    written = screen.close()
    assert seen(written) == [""]
    first, second, last = written.split("\r\x1b[K")[1:]
    assert first.endswith(" 1 of 4 runs done; at work: rules, seed 0")
    assert second.endswith(" 2 of 4 runs done; at work: rules, seed 1, about 20 min left")
    assert last == ""


def test_where_there_is_no_terminal_a_comparison_draws_nothing(capsys):
    told = compare.Told(lambda _: None, 1, 1)
    told.look([SimpleNamespace(name="rules, seed 0")])
    assert capsys.readouterr() == ("", "")
