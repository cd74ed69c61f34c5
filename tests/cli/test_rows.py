"""Stages over anyone's rows end by a signal with their line, and keep nothing of what was begun."""

import os
import signal

import pytest

from tests.command import invoke


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_a_signal_ends_a_stage_over_rows_with_its_line(tmp_path, monkeypatch, name):
    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), getattr(signal, name))

    monkeypatch.setattr("pipelines.rows.grade_file", interrupted)
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"completion": "a", "gold": "1"}\n')
    # The end of the grace would end these tests.
    words = ["--output", tmp_path / "out.parquet", "--grace", "1d"]
    done = invoke("grade", "--input", rows, *words)
    assert done.exit_code == 75
    line = f"Stopped: by {name}; nothing was written. Run the same command again to go on.\n"
    assert done.stderr == line
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
