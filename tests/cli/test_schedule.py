"""`rft schedule` as people call it: what it shows and refuses, how signals end it, what goes on."""

import json
import re
import shlex
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from rft.cli import cli
from rft.cli.schedule import Foreground
from rft.processes.stopping import Stop
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run
from rft.scheduling.nights import Nights, keep
from tests.command import SMALL_UNITS, command, invoke, rft, rft_here
from tests.pipelines.test_run import BOTH, SAMPLES, WORSE
from tests.small_run import evaluate, new_run, prepare, whole_round

NIGHTLY = ("--cron", "0 2 * * *")
# No such day comes before 2028.
NEVER_SOON = ("--cron", "0 0 29 2 *")


def refused(*words: object) -> str:
    (line,) = rft_here("schedule", *words, code=2).splitlines()
    return line


# What is shown and refused ------------------------------------------------------------------------


def test_the_list_shows_the_next_five_times_and_starts_nothing(tmp_path):
    words = ["schedule", "smoke", "--out", tmp_path / "run", "--list", "--time-zone", "UTC"]
    done = subprocess.run(command(*words, *NIGHTLY), capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    pattern = r"\w{3} \d+ \w{3} \d{4}, 02:00 UTC, in (less than a minute|\d+ (day|hour|minute).*)"
    assert all(re.fullmatch(pattern, line) for line in lines), lines
    days = [datetime.strptime(line.split(",")[0], "%a %d %b %Y") for line in lines]
    assert {later - day for day, later in pairwise(days)} == {timedelta(days=1)}
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("smoke", "--cron", "0 2 * *"), "has 4 fields; write five"),
        (("smoke", *NIGHTLY, "--time-zone", "Europe/Berln"), 'did you mean "Europe/Berlin"?'),
        (("grpo-quickstart", *NIGHTLY), "which is one round; `rft grpo grpo-quickstart` does it"),
        (("smok", *NIGHTLY, "--list"), 'no bundled recipe "smok"; did you mean "smoke"?'),
        (("smoke", *NIGHTLY, "--set", "prepare.train={source: no.jsonl}"), "no.jsonl: no such"),
        (("smoke", *NIGHTLY, "--emit", "hf-jobs"), "--emit hf-jobs: add --image"),
    ],
)
def test_what_cannot_go_on_by_itself_is_refused_at_once(words, says, tmp_path):
    assert says in refused(*words, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_options_that_do_not_go_together_are_refused():
    assert "not both" in rft_here("schedule", "smoke", *NIGHTLY, "--list", "--emit", "cron", code=2)
    assert "go with --emit" in rft_here("schedule", "smoke", *NIGHTLY, "--image", "x", code=2)


def test_without_apscheduler_one_line_says_what_to_install_and_emit_still_works(monkeypatch):
    monkeypatch.setitem(sys.modules, "apscheduler.triggers.combining", None)
    monkeypatch.setitem(sys.modules, "tzlocal", None)
    line = refused("smoke", *NIGHTLY, "--list")
    assert "pip install 'rft-rounds[schedule]'" in line
    assert rft_here("schedule", "smoke", *NIGHTLY, "--emit", "systemd") == ""


@pytest.mark.slow
def test_settings_that_a_round_would_refuse_in_the_night_are_refused_at_once(finished):
    changed = ("--set", "sample.temperature=0.7")
    told = rft_here("schedule", finished, *NIGHTLY, *changed, code=2)
    assert "sample.temperature: 1.0 -> 0.7" in told
    assert "--update" in told


# What is written for others -----------------------------------------------------------------------


def emitted(*words: object) -> list[str]:
    """Give the words of the call in the crontab line."""
    asked = ["schedule", *map(str, words), *NIGHTLY, "--emit", "cron"]
    line = CliRunner().invoke(cli, asked).stdout.splitlines()[-1].replace("\\%", "%")
    assert line.startswith("0 2 * * * cd ")
    return shlex.split(line)[5:]


def test_a_recipe_and_its_run_are_written_with_absolute_paths(tmp_path, monkeypatch):
    here = tmp_path / "a folder"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "mine.yaml").write_text("extends: smoke\n")
    of_file = emitted("mine.yaml", "--set", "seed=3", "--grace", "90s")
    at = of_file.index("run")
    assert of_file[:3] == ["cd", str(here), "&&"]
    assert Path(of_file[3]).is_absolute()
    assert of_file[at : at + 9] == [
        *("run", str(here / "mine.yaml"), "--out", str(here / "runs" / "mine")),
        *("--set", "seed=3", "--next", "--grace", "90s"),
    ]
    shipped = emitted("smoke", "--out", "x")
    at = shipped.index("run")
    assert shipped[at : at + 4] == ["run", "smoke", "--out", str(here / "x")]
    new_run(here / "a run")
    of_run = emitted("a run")
    at = of_run.index("run")
    assert of_run[at : at + 3] == ["run", str(here / "a run"), "--next"]


def test_a_recipe_with_code_of_ones_own_is_not_written_for_a_container(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("ARMS = {'cold': {'sample.temperature': 0.1}}\n")
    (tmp_path / "mine.yaml").write_text("extends: smoke\nparts: [mine.py]\n")
    asked = ["schedule", "mine.yaml", *NIGHTLY, "--emit", "kubernetes", "--image", "x"]
    assert "parts: mine.py: files of this machine" in rft_here(*asked, code=2)
    assert "--next" in emitted("mine.yaml")


def test_files_that_a_recipe_reads_or_keeps_are_named_for_a_container(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("extends: smoke\ngrade: {verdicts: kept.parquet}\n")
    asked = ["schedule", "mine.yaml", *NIGHTLY, "--emit", "kubernetes", "--image", "x"]
    assert f"# The recipe reads {tmp_path / 'kept.parquet'}: " in invoke(*asked).stdout


def test_a_prologue_is_read_from_its_file(tmp_path):
    (tmp_path / "modules.sh").write_text("module load cuda\n")
    words = ["smoke", *NIGHTLY, "--emit", "slurm", "--prologue", tmp_path / "modules.sh"]
    done = subprocess.run(command("schedule", *words), capture_output=True, text=True, check=True)
    assert "\nmodule load cuda\n" in done.stdout


# Signals ------------------------------------------------------------------------------------------


class Scheduled:
    """A schedule in a process of its own, heard line by line."""

    def __init__(self, *words: object):
        asked = command("schedule", *words, *NEVER_SOON)
        self.process = subprocess.Popen(
            asked, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def hear(self, words: str) -> str:
        """Read on until a line says this."""
        for line in self.process.stderr:
            if words in line:
                return line
        pytest.fail(f"it ended with {self.process.wait()} before it said {words!r}")

    def end(self, *numbers: int) -> tuple[int, str]:
        """Send signals, and give its code and what it said after them."""
        for number in numbers:
            self.process.send_signal(number)
            threading.Event().wait(0.1)
        rest = self.process.communicate()[1]
        return self.process.returncode, rest


def until(ready) -> None:
    pause = threading.Event()
    while not ready():
        pause.wait(0.01)


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in "ZX"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_between_rounds_ends_it_with_0(tmp_path, number):
    schedule = Scheduled("smoke", "--out", tmp_path / "run", "--time-zone", "Europe/Berlin")
    line = schedule.hear("next: ")
    pattern = r"\d{4}-\d\d-\d\d \d\d:\d\d next: Tue 29 Feb 2028, 00:00 CET, in \d+ days.*\n"
    assert re.fullmatch(pattern, line), line
    code, rest = schedule.end(number)
    assert code == 0, rest
    assert "stopped while nothing was at work" in rest
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_broken_round_goes_on_at_once_winds_down_on_a_signal_and_goes_on_again(tmp_path):
    out = tmp_path / "run"
    smoke = ["smoke", "--out", out, *SMALL_UNITS]
    rft("prepare", *smoke)
    schedule = Scheduled(*smoke)
    assert "now (a round is broken, and goes on first)" in schedule.hear("next: ")
    shards = out / "work" / "round-0000-evaluate" / "worker-0"
    until(lambda: list(shards.glob("*.json")))
    owner = json.loads((out / "lock").read_text())["pid"]
    code, rest = schedule.end(signal.SIGTERM)
    assert code == 75, rest
    assert "stopped; the round ended with 75, and what is finished is kept" in rest
    assert not (out / "lock").exists()
    assert gone(int(owner))

    again = Scheduled(*smoke)
    until(lambda: (out / "lock").exists() and list(shards.parent.parent.glob("*sample/*/*.json")))
    owner = int(json.loads((out / "lock").read_text())["pid"])
    (stage,) = Path(f"/proc/{owner}/task/{owner}/children").read_text().split()
    code, rest = again.end(signal.SIGTERM, signal.SIGTERM)
    assert code == 75, rest
    # At once: nobody was waited for, and nobody is left behind.
    until(lambda: gone(owner) and gone(int(stage)))


# The end of a run ---------------------------------------------------------------------------------


class InAMoment(Foreground):
    """The foreground, whose waits are over at once."""

    def __init__(self, run: Run):
        super().__init__(["run", str(run.path), "--next"], run, UTC, Stop())
        self.told: list[str] = []

    def wait(self, _until: datetime) -> bool:
        return True

    def tell(self, what: str) -> None:
        self.told.append(what)


@pytest.mark.slow
def test_a_run_that_is_over_by_its_own_rule_ends_the_schedule_with_0(tmp_path):
    gate = ("select.noise=0", "gate={on: dev}", "prepare.dev={holdout: 20}")
    run = new_run(tmp_path / "run", *gate, "rounds=4")
    prepare(run, answers=BOTH)
    evaluate(run, 0, BOTH)
    whole_round(run, 1, SAMPLES, BOTH)
    whole_round(run, 2, SAMPLES, WORSE)
    whole_round(run, 3, SAMPLES, WORSE)
    world = InAMoment(run)
    look = world.look
    # As if the call had made the last of those rounds.
    world.look = lambda: look() if world.called else None
    assert keep(Nights(lambda moment: moment + timedelta(days=1)), world, "rft") == 0
    assert (
        world.told[-1]
        == "the schedule ends with 0: the run is over: the gate refused rounds 2 and 3"
    )


def run_over(folder: Path) -> Run:
    """Make a run whose only round is done, as its recipe allows no more."""
    run = new_run(folder, "rounds=1", "select.noise=0", "stop={rounds: 1}")
    prepare(run, answers=BOTH)
    evaluate(run, 0, BOTH)
    whole_round(run, 1, SAMPLES, BOTH)
    return run


def test_a_run_that_is_over_is_told_at_once_and_waited_for_by_nobody(tmp_path):
    run = run_over(tmp_path / "run")
    over = "the run is over: stop.rounds: 1 are done; --set stop.rounds=N raises it"
    told = rft_here("schedule", run.path, *NEVER_SOON)
    assert told.splitlines()[-1].endswith(f"the schedule ends with 0: {over}")
    assert "next:" not in told
    assert f"{over}; no round would be made" in rft_here(
        "schedule", run.path, *NEVER_SOON, "--list"
    )


def test_a_run_whose_limit_is_raised_by_the_call_is_not_over(tmp_path, monkeypatch):
    run = run_over(tmp_path / "run")
    raised = ("--set", "stop.rounds=2")
    assert "is over" not in rft_here("schedule", run.path, *NEVER_SOON, *raised, "--list")
    monkeypatch.setattr(Foreground, "wait", lambda *_: False)
    told = rft_here("schedule", run.path, *NEVER_SOON, *raised)
    assert "next: Tue 29 Feb 2028" in told
    assert "is over" not in told


def test_rounds_beyond_those_of_the_recipe_are_seen(tmp_path):
    """Nights made two rounds of a recipe that names one."""
    run = new_run(tmp_path / "run", "rounds=2", "select.noise=0", "stop={rounds: 2}")
    prepare(run, answers=BOTH)
    evaluate(run, 0, BOTH)
    for round in (1, 2):
        whole_round(run, round, SAMPLES, BOTH)
    words = ("schedule", run.path, *NEVER_SOON, "--set", "rounds=1", "--list")
    assert "the run is over: stop.rounds: 2 are done" in rft_here(*words)


def test_a_run_folder_that_is_not_there_is_told_as_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    begins = "no such run folder; begin it with `rft run RECIPE --out runs/nope`"
    assert refused("runs/nope", *NIGHTLY) == f"Error: runs/nope: {begins}"


def test_a_call_that_a_person_must_mend_ends_the_schedule_with_2(tmp_path, capfd):
    run = new_run(tmp_path / "run")
    (run.path / "recipe.yaml").write_text("seed: [1\n")
    world = InAMoment(run)
    world.look = lambda: None
    assert keep(Nights(lambda moment: moment + timedelta(days=1)), world, "rft") == 2
    assert "recipe.yaml" in capfd.readouterr().err
    assert world.told[-1].startswith("the schedule ends with 2: a person must change something")


def test_a_wait_ends_at_its_moment_or_with_a_signal():
    stop = Stop()
    world = Foreground([], Run(Path("nowhere"), load_recipe("smoke")), UTC, stop)
    assert world.wait(datetime.now(UTC) - timedelta(seconds=1))
    stop.since, stop.reason = 0.0, "SIGTERM"  # as if a signal had come, without its timer
    assert not world.wait(datetime.now(UTC) + timedelta(days=1))
