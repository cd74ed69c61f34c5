"""What killed processes left goes with the next owner of the run; what may be at work stays."""

import os

import polars as pl

from rft.problems.foreign_rows import write_rows
from rft.runs.leftovers import left_over
from tests.small_run import new_run

DEAD = 2**22 + 1  # beyond any pid that Linux gives


def test_the_next_owner_removes_what_killed_ones_left(tmp_path):
    run = new_run(tmp_path / "run")
    gone = [
        f".recipe.yaml.{DEAD}.tmp",
        f"manifest/round-0001/.grade.json.{DEAD}.tmp",
        f"work/.agreed.{DEAD}.tmp",
        f"rollouts/round-0001/.part-00000.parquet.{DEAD}.tmp",
    ]
    stay = [
        f"work/round-0001-sample/array-0-of-2/.00000.parquet.{DEAD}.tmp",  # its owner has no lock
        f"work/round-0001-sample/worker-0/.00000.parquet.{os.getpid()}.tmp",  # it is alive
        f"stale/0001/.x.{DEAD}.tmp",
        "models/model-0001/model.safetensors",
        ".hidden",
    ]
    for name in [*gone, *stay]:
        path = run.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (run.path / "models/.model-0002.tmp/deep").mkdir(parents=True)
    (run.path / "models/.model-0001.removed").mkdir()
    with run.lock():
        assert not list(left_over(run.path))
        assert [name for name in gone if (run.path / name).exists()] == []
        assert [name for name in stay if not (run.path / name).exists()] == []
        assert sorted(path.name for path in (run.path / "models").iterdir()) == ["model-0001"]
    assert [path.name for path in run.path.glob(".lock*")] == []


def test_rows_written_again_remove_what_a_killed_writer_of_them_left(tmp_path):
    stay = [".kept.parquet.1.tmp", f".other.parquet.{DEAD}.tmp", ".kept.parquet.tmp"]
    for name in [f".kept.parquet.{DEAD}.tmp", *stay]:
        (tmp_path / name).write_text("x")
    write_rows(tmp_path / "kept.parquet", pl.DataFrame({"a": [1]}))
    assert {path.name for path in tmp_path.iterdir()} == {"kept.parquet", *stay}


def test_a_lock_that_was_being_written_goes_with_the_next_owner(tmp_path):
    import socket

    run = new_run(tmp_path / "run")
    (run.path / f".lock.{socket.gethostname()}.abc").write_text('{"ho')
    (run.path / ".lock.elsewhere.abc").write_text("another host's, which may be alive")
    with run.lock():
        pass
    assert [path.name for path in run.path.glob(".lock*")] == [".lock.elsewhere.abc"]
