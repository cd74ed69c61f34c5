"""Statistics of a step are those of all its processes, on two real ones.

Run: python -m pytest -m slow tests/training/test_grpo_processes.py
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("two_processes.py")


def test_two_processes_see_the_same_step_and_learn_the_same(tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, "--standalone", str(SCRIPT), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("both agree") == 2
