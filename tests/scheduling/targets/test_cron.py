"""The line of a crontab, called as cron calls it: with almost no environment, by /bin/sh."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rft.runs.folder import open_run
from rft.scheduling.targets import text_for
from tests.command import command
from tests.errands import calls, errand, hostile_errand


def line_of(text: str) -> str:
    (line,) = [line for line in text.splitlines() if not line.startswith("#")]
    return line


def as_cron_does(line: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Call the command of a line: a bare % would end it, and \\% stands for one."""
    whole = line.split(maxsplit=5)[5]
    shell_command = re.split(r"(?<!\\)%", whole)[0].replace("\\%", "%")
    clean = ["env", "-i", f"HOME={home}", "LOGNAME=me", "SHELL=/bin/sh", "PATH=/usr/bin:/bin"]
    return subprocess.run(
        [*clean, "/bin/sh", "-c", shell_command],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_line_of_a_plain_call():
    assert line_of(text_for("cron", errand("30 2 * * mon-fri"))) == (
        "30 2 * * 1-5 cd /home/me/work && /opt/venv/bin/rft run quickstart "
        "--out /home/me/work/runs/quickstart --next --grace 20s "
        ">> /home/me/work/rft-quickstart.log 2>&1"
    )


def test_hostile_names_arrive_as_they_are(tmp_path):
    wanted = hostile_errand(tmp_path)
    done = as_cron_does(line_of(text_for("cron", wanted)), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (call,) = calls(tmp_path / "called.json")
    assert call["argv"] == wanted.command
    assert call["cwd"] == wanted.folder
    assert Path(wanted.folder, "rft-mine.log").read_text() == "said\n"


@pytest.mark.skipif(shutil.which("crontab") is None, reason="no crontab here")
def test_crontab_takes_it(tmp_path):
    (tmp_path / "crontab").write_text(text_for("cron", hostile_errand(tmp_path)))
    checked = subprocess.run(["crontab", "-T", tmp_path / "crontab"], capture_output=True)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.slow
def test_the_line_makes_a_round_with_the_environment_of_cron(tmp_path, finished, monkeypatch):
    home = tmp_path / "it's 100% mine"
    run = Path(shutil.copytree(finished, home / "a run"))
    monkeypatch.chdir(home)
    schedule = ["schedule", "a run", "--cron", "@daily", "--emit", "cron"]
    told = subprocess.run(command(*schedule), capture_output=True, text=True, check=True)
    done = as_cron_does(line_of(told.stdout), home)
    log = (home / "rft-a-run.log").read_text()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), log
    assert open_run(run).manifest("evaluate", 2) is not None
    assert "Pass@1" in log
