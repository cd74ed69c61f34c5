"""The units of systemd: held by its own tools, and its times against cronsim's."""

import os
import random
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from cronsim import CronSim

from rft.errors import RFTError
from rft.scheduling.cron import parse
from rft.scheduling.targets import text_for
from rft.scheduling.targets.systemd import calendar_lines
from tests.errands import errand, hostile_errand, recorder
from tests.scheduling.test_times import random_expression

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here")


def units(text: str, home: Path) -> Path:
    """Run what is pasted in a home of its own, without a systemd that listens."""
    stand_ins = home / "bin"
    stand_ins.mkdir(parents=True, exist_ok=True)
    (stand_ins / "systemctl").write_text('#!/bin/sh\necho "$@" >> "$HOME/asked"\n')
    (stand_ins / "systemctl").chmod(0o755)
    env = {"HOME": str(home), "PATH": f"{stand_ins}:/usr/bin:/bin"}
    subprocess.run(["bash", "-eu"], input=text, text=True, env=env, check=True)
    return home / ".config" / "systemd" / "user"


def setting(unit: Path, key: str) -> str:
    (value,) = re.findall(rf"(?m)^{key}=(.*)$", unit.read_text())
    return value


def next_times(line: str, after: datetime, count: int) -> list[datetime]:
    """Ask systemd for the next times of a calendar event; none where it has fewer."""
    base = f"--base-time={after:%Y-%m-%d %H:%M:%S} UTC"
    words = [ANALYZE, "calendar", base, f"--iterations={count}", f"{line} UTC"]
    env = {**os.environ, "TZ": "UTC", "SYSTEMD_COLORS": "0"}
    told = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    assert told.returncode == 0, (line, told.stderr)
    lines = re.findall(r"(?:Next elapse|Iter\. #\d+): \w{3} (.*) UTC", told.stdout)
    return [datetime.strptime(f"{each} +0000", "%Y-%m-%d %H:%M:%S %z") for each in lines]


def test_what_is_pasted_writes_both_units_and_starts_the_timer(tmp_path):
    folder = units(text_for("systemd", errand("0 2 * * *", zone="Europe/Berlin")), tmp_path)
    service, timer = folder / "rft-quickstart.service", folder / "rft-quickstart.timer"
    assert setting(timer, "OnCalendar") == "*-*-* 2:0:00 Europe/Berlin"
    assert setting(timer, "Persistent") == "true"
    assert setting(service, "Type") == "oneshot"
    assert setting(service, "WorkingDirectory") == "/home/me/work"
    assert setting(service, "Restart") == "on-failure"  # 75 and a kill are failures
    assert "2" in setting(service, "RestartPreventExitStatus").split()
    assert int(setting(service, "TimeoutStopSec")) > 20
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["--user daemon-reload", "--user enable --now rft-quickstart.timer"]


@needs_systemd
@pytest.mark.parametrize("cron", ["0 2 * * *", "*/5 0-6 13 * fri"])
def test_systemd_finds_nothing_to_complain_of_even_in_hostile_names(tmp_path, cron):
    home = tmp_path / "home"
    rft = recorder(tmp_path / "the rft $x 100%", tmp_path / "called.json")
    wanted = hostile_errand(tmp_path, cron, program=(str(rft),))
    folder = units(text_for("systemd", wanted), home)
    words = [ANALYZE, "verify", "--user", "--man=no", *sorted(map(str, folder.iterdir()))]
    env = {"HOME": str(home), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    checked = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    ours = [line for line in checked.stderr.splitlines() if "rft-" in line]
    assert (checked.returncode, ours) == (0, []), checked.stderr


def test_a_program_that_systemd_would_not_start_is_refused():
    with pytest.raises(RFTError, match="no program with a quote"):
        text_for("systemd", errand(program=('/home/the "best"/rft',)))


@needs_systemd
@pytest.mark.parametrize("seed", range(40))
def test_the_times_of_a_timer_are_those_of_cron(seed):
    draw = random.Random(1000 + seed)
    expression = random_expression(draw)
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=draw.randrange(3 * 525_600))
    lines = calendar_lines(parse(expression))
    times = {moment for line in lines for moment in next_times(line, start, 5)}
    assert sorted(times)[:5] == list(islice(CronSim(expression, start), 5)), (expression, lines)
