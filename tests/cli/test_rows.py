"""Stages over anyone's rows: a signal leaves nothing of them, and what was judged before is known.

Run: python -m pytest tests/cli/test_rows.py
"""

import json
import os
import signal

import polars as pl
import pytest

from tests.command import invoke, rft_here


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


def test_a_pair_that_was_judged_before_is_known(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"completion": r"\boxed{x(1+y)}", "gold": "x+xy"}) + "\n")
    known = tmp_path / "known" / "verdicts.parquet"
    words = ["--set", f"grade.verdicts={known}", "--set", "grade.deadline=60"]
    for number, (knew, added) in enumerate([(0, 1), (1, 0)]):
        output = tmp_path / f"{number}.parquet"
        told = rft_here("grade", "--input", rows, "--output", output, *words)
        line = f"verdicts: of 1 pairs for math-verify {knew} were known, {added} are added"
        assert f"{line} ({known})" in told
    first, second = (pl.read_parquet(tmp_path / f"{number}.parquet") for number in (0, 1))
    names = ["answer", "verdict", "verdict_path"]
    assert first.select(names).equals(second.select(names))
    assert first["verdict"].to_list() == ["correct"]
