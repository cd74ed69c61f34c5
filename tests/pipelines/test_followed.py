"""Each event of a run is told once, in the log and to the command, and none of it can end the run.

Run: python -m pytest tests/pipelines/test_followed.py
"""

import json
import time
from pathlib import Path

import pytest

from pipelines.children import ChildFailed
from pipelines.notices import Notices
from pipelines.readers.status import exit_hint
from rft.errors import Interrupted, RFTError
from rft.processes.stopping import Stop
from rft.runs.folder import Run
from rft.runs.lock import TOKEN
from tests.small_loop import follow, gated, stand_in
from tests.small_run import new_run

COMMON = {"version", "event", "time", "run", "name", "round", "text", "command"}


def told(path: Path) -> list[dict]:
    """Read the lines that the command got, as strictly as JSON is."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line, parse_constant=refuse) for line in lines]


def to_file(path: Path) -> str:
    return f"notify=cat >> {path}"


def kinds(run: Run) -> list[str]:
    """List the events of the log that are ours."""
    ours = ("round", "refused", "ended", "failed", "stopped", "notify_failed", "track_failed")
    return [event["event"] for event in run.events() if event["event"] in ours]


def killed() -> None:
    raise KeyboardInterrupt  # what no line of ours catches, as a kill


def test_a_budget_that_ends_a_run_before_its_base_is_measured_is_told(tmp_path):
    heard = tmp_path / "heard"
    run, said = new_run(tmp_path / "run", "stop={tokens: 1}", to_file(heard)), []
    notices = Notices(run, Stop(), said.append)
    run.event("ended", rule="tokens", text="a token was spent")
    notices.ended(one_more=False)
    (event,) = told(heard)
    assert (event["round"], event["model"], event["scores"]) == (None, 0, {})
    assert (
        "the run is through (a token was spent). Its base is not measured; 0 tokens"
        in (event["text"])
    )
    assert said == []


def test_each_event_is_told_once_with_its_figures_and_in_a_sentence(tmp_path, monkeypatch):
    heard = tmp_path / "heard"
    run = gated(tmp_path / "my run", "rounds=2", to_file(heard))
    stand_in(monkeypatch, 20, 30, 5)
    assert follow(run) == []
    base, first, refused, second, ended = events = told(heard)
    assert [event["event"] for event in events] == ["round", "round", "refused", "round", "ended"]
    assert all(event.keys() >= COMMON and event["version"] == 1 for event in events)
    assert [event["round"] for event in events] == [0, 1, 2, 2, 2]
    assert {(event["name"], event["run"]) for event in events} == {("my run", str(run.path))}
    assert base["text"].startswith(
        "my run: the base is measured: dev Pass@1 50.0%, Pass@4 50.0%; test Pass@1 50.0%, Pass@4 1"
    )
    assert [event["adopted"] for event in (base, first, second)] == [None, True, False]
    assert first["scores"]["dev"]["pass@1"]["change"]["value"] == 0.25
    assert first["funnel"]["kept"] == 3
    assert first["text"].startswith(
        "my run: round 1 of 2 is done, its model adopted: dev Pass@1 75"
    )
    assert "Pass@1 75.0% (+25.0 [+" in first["text"]
    assert "4 sampled, 3 kept, 2 selected" in first["text"]
    assert first["command"] == f"rft run '{run.path}'"
    assert [each["against"] for each in refused["comparisons"]] == [0, 1]
    assert "refused model 2, surely worse on dev: Pass@1 -37.5 [" in refused["text"]
    assert refused["text"].endswith("Model 1 stays.")
    assert (ended["rule"], ended["model"], ended["command"]) == ("rounds", 1, None)
    assert ended["scores"]["dev"]["pass@1"]["value"] == 0.75
    assert "the run is through (its 2 rounds are done). It leaves model 1: dev" in ended["text"]
    assert kinds(run) == ["round", "round", "refused", "round", "ended"]


def test_a_run_with_nothing_to_do_tells_nothing(tmp_path, monkeypatch):
    heard = tmp_path / "heard"
    run = gated(tmp_path / "run", "rounds=1", to_file(heard))
    stand_in(monkeypatch, 20, 30)
    follow(run)
    before, log = told(heard), (run.path / "events.jsonl").read_text()
    assert follow(run) == []
    assert told(heard) == before
    assert (run.path / "events.jsonl").read_text() == log


def test_without_a_command_the_log_has_the_events_all_the_same(tmp_path, monkeypatch):
    run = gated(tmp_path / "run", "rounds=1")
    stand_in(monkeypatch, 20, 30)
    assert follow(run) == []
    assert kinds(run) == ["round", "round", "ended"]
    (base, first) = [event for event in run.events() if event["event"] == "round"]
    assert first["scores"]["dev"]["pass@1"]["value"] == 0.75
    assert base["cost"]["tokens"] > 0


def test_a_run_that_the_gate_ends_says_so(tmp_path, monkeypatch):
    heard = tmp_path / "heard"
    run = gated(tmp_path / "run", "rounds=5", to_file(heard))
    stand_in(monkeypatch, 30, 5, 5)
    follow(run)
    ended = told(heard)[-1]
    assert (ended["event"], ended["rule"], ended["model"]) == ("ended", "gate", 0)
    assert "(the gate refused rounds 1 and 2)" in ended["text"]


def test_a_rule_that_the_loop_has_noted_is_the_one_that_is_told(tmp_path, monkeypatch):
    heard = tmp_path / "heard"
    run = gated(tmp_path / "run", "rounds=1", to_file(heard))
    budget = {"rule": "hours", "text": "8 hours are used up"}
    stand_in(monkeypatch, 20, 30, instead={("evaluate", 1): lambda: run.event("ended", **budget)})
    follow(run)
    assert (told(heard)[-1]["rule"], kinds(run).count("ended")) == ("hours", 1)
    assert "the run is through (8 hours are used up)" in told(heard)[-1]["text"]


def test_one_more_round_is_no_end_of_a_run_that_has_more(tmp_path, monkeypatch):
    from pipelines.followed import run_followed

    heard = tmp_path / "heard"
    run = gated(tmp_path / "run", "rounds=3", to_file(heard))
    stand_in(monkeypatch, 20, 30)
    run_followed(run, 1, Stop(), lambda _: None)
    assert [event["event"] for event in told(heard)] == ["round", "round"]


@pytest.mark.parametrize(
    ("stop", "ends"), [("null", []), ("{rounds: 1}", ["stop.rounds: 1 are done"])]
)
def test_a_round_of_each_night_is_an_end_only_where_no_other_will_be_made(
    tmp_path, monkeypatch, stop, ends
):
    from pipelines.followed import run_followed

    heard = tmp_path / "heard"
    run = gated(tmp_path / "run", "rounds=1", f"stop={stop}", to_file(heard))
    stand_in(monkeypatch, 20, 30)
    run_followed(run, 1, Stop(), lambda _: None, one_more=True)
    through = [event for event in told(heard) if event["event"] == "ended"]
    assert [event["rule"] for event in through] == ["rounds" for _ in ends]
    assert all(why in event["text"] for why, event in zip(ends, through, strict=True))


def test_a_kill_after_a_round_and_before_its_notice_does_not_lose_it(tmp_path, monkeypatch):
    heard = tmp_path / "heard"
    run = gated(tmp_path / "run", "rounds=1", to_file(heard))
    stand_in(monkeypatch, 20, 30)
    with monkeypatch.context() as patch:
        patch.setattr(Notices, "round", lambda *_: killed())
        with pytest.raises(KeyboardInterrupt):
            follow(run)
    assert told(heard) == []
    follow(run)
    assert [(event["event"], event["round"]) for event in told(heard)] == [
        *(("round", 0), ("round", 1)),
        ("ended", 1),
    ]


def test_a_kill_in_the_middle_of_a_round_has_nothing_told_twice(tmp_path, monkeypatch):
    heard = tmp_path / "heard"
    run = gated(tmp_path / "run", "rounds=1", to_file(heard))
    stand_in(monkeypatch, 20, 30, instead={("sft", 1): killed})
    with pytest.raises(KeyboardInterrupt):
        follow(run)
    stand_in(monkeypatch, 20, 30)
    follow(run)
    assert [event["event"] for event in told(heard)] == ["round", "round", "ended"]


def failing_child(run: Run, code: int, text: str | None):
    """Fail as the process of a stage does: it notes why, its parent with which code."""

    def fail() -> None:
        run.event("start", stage="sample", round=1)
        if text is not None:
            run.event("error", stage="sample", round=1, text=text)
        run.event("failed", stage="sample", round=1, code=code)
        raise ChildFailed(code)

    return fail


@pytest.mark.parametrize("why", ["engine.url: nobody answers", None])
def test_a_stage_that_failed_is_told_with_its_reason(tmp_path, monkeypatch, why):
    heard = tmp_path / "heard"
    run = gated(tmp_path / "run", to_file(heard))
    stand_in(monkeypatch, 20, instead={("sample", 1): failing_child(run, 2, why)})
    with pytest.raises(ChildFailed):
        follow(run)
    failed = told(heard)[-1]
    assert failed["event"] == "failed"
    assert (failed["stage"], failed["round"], failed["code"]) == ("sample", 1, 2)
    assert failed["why"] == why
    sentence = "run: `sample` of round 1 failed with exit code 2"
    assert failed["text"] == sentence + (f": {why}" if why else "")
    assert failed["command"] == f"rft run {run.path}"
    assert exit_hint(run.events()) == 2


@pytest.mark.parametrize(
    ("error", "code", "why"),
    [
        (RFTError("gate.on: nothing there"), 2, "gate.on: nothing there"),
        (KeyError("oops"), 1, "KeyError: 'oops'"),
        (OSError(28, "No space left on device"), 2, "the disk is full or a size limit is reached"),
    ],
)
def test_what_fails_in_the_driver_itself_is_told_too(tmp_path, monkeypatch, error, code, why):
    heard = tmp_path / "heard"
    run = gated(tmp_path / "run", to_file(heard))

    def fail() -> None:
        run.event("start", stage="sample", round=1)
        raise error

    stand_in(monkeypatch, 20, instead={("sample", 1): fail})
    with pytest.raises(type(error)):
        follow(run)
    failed = told(heard)[-1]
    assert (failed["event"], failed["code"], failed["stage"]) == ("failed", code, "sample")
    assert failed["why"].startswith(why)
    assert kinds(run)[-1] == "failed"
    assert exit_hint(run.events()) == code


def test_a_stop_is_told_with_its_place_and_the_command_that_goes_on(tmp_path, monkeypatch):
    heard = tmp_path / "heard"
    run = gated(tmp_path / "run", to_file(heard))
    stop = Stop(grace=100)

    def asked() -> None:
        run.event("start", stage="sample", round=1)
        stop.since, stop.reason = time.monotonic(), "SIGTERM"  # without the timer of a real one
        stop.check()

    stand_in(monkeypatch, 20, instead={("sample", 1): asked})
    with pytest.raises(Interrupted):
        follow(run, stop=stop)
    stopped = told(heard)[-1]
    assert (stopped["event"], stopped["stage"], stopped["round"]) == ("interrupted", "sample", 1)
    assert stopped["reason"] == "stopped by SIGTERM; what is finished is kept"
    assert stopped["text"] == f"run: interrupted in `sample` of round 1: {stopped['reason']}"
    assert kinds(run)[-1] == "stopped"


def test_while_the_run_winds_down_the_command_gets_what_is_left_of_the_grace(tmp_path, monkeypatch):
    run = gated(tmp_path / "run", "notify=sleep 1000")
    stop = Stop(grace=1.3)

    def asked() -> None:
        stop.since, stop.reason = time.monotonic(), "SIGTERM"
        stop.check()

    stand_in(monkeypatch, 20, instead={("prepare", 0): asked})
    began = time.monotonic()
    with pytest.raises(Interrupted):
        follow(run, stop=stop)
    assert time.monotonic() - began < 5
    assert kinds(run) == ["stopped", "notify_failed"]


def test_a_command_that_fails_is_a_line_each_time_and_an_event_without_its_words(
    tmp_path, monkeypatch
):
    run = gated(tmp_path / "run", "rounds=1", "notify=echo https://secret >&2; exit 6")
    stand_in(monkeypatch, 20, 30)
    said = follow(run)
    assert said == [
        f"notify: the command failed at the event `{event}`: it ended with 6: https://secret"
        for event in ("round", "round", "ended")
    ]
    log = (run.path / "events.jsonl").read_text()
    assert "secret" not in log
    assert kinds(run).count("notify_failed") == 3
    assert exit_hint(run.events()) == 75


def test_the_command_is_told_neither_the_lock_nor_hostile_text_raw(tmp_path, monkeypatch):
    heard, env = tmp_path / "heard", tmp_path / "env"
    name = 'a\x1b[31m"; rm -rf x\n$(id)'
    run = gated(tmp_path / name, f"notify=cat >> {heard}; env > {env}")
    stand_in(monkeypatch, 20, instead={("sample", 1): failing_child(run, 2, "\u202e\\boxed{")})
    with run.lock(), pytest.raises(ChildFailed):
        follow(run)
    assert TOKEN not in env.read_text()
    lines = told(heard)
    assert [line["event"] for line in lines] == ["round", "failed"]
    assert all(line["run"] == str(run.path) for line in lines)
    assert all(line["text"].isprintable() for line in lines)


def test_numbers_that_json_does_not_know_are_null(tmp_path, monkeypatch):
    heard = tmp_path / "heard"
    run = gated(tmp_path / "run", "rounds=1", to_file(heard))

    def unknown(*_: object) -> None:
        gate = run.manifest("gate", 1)
        gate["comparisons"][0]["difference"] = [-0.5, float("-inf"), -0.25]
        run.write_manifest("gate", 1, gate)

    stand_in(monkeypatch, 20, 5)
    real = Notices.round
    monkeypatch.setattr(Notices, "round", lambda self, n: (n and unknown(), real(self, n)))
    assert follow(run) == []
    (refused,) = [line for line in told(heard) if line["event"] == "refused"]
    assert refused["comparisons"][0]["difference"] == [-0.5, None, -0.25]
    assert "Infinity" not in (run.path / "events.jsonl").read_text()


def test_figures_that_cannot_be_told_are_a_line_and_the_run_goes_on(tmp_path, monkeypatch):
    run = gated(tmp_path / "run", "rounds=1")
    stand_in(monkeypatch, 20, 30)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(Notices, "round", broken)
    line = "notify: ZeroDivisionError: by zero; the run goes on"
    assert follow(run) == [line, line]
    assert run.manifest("gate", 1) is not None


def test_a_run_of_no_rounds_ends_with_its_base(tmp_path, monkeypatch):
    heard = tmp_path / "heard"
    run = new_run(tmp_path / "run", "rounds=0", to_file(heard))
    stand_in(monkeypatch, 20)
    follow(run)
    assert [event["event"] for event in told(heard)] == ["round", "ended"]
    assert "(the base is measured)" in told(heard)[-1]["text"]
