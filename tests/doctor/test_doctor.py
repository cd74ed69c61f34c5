"""Pins the command `rft doctor`: it looks at this machine and a run's folder, and writes nothing.

Run: python -m pytest tests/doctor/test_doctor.py
"""

import json
import sys

import pytest
from click.testing import CliRunner

from rft.cli import cli
from rft.cli.opening import folder_for
from rft.doctor import facts as looking
from rft.recipe.loading import load_recipe


def test_the_command_looks_this_machine_over_and_loads_nothing_heavy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["doctor", "--json"])
    told = json.loads(done.stdout)
    assert done.exit_code == (0 if told["sound"] else 2)
    assert told["versions"]["python"].startswith(f"{sys.version_info.major}.")
    assert set(told["places"]) == {"sample, evaluate", "sft"}
    assert {"packages", "devices", "disk"} <= {each["about"] for each in told["findings"]}
    assert list(tmp_path.iterdir()) == [], "the doctor writes nothing"


def test_the_command_exits_2_where_the_engine_is_missing_and_reads_run_folders(
    tmp_path, monkeypatch, ask
):
    ask("pass")
    monkeypatch.setattr(looking, "installed", lambda: {"torch": "2.13.0"})
    from rft.recipe.loading import dump

    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text(dump(load_recipe("smoke", ["engine.kind=vllm"])))
    done = CliRunner().invoke(cli, ["doctor", str(run)])
    assert done.exit_code == 2
    assert "error  engine    engine.kind: vllm, but vllm is not installed here" in done.stdout
    assert str(run) in done.stdout
    done = CliRunner().invoke(cli, ["doctor", "quikstart"])
    assert done.exit_code == 2
    assert "did you mean" in done.stderr


def test_problems_that_are_not_there_are_in_the_way_until_a_run_has_read_them(
    tmp_path, monkeypatch, ask
):
    ask("pass")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own-train.jsonl").write_text('{"question": "1 + 1?", "gold": "2"}\n')
    (tmp_path / "own.yaml").write_text(
        "extends: smoke\nprepare: {train: own-train.jsonl, test: own-tset.jsonl}\n"
    )
    done = CliRunner().invoke(cli, ["doctor", "own.yaml"])
    assert done.exit_code == 2
    (line,) = [line for line in done.stdout.splitlines() if "problems" in line]
    assert line.startswith("  error  problems  prepare: ")
    assert "own-tset.jsonl: no such file; did you mean" in line
    assert line.endswith("(for test)")
    (tmp_path / "own-tset.jsonl").write_text('{"question": "1 + 2?", "gold": "3"}\n')
    assert "problems" not in CliRunner().invoke(cli, ["doctor", "own.yaml"]).stdout
    CliRunner().invoke(cli, ["prepare", "own.yaml", "--out", "run"], catch_exceptions=False)
    (tmp_path / "own-tset.jsonl").unlink()
    assert "problems" not in CliRunner().invoke(cli, ["doctor", "run"]).stdout


@pytest.mark.parametrize(
    ("recipe", "folder"),
    [
        ("qwen2.5-32b-still3", "qwen2.5-32b-still3"),
        ("quickstart", "quickstart"),
        ("some/where/mine-1.5.yaml", "mine-1.5"),
        ("mine.yml", "mine"),
    ],
)
def test_a_run_folder_is_named_after_the_whole_recipe(recipe, folder):
    assert folder_for(recipe).as_posix() == f"runs/{folder}"


def test_the_doctor_looks_at_the_folder_that_a_run_would_have(ask):
    ask("pass")
    done = CliRunner().invoke(cli, ["doctor", "qwen2.5-32b-still3"])
    assert "free at runs/qwen2.5-32b-still3" in done.stdout
