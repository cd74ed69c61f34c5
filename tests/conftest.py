"""What all tests share: how much of the machine one of them takes, and one finished run."""

import fcntl
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rft.parts import in_use, trust
from tests.command import ROOT, SMALL_UNITS, stage_here

# Models of tests are so small that a second thread costs more than it brings, while a second
# process (`-n 2` in the Makefile) brings a whole core. Before torch is imported, and for children.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


@pytest.fixture(autouse=True)
def nothing_trusted(tmp_path_factory, monkeypatch) -> Iterator[None]:
    """Begin each test with no parts among our rows, and with nobody's code trusted."""
    home = tmp_path_factory.getbasetemp() / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    monkeypatch.setenv(trust.INHERITED, "")
    yield
    in_use.forget()
    trust.forget()
    (home / "rft" / "trusted-parts").unlink(missing_ok=True)


def pytest_collection_finish() -> None:
    """Take what is imported out of the garbage collector's rounds: a training makes several."""
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Give it back: DuckDB lists what nobody freed at the end."""
    gc.unfreeze()


@pytest.fixture
def stages_here(monkeypatch) -> None:
    """Have this process do the stages that a call in it would have children for.

    For tests of what is done, not of processes: torch is loaded once, not for each stage.
    """

    monkeypatch.setattr("pipelines.perform.in_child", stage_here)


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """Run the smoke recipe once for the tests of all processes; who changes it takes a copy."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with (folder / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "finished").exists():
            words = ["run", "smoke", "--out", str(folder / "running"), *SMALL_UNITS]
            subprocess.run(
                [sys.executable, "-m", "tests.one_process", *words], cwd=ROOT, check=True
            )
            (folder / "running").rename(folder / "finished")
    return folder / "finished"
