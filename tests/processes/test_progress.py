"""Progress is a live line on a terminal, lines in a log, and for a driver what it can draw."""

import io
import json
import os
import sys
from types import SimpleNamespace

import pytest

from rft.processes import progress
from rft.processes.progress import LISTENED, MARK, Progress, live_line, told_by_child
from tests.screens import seen, terminal


@pytest.fixture
def ticking(monkeypatch):
    """Let a second pass at each look at the clock."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))


def work(total: int = 4) -> None:
    counted = Progress("sample", total)
    for _ in range(total):
        counted.advance(1, 100)
    counted.close()


@pytest.mark.usefixtures("ticking")
def test_on_a_terminal_it_is_one_line_that_stays_in_the_end(monkeypatch):
    with terminal(monkeypatch) as screen:
        work()
    written = screen.close()
    assert written.count("\r\x1b[K") == 5
    assert "about" in written
    last, empty = seen(written)
    assert last.startswith("  sample: 4/4, ")
    assert empty == ""
    assert "left" not in last


@pytest.mark.usefixtures("ticking")
@pytest.mark.parametrize("env", [{}, {"TERM": "dumb"}, {"TERM": "unknown"}])
def test_elsewhere_it_is_plain_lines_now_and_then(monkeypatch, env):
    monkeypatch.setattr(progress, "NOW_AND_THEN", 0)
    if env:
        with terminal(monkeypatch, **env) as screen:
            work()
        written = screen.close()
    else:
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        work()
        written = sys.stderr.getvalue()
    assert written.count("\n") == 5
    assert written.replace("\n", "").isprintable()
    assert "━" not in written


def test_a_bar_needs_room_and_is_as_long_as_the_share(monkeypatch):
    assert live_line("a", 0.5, None) == "  a"  # no terminal says how wide it is
    with terminal(monkeypatch, 100) as screen:
        bars = [live_line("a", share, None) for share in (-1, 0, 0.5, 1, 7)]
    screen.close()
    assert [bar.count("━") for bar in bars] == [0, 0, 8, 16, 16]
    assert {len(bar) for bar in bars} == {len("  a") + 17}


@pytest.mark.usefixtures("ticking")
def test_a_driver_is_told_what_it_draws_and_words_for_people_stay_words(monkeypatch, capfd):
    monkeypatch.setenv(LISTENED, "1")
    work(2)
    lines = capfd.readouterr().err.removesuffix("\n").split("\n")
    told = [told_by_child(line) for line in lines]
    assert [each and each["share"] for each in told] == [0.5, 1.0, None]
    assert told[0]["line"].startswith("sample: 1/2, ")
    assert told[0]["left"] > 0
    assert lines[-1].startswith("  sample: 2/2, ")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "sample: 1/2",
        json.dumps({"line": "", "share": 1, "left": None}),
        MARK,
        f"{MARK}[]",
        f"{MARK}{{}}",
        f'{MARK}{{"line": "a", "share": null, "left": 1}}',
        f"{MARK}{'[' * 100_000}",
    ],
)
def test_whatever_is_no_progress_is_taken_for_words(line):
    assert told_by_child(line) is None


def test_the_width_of_what_is_no_terminal_is_that_of_paper():
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as stream:
        assert progress.columns(stream) == 80
