"""One live writer per run; a dead one's lock is taken over, another host's never by itself."""

import json
import os
import subprocess
import sys

import pytest

from rft.errors import Interrupted, RFTError
from rft.runs import lock

HOLD = """
import os, sys
from pathlib import Path
from rft.runs import lock
with lock.hold(Path(sys.argv[1])):
    {}
"""


def test_a_second_live_owner_is_turned_away_with_the_first_one_named(tmp_path):
    path = tmp_path / "lock"
    code = HOLD.format("print('held', flush=True); sys.stdin.read()")
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(Interrupted, match=f"pid {holder.pid}"), lock.hold(path):
        pass
    with pytest.raises(RFTError, match="alive"):
        lock.unlock(path)
    holder.communicate()
    with lock.hold(path):
        assert lock.is_held(path)
    assert not path.exists()


def test_the_lock_of_a_killed_owner_is_taken_over(tmp_path):
    path = tmp_path / "lock"
    code = HOLD.format("os.kill(os.getpid(), 9)")
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert path.exists()
    with lock.hold(path):
        assert json.loads(path.read_text())["pid"] == str(os.getpid())


def test_a_reused_pid_is_not_the_owner(tmp_path):
    path = tmp_path / "lock"
    with lock.hold(path):
        owner = json.loads(path.read_text())
    path.write_text(json.dumps(owner | {"started": "1", "token": "x"}))
    assert not lock.is_held(path)


def test_the_lock_of_another_host_stays_until_somebody_unlocks_it(tmp_path):
    path = tmp_path / "lock"
    with lock.hold(path):
        owner = json.loads(path.read_text())
    path.write_text(json.dumps(owner | {"host": "elsewhere", "pid": "1", "token": "x"}))
    with pytest.raises(Interrupted, match="elsewhere"), lock.hold(path):
        pass
    assert "elsewhere" in lock.unlock(path)
    assert lock.unlock(path).startswith("nothing to do")


def test_a_stage_process_works_under_its_parents_lock(tmp_path):
    path = tmp_path / "lock"
    with lock.hold(path), lock.hold(path):
        assert path.exists()
    assert not path.exists()
