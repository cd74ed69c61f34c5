"""What people look at in a terminal: a status that goes on, verdicts in colours, a heat map."""

import json
import os
import re
import signal
import subprocess

import pytest

from pipelines.readers import heat_map
from rft.cli import looking
from rft.runs.folder import Run, open_run
from tests.command import command, invoke
from tests.screens import COLOURFUL, Screen, rft_on, seen
from tests.small_run import RIGHT, WRONG, do, evaluate, grade, new_run, prepare, sample, sft, solved
from tests.token_run import CHARACTERS

MEASURED = {("test", "test", f"t{i}"): solved(2, 4) for i in range(2)}
SAMPLES = [
    ("p0", "a1 " + RIGHT, "stop", 0.5),
    ("p0", "b2 " + WRONG, "stop", 0.75),
    ("p1", "\x1b[2Jno box", "length", 0.5),
    ("p1", "c3 " + RIGHT, "stop", 0.5),
]
CODES = re.compile(r"\x1b\[[0-9;]*m")


def begun(path) -> Run:
    run = new_run(path, "select.noise=0")
    prepare(run, answers=MEASURED)
    evaluate(run, 0, MEASURED)
    return run


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """Let a stage be done between two looks; then nothing happens once, and then the last one."""
    run = begun(tmp_path / "run")
    acts = iter(
        [
            lambda: sample(run, 1, SAMPLES),
            lambda: grade(run, 1, SAMPLES),
            lambda: None,
            lambda: [do(run, "filter", 1), do(run, "select", 1), sft(run, 1)],
            lambda: evaluate(run, 1, MEASURED),
        ]
    )
    monkeypatch.setattr(looking, "pause", lambda _seconds: next(acts)())
    return run


def test_a_watched_status_is_said_at_each_change_until_the_run_is_done(steps):
    done = invoke("status", steps.path, "--watch", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert [line["stage"] for line in lines] == ["sample", "grade", "filter", "evaluate", None]
    assert lines[-1]["state"] == "done"


def test_without_a_terminal_the_snapshots_follow_each_other(steps):
    text = invoke("status", steps.path, "--watch").stdout
    assert text.count(f"{steps.path}: stopped") == 4
    assert text.count(f"{steps.path}: done") == 1
    assert text.replace("\n", "").isprintable()


def test_on_a_terminal_each_takes_the_place_of_the_one_before(steps, monkeypatch):
    written = rft_on(monkeypatch, "status", steps.path, "--watch", width=80)
    assert written.count("Ctrl-C ends this, not the run") == 5
    screen = seen(written)
    assert "done, 1 of 1 rounds done" in " ".join(screen[:2])
    assert all(len(line) < 80 for line in screen)
    assert sum("to read" in line for line in screen) == 1
    assert not any("Ctrl-C" in line or "to go on" in line for line in screen)


def test_a_dumb_terminal_gets_what_a_pipe_gets(steps, monkeypatch):
    written = rft_on(monkeypatch, "status", steps.path, "--watch", TERM="dumb")
    assert "\x1b" not in written
    assert written.count(": stopped") == 4


def test_a_run_that_is_done_is_said_once(steps, monkeypatch):
    invoke("status", steps.path, "--watch")
    monkeypatch.setattr(looking, "pause", None)
    assert invoke("status", steps.path, "--watch").stdout.count(": done") == 1


def test_ctrl_c_ends_the_watching_with_75(tmp_path, monkeypatch):
    run = begun(tmp_path / "run")

    def interrupt(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(looking, "pause", interrupt)
    done = invoke("status", run.path, "--watch")
    assert done.exit_code == 75
    assert done.stderr == "Stopped: by SIGINT.\n"


# Rollouts ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = begun(tmp_path_factory.mktemp("looking") / "run")
    sample(run, 1, SAMPLES)
    grade(run, 1, SAMPLES)
    do(run, "filter", 1)
    do(run, "select", 1)
    return run


def test_verdicts_have_colours_and_all_else_is_as_it_is_without(run, monkeypatch):
    plain = invoke("show", run.path).stdout
    written = rft_on(monkeypatch, "show", run.path, width=200)
    assert CODES.sub("", written) == plain
    for word, code, count in (("correct", 32, 2), ("wrong", 31, 1), ("no_answer", 33, 1)):
        assert written.count(f"\x1b[{code}m{word}\x1b[0m") == count
    assert len(CODES.findall(written)) == 2 * len(SAMPLES)
    assert rft_on(monkeypatch, "show", run.path, NO_COLOR="1") == plain


def test_one_in_full_has_its_verdict_in_colours(run, monkeypatch):
    ids = [
        json.loads(line)["rollout_id"]
        for line in invoke("show", run.path, "--json").stdout.splitlines()
    ]
    for each in ids:
        plain = invoke("show", run.path, each).stdout
        written = rft_on(monkeypatch, "show", run.path, each)
        assert CODES.sub("", written) == plain
        assert len(CODES.findall(written)) == 2


@pytest.fixture(scope="module")
def rollout(finished):
    """Name a rollout of a real run."""
    first = invoke("show", finished, "--where", "tokens > 8", "--json", "-n", 1).stdout
    return json.loads(first)["rollout_id"]


def test_tokens_of_a_real_run_are_tinted(finished, rollout, monkeypatch):
    written = rft_on(monkeypatch, "show", finished, rollout, "--tokens", width=100)
    assert "48;5;" in written
    assert "entropy in nats, tinted from" in CODES.sub("", written)
    graded = open_run(finished).read("graded", 1, ["rollout_id", "response"])
    (response,) = graded.filter(rollout_id=rollout)["response"]
    text = CODES.sub("", written).replace("↵", "").replace("\n  | ", "\n")
    assert response in text


def test_where_there_are_no_colours_or_few_tokens_are_a_table(finished, rollout, monkeypatch):
    # As if the tokenizer had any characters, those that act as well.
    monkeypatch.setattr(heat_map, "token_texts", lambda _: CHARACTERS)
    words = ["show", finished, rollout, "--tokens", "branching"]
    table = invoke(*words).stdout
    assert re.search(r"(?m)^token  text +entropy  branching  logprob", table)
    assert table.replace("\n", "").isprintable()
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert rft_on(monkeypatch, *words, **env) == table
    few = rft_on(monkeypatch, *words, TERM="xterm")
    assert CODES.sub("", few) == table  # sixteen colours have no order


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tokens"], "--tokens goes with an ID"),
        (["abc", "--tokens", "--json"], "give --tokens or --json, not both"),
        (["abc", "--tokens", "heat"], "not one of"),
    ],
)
def test_tokens_are_those_of_one_rollout(run, words, told):
    done = invoke("show", run.path, *words)
    assert done.exit_code == 2
    assert told in done.stderr


def test_a_rollout_without_tokens_says_so_in_a_line(run):
    rollout = json.loads(invoke("show", run.path, "--json", "-n", 1).stdout)["rollout_id"]
    done = invoke("show", run.path, rollout, "--tokens")
    assert done.exit_code == 2
    assert "is stored as text alone" in done.stderr
    assert done.stderr.count("\n") == 1


# A run on a terminal ------------------------------------------------------------------------------


def test_a_run_that_is_stopped_on_a_terminal_leaves_no_line_behind(tmp_path):
    screen = Screen(width=80)
    driver = subprocess.Popen(
        command("run", "smoke", "--out", tmp_path / "run"),
        stdout=screen.slave,
        stderr=screen.slave,
        env=os.environ | COLOURFUL,
    )
    screen.wait_for("\r\x1b[K  prepare: ")
    driver.send_signal(signal.SIGINT)
    assert driver.wait() == 75
    written = screen.close()
    first, last, empty = seen(written)
    assert (first, empty) == ("base: prepare", "")
    assert last.startswith("Stopped: by SIGINT")
    assert "?25l" not in written  # the cursor was never hidden
