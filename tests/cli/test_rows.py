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
    words = ["--verdicts", known, "--set", "grade.deadline=60"]
    for number, (knew, added) in enumerate([(0, 1), (1, 0)]):
        output = tmp_path / f"{number}.parquet"
        told = rft_here("grade", "--input", rows, "--output", output, *words)
        line = f"verdicts: of 1 pairs for math-verify {knew} were known, {added} are added"
        assert f"{line} ({known})" in told
    first, second = (pl.read_parquet(tmp_path / f"{number}.parquet") for number in (0, 1))
    names = ["answer", "verdict", "verdict_path"]
    assert first.select(names).equals(second.select(names))
    assert first["verdict"].to_list() == ["correct"]


def test_what_may_be_selected_is_said_by_an_option(tmp_path):
    rows, chosen = tmp_path / "rows.jsonl", tmp_path / "chosen.parquet"
    answers = [("2+2?", 4, "4"), ("2+3?", 5, "5"), ("2+3?", 6, "5")]
    lines = [
        {"question": question, "completion": rf"\boxed{{{answer}}}", "gold": gold}
        for question, answer, gold in answers
    ]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rft_here("grade", "--input", rows, "--output", tmp_path / "graded.parquet")
    words = ["--input", tmp_path / "graded.parquet", "--output", chosen]
    words += ["--set", "select.by=random", "--set", "select.noise=0"]
    rft_here("select", *words)
    assert sorted(pl.read_parquet(chosen)["question"]) == ["2+2?", "2+3?"]
    rft_here("select", *words, "--where", "pass_rate < 0.9")
    assert pl.read_parquet(chosen)["question"].to_list() == ["2+3?"]
    others = pl.read_parquet(tmp_path / "chosen.passed_over.parquet")
    assert ("2+2?", "where") in others.select("question", "reason").rows()
    told = rft_here("select", *words, "--where", "pas_rate < 1", code=2)
    assert "select.where: no such name; did you mean" in told
    told = rft_here("select", tmp_path, "--where", "pass_rate < 1", code=2)
    assert "give RUN, or --input with --output, not both" in told
