"""Online training as people run it: a run folder, killed and gone on with, and its model used.

Run: python -m pytest -m slow tests/cli/test_online_loop.py
"""

import json
import signal
import subprocess
import threading
from pathlib import Path

import polars as pl
import pytest

from rft.runs import tables
from rft.runs.folder import open_run
from rft.runs.models import MARK
from tests.command import command, kill_when, rft, rft_here

pytestmark = pytest.mark.slow

SMALL = [
    "grpo.steps=4",
    "grpo.problems=4",
    "grpo.n=4",
    "grpo.max_tokens=64",
    "grpo.save_every=1",
    "prepare.train.limit=64",
    "prepare.dev=null",
    "gate=null",
    "prepare.test.limit=8",
    "evaluate.n=4",
    "evaluate.k=[1, 4]",
]
SET = [word for setting in SMALL for word in ("--set", setting)]


def online(out: Path) -> list[str]:
    return ["grpo", "grpo-quickstart", "--out", str(out), *SET]


def steps_done(out: Path) -> int:
    journal = out / "work" / "round-0001-grpo" / "dynamics.jsonl"
    return journal.read_text().count("\n") if journal.exists() else 0


def checkpoints(out: Path) -> list[Path]:
    return list((out / "work").glob("round-0001-grpo/checkpoints/*/rft-complete"))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("online") / "run"
    rft(*online(out))
    return out


def what_was_learnt(out: Path) -> tuple[str, pl.DataFrame]:
    """Give the model's digest, and the dynamics without what depends on the clock."""
    digest = json.loads((out / "models" / "model-0001" / MARK).read_text())["digest"]
    frame = tables.read(out / "dynamics" / "round-0001", "dynamics")
    return digest, frame.drop("rollout_seconds", "seconds")


def test_a_run_has_a_row_of_dynamics_for_each_step_and_counts_that_add_up(run):
    frame = tables.read(run / "dynamics" / "round-0001", "dynamics")
    assert frame["step"].to_list() == [1, 2, 3, 4]
    assert frame["sign_flips"].sum() == frame["revived"].sum() == 0
    assert frame["largest_ratio"].max() <= 1.5 + 1e-6
    assert all(row[0]["plugin"] == "entropy_advantage" for row in frame["touched"])
    counts = open_run(run).manifest("grpo", 1)["counts"]
    assert counts["in"] == 4 * 16 == counts["trained"] + counts["dropped"]["unverified"]


def test_report_and_status_tell_of_the_training(run):
    told = subprocess.run(command("report", run), capture_output=True, text=True, check=True).stdout
    assert "online, 4 steps of 4 problems x 4 answers, shaped by entropy_advantage" in told
    assert "Online training" in told
    assert "entropy_advantage touched" in told
    assert "0 tokens turned their sign" in told
    assert "Funnel" not in told
    words = command("status", run, "--json")
    stand = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert stand["state"] == "done"
    assert (
        stand["tokens"] > tables.read(run / "dynamics" / "round-0001", "dynamics")["tokens"].sum()
    )


def test_a_second_call_does_nothing_and_other_settings_are_refused(run):
    assert "nothing to do" in rft(*online(run))
    alpha = ["--set", "grpo.plugins.entropy_advantage.alpha=0.1"]
    told = rft(*online(run), *alpha, code=2)
    assert "grpo.plugins.entropy_advantage.alpha: 0.4 -> 0.1" in told
    assert "grpo      redo" in told


@pytest.mark.usefixtures("stages_here")
def test_its_model_is_evaluated_sampled_from_and_trained_on(run, tmp_path):
    model = f"{run}@1"
    small = ["--set", "prepare.test.limit=4", "--set", "prepare.dev=null"]
    rft_here("evaluate", "--model", model, "--samples", "2", "--output", tmp_path / "eval", *small)
    rft_here("run", "smoke", "--set", f"model.path={model}", "--out", tmp_path / "rounds")
    assert (tmp_path / "rounds" / "models" / "model-0001" / MARK).is_file()
    parent = json.loads((tmp_path / "rounds/models/model-0001" / MARK).read_text())["parent"]
    assert parent == what_was_learnt(run)[0]
    again = ["--model", tmp_path / "rounds", "--set", "grpo.steps=1"]
    rft_here(*online(tmp_path / "again"), *again)


def test_kills_cost_only_time(run, tmp_path):
    out = tmp_path / "run"
    seldom = ("--set", "grpo.save_every=100")
    kill_when([*online(out), *seldom], lambda: steps_done(out) >= 1)
    assert not checkpoints(out)
    kill_when(online(out), lambda: len(checkpoints(out)) >= 1 and steps_done(out) >= 2)
    code = kill_when(online(out), lambda: steps_done(out) >= 3, child=True)
    assert code == 75
    rft(*online(out))
    digest, rows = what_was_learnt(out)
    assert digest == what_was_learnt(run)[0]
    assert rows.equals(what_was_learnt(run)[1])


def test_a_term_signal_ends_between_two_steps_and_the_next_run_goes_on(run, tmp_path):
    out = tmp_path / "run"
    words = command(*online(out), "--set", "grpo.save_every=100")
    driver = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pause = threading.Event()
    while not steps_done(out):
        assert driver.poll() is None, driver.stderr.read().decode()
        pause.wait(0.01)
    driver.send_signal(signal.SIGTERM)
    errors = driver.communicate()[1].decode()
    assert driver.returncode == 75, errors
    assert errors.count("Stopped: by SIGTERM") == 1, "said once, by the driver"
    assert len(checkpoints(out)) == 1, "it saved what it had"
    assert (
        "(stopped by SIGTERM"
        in subprocess.run(command("status", out), capture_output=True, text=True, check=True).stdout
    )
    rft(*online(out), "--set", "grpo.save_every=100")
    assert what_was_learnt(out)[0] == what_was_learnt(run)[0]
