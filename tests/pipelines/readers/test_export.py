"""An export opens with `datasets` alone, says what it is, and replaces nothing but an export.

Run: python -m pytest tests/pipelines/readers/test_export.py
"""

import re
import shutil
import subprocess
import sys

import polars as pl
import pytest

from pipelines.readers.export import new_folder
from pipelines.readers.mark import MARK
from rft.bundled import bundled
from rft.errors import RFTError
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run
from tests import exported_run
from tests.exported_run import (
    HOSTILE,
    card_of,
    commit,
    content,
    export,
    load,
    make_online,
    make_run,
)
from tests.flushes import flushes


def test_every_config_opens_with_datasets_and_holds_every_row(tmp_path):
    run = make_run(tmp_path / "run")
    export(run, tmp_path / "out")
    wanted = {
        "sft": {"train": 24},
        "rollouts": {"train": 32},
        "graded": {"train": 32},
        "problems": {"train": 4, "dev": 2, "test": 2},
        "evaluations": {"dev": 24, "test": 24},
    }
    for config, splits in wanted.items():
        opened = load(tmp_path / "out", config, tmp_path / "cache")
        assert {split: len(rows) for split, rows in opened.items()} == splits, config
    by_default = load(tmp_path / "out", None, tmp_path / "cache")["train"]
    assert len(by_default) == 24
    assert set(by_default["round"]) == {1, 2}


def test_a_selected_row_carries_its_prompt_problem_and_origin(tmp_path):
    export(make_run(tmp_path / "run"), tmp_path / "out")
    rows = load(tmp_path / "out", "sft", tmp_path / "cache")["train"]
    row = next(row for row in rows if row["rollout_id"] == "2-p3-2")
    assert row["completion"] == HOSTILE
    assert row["prompt"] == "What?\n"
    assert (row["question"], row["gold"]) == ("What is 3 + 1?", ["4"])
    assert (row["role"], row["verdict"], row["model"]) == ("noise", "wrong", "m1")
    assert row["source"] == "bundled:arithmetic"


def test_graded_rows_say_which_rule_rejected_them(tmp_path):
    export(make_run(tmp_path / "run"), tmp_path / "out")
    rows = load(tmp_path / "out", "graded", tmp_path / "cache")["train"].to_pandas()
    assert rows["rejected_by"].isna().sum() == 24
    assert set(rows[rows["verdict"] == "no_answer"]["rejected_by"]) == {"no_box"}


def test_graded_rows_say_why_they_were_kept_and_not_selected(tmp_path):
    run = make_run(tmp_path / "run", rounds=1, noise=False)
    export(run, tmp_path / "out")
    rows = pl.read_parquet(tmp_path / "out" / "graded" / "*.parquet")
    assert dict(rows["passed_over"].drop_nulls().value_counts().iter_rows()) == {
        "noise not wanted": 4
    }
    assert set(rows.filter(pl.col("passed_over").is_not_null())["verdict"]) == {"wrong"}
    # What version 0.1 selected has no such table.
    manifest = run.manifest("select", 1)
    del manifest["outputs"]["passed_over"]
    run.write_manifest("select", 1, manifest)
    shutil.rmtree(run.folder("passed_over", 1))
    export(run, tmp_path / "again")
    rows = pl.read_parquet(tmp_path / "again" / "graded" / "*.parquet")
    assert rows["passed_over"].null_count() == len(rows) == 16


def test_token_lists_stay_out_on_request(tmp_path):
    run = make_run(tmp_path / "run")
    export(run, tmp_path / "with")
    export(run, tmp_path / "without", token_stats=False)
    full = load(tmp_path / "with", "rollouts", tmp_path / "cache")["train"]
    lean = load(tmp_path / "without", "rollouts", tmp_path / "cache")["train"]
    assert full[0]["entropies"] == [0.5] * 3
    gone = set(full.column_names) - set(lean.column_names)
    assert gone == {"token_ids", "logprobs", "entropies", "branching"}
    assert len(lean) == len(full)


def test_the_recipe_and_manifests_travel_along(tmp_path):
    run = make_run(tmp_path / "run")
    export(run, tmp_path / "out")
    stored = tmp_path / "out" / "run"
    assert load_recipe(str(stored / "recipe.yaml")) == run.recipe
    for place in ("manifest/round-0002/select.json", "manifest/round-0000/prepare.json"):
        assert (stored / place).read_bytes() == (run.path / place).read_bytes()


def test_nothing_of_an_export_says_in_which_folders_its_files_lay(tmp_path, monkeypatch):
    home = tmp_path / "alice"
    home.mkdir()
    for name in ("train.jsonl", "dev.jsonl"):
        (home / name).write_text('{"question": "What is 1 + 1?", "gold": "2"}\n')
    shutil.copytree(bundled("data") / "tiny", home / "tiny")
    rows = exported_run.problems().with_columns(source=pl.lit(str(home / "train.jsonl")))
    monkeypatch.setattr(exported_run, "problems", lambda: rows)
    run = make_run(
        tmp_path / "run",
        f"prepare.train={{source: {home}/train.jsonl}}",
        f"prepare.test={{one: {{source: {home}/dev.jsonl}}}}",
        f"model.path={home}/tiny",
        f"notify=curl https://example.org/{home.name}",
        rounds=1,
    )
    export(run, tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        if path.suffix == ".parquet":
            assert "alice" not in pl.read_parquet(path).write_ndjson(), path
        elif path.is_file():
            assert "alice" not in path.read_text(), path
    assert set(load(tmp_path / "out", "sft", tmp_path / "cache")["train"]["source"]) == {
        "train.jsonl"
    }
    stored = tmp_path / "out" / "run"
    assert "source: train.jsonl" in (stored / "recipe.yaml").read_text()
    assert "base of the model that answered: `tiny`" in card_of(tmp_path / "out")[1]


def test_what_lies_beside_the_manifests_does_not_travel_along(tmp_path):
    run = make_run(tmp_path / "run")
    other = tmp_path / "run" / "manifest" / "x" / "id_rsa"
    other.parent.mkdir()
    other.write_text("private")
    (other.parent.parent / "round-0001" / "notes.txt").write_text("private")
    export(run, tmp_path / "out")
    stored = tmp_path / "out" / "run"
    there = {str(path.relative_to(stored)) for path in stored.rglob("*") if path.is_file()}
    told = {run.manifest_path(each["stage"], each["round"]) for each in run.manifests()}
    assert there == {"recipe.yaml", *(str(path.relative_to(run.path)) for path in told)}


@pytest.mark.parametrize("link", ["manifest", "manifest/x", "manifest/round-0001/x.json"])
def test_a_link_among_the_manifests_is_refused(tmp_path, link):
    run = make_run(tmp_path / "run")
    place = run.path / link
    if place.exists():
        place.rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir(exist_ok=True)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RFTError, match=f"{link}: a link, which nothing of a run is"):
        export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_second_export_replaces_the_first(tmp_path):
    folder = tmp_path / "run"
    export(make_run(folder, rounds=1), tmp_path / "out")
    before = content(tmp_path / "out")
    export(Run(folder, load_recipe(str(folder / "recipe.yaml"))), tmp_path / "out")
    assert content(tmp_path / "out") == before, "an export of the same run differs"
    shutil.rmtree(folder)
    export(make_run(folder, rounds=2), tmp_path / "out")
    assert (tmp_path / "out" / "sft" / "train-round-0002-00000.parquet").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_what_no_export_wrote_is_not_touched(tmp_path):
    run = make_run(tmp_path / "run")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    with pytest.raises(RFTError, match="not empty, and not an export"):
        export(run, foreign)
    assert content(foreign).keys() == {"thesis.txt"}
    for inside in (run.path, run.path / "export", run.path / "a" / "b"):
        with pytest.raises(RFTError, match="in a run folder"):
            export(run, inside)
    (tmp_path / "file").write_text("")
    with pytest.raises(RFTError, match="not a folder"):
        export(run, tmp_path / "file")
    export(run, tmp_path / "out")
    with pytest.raises(RFTError, match="an export of another run"):
        export(make_run(tmp_path / "other"), tmp_path / "out")


@pytest.mark.parametrize("name", ["README.md", "notes.md", "sft/more.parquet"])
def test_what_was_added_to_an_export_is_not_lost(tmp_path, name):
    run = make_run(tmp_path / "run")
    export(run, tmp_path / "out")
    with (tmp_path / "out" / name).open("a") as file:
        file.write("mine")
    before = content(tmp_path / "out")
    with pytest.raises(RFTError, match=re.escape(name)):
        export(run, tmp_path / "out")
    assert content(tmp_path / "out") == before


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    export(make_run(tmp_path / "run"), tmp_path / "out")
    assert (tmp_path / "out" / "README.md").exists()


@pytest.mark.parametrize("earlier", [False, True])
def test_a_killed_export_leaves_no_half_folder(tmp_path, earlier):
    run = make_run(tmp_path / "run")
    if earlier:
        export(run, tmp_path / "out")
    before = content(tmp_path / "out") if earlier else None
    code = """
import os, signal, sys
from pathlib import Path
from pipelines.readers.export import export_run
from rft.runs.folder import open_run
def say(line):
    if line.startswith("export: sft of round 2"):
        os.kill(os.getpid(), signal.SIGKILL)
export_run(open_run(Path(sys.argv[1])), to=Path(sys.argv[2]), say=say)
"""
    places = [str(run.path), str(tmp_path / "out")]
    killed = subprocess.run([sys.executable, "-c", code, *places], check=False, timeout=120)
    assert killed.returncode == -9
    assert (content(tmp_path / "out") if (tmp_path / "out").exists() else None) == before
    export(run, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_a_kill_between_two_renames_costs_nothing(tmp_path):
    run = make_run(tmp_path / "run")
    export(run, tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / ".out.rft-old")
    (tmp_path / ".out.rft-new").mkdir()
    damaged = run.folder("selected", 2) / "part-00000.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(RFTError, match="selected"):
        export(run, tmp_path / "out")
    assert (tmp_path / "out" / "README.md").exists()
    assert not (tmp_path / ".out.rft-new").exists()


def test_a_run_without_selected_samples_is_refused(tmp_path):
    with pytest.raises(RFTError, match="no selected sample to export"):
        export(make_run(tmp_path / "run", rounds=0), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tables_that_do_not_stem_from_each_other_are_refused(tmp_path):
    run = make_run(tmp_path / "run")
    replace_output(run, "sample", "rollouts")
    with pytest.raises(RFTError, match=r"`grade` of round 1 was made from other inputs.*`rft run"):
        export(run, tmp_path / "out")


@pytest.mark.parametrize("make", [make_run, make_online])
def test_scores_of_a_model_that_was_made_again_are_not_published(tmp_path, make):
    run = make(tmp_path / "run")
    replace_output(run, run.recipe.maker, "model")
    wanted = f"`evaluate` of round 1 was made from other inputs.*`rft {run.command} "
    with pytest.raises(RFTError, match=wanted):
        export(run, tmp_path / "out")


def replace_output(run: Run, stage: str, table: str) -> None:
    """Let a stage of round 1 seem to have been done again, and to have come out differently."""
    manifest = run.manifest(stage, 1)
    manifest["outputs"][table]["digest"] = "another"
    run.write_manifest(stage, 1, manifest)


def test_a_damaged_table_is_named_and_not_published(tmp_path):
    run = make_run(tmp_path / "run")
    path = run.folder("evaluations", 1) / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RFTError, match="evaluations/round-0001: not what its manifest says"):
        export(run, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_refused_model_is_not_the_one_that_is_exported(tmp_path):
    run = make_run(tmp_path / "run", rounds=1, gate="{on: dev, metric: pass@1}")
    with pytest.raises(RFTError, match="no model was adopted yet"):
        export(run, tmp_path / "out", with_model=True)
    commit(run, "gate", 1, {})
    with pytest.raises(RFTError, match="no model was adopted yet"):
        export(run, tmp_path / "out", with_model=True)
    assert not (tmp_path / "out").exists()
    export(run, tmp_path / "out")
    assert "| refused |" in card_of(tmp_path / "out")[1]


def test_the_command_prints_the_folders_and_ends_with_2_on_a_mistake(tmp_path):
    from click.testing import CliRunner

    from rft.cli import cli

    run = make_run(tmp_path / "run")
    arguments = ["export", str(run.path), "--to", str(tmp_path / "out"), "--license", "mit"]
    done = CliRunner().invoke(cli, arguments)
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'out'}\n")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "x").write_text("")
    arguments = ["export", str(run.path), "--to", str(tmp_path / "foreign")]
    refused = CliRunner().invoke(cli, arguments)
    assert refused.exit_code == 2
    assert len(refused.stderr.splitlines()) == 1


def test_an_online_run_opens_with_datasets_and_holds_every_step(tmp_path):
    export(make_online(tmp_path / "run"), tmp_path / "out")
    wanted = {
        "dynamics": {"train": 3},
        "problems": {"train": 4, "dev": 2, "test": 2},
        "evaluations": {"dev": 16, "test": 16},
    }
    for config, splits in wanted.items():
        opened = load(tmp_path / "out", config, tmp_path / "cache")
        assert {split: len(rows) for split, rows in opened.items()} == splits, config
    steps = load(tmp_path / "out", None, tmp_path / "cache")["train"]
    assert steps[0]["touched"] == []
    assert steps[2]["touched"] == [{"plugin": "entropy_advantage", "share": 0.25}]
    assert (steps[2]["step"], steps[2]["kl"]) == (3, None)


def test_before_online_training_is_done_there_is_nothing_to_export(tmp_path):
    run = make_online(tmp_path / "run", trained=False)
    with pytest.raises(RFTError, match=r"no trained model to export; `rft grpo .*/run` goes on"):
        export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_table_of_an_online_run_names_its_own_command(tmp_path):
    run = make_online(tmp_path / "run")
    path = run.folder("dynamics", 1) / "part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RFTError, match=r"dynamics/round-0001: not what .* `rft grpo "):
        export(run, tmp_path / "out")


def test_what_the_rounds_of_an_earlier_recipe_left_is_not_exported(tmp_path):
    rounds = make_run(tmp_path / "run", rounds=1)
    online = make_online(tmp_path / "online")
    for stage, table in (("sample", "rollouts"), ("select", "selected")):
        shutil.copytree(rounds.path / table, online.path / table)
        shutil.copy(rounds.manifest_path(stage, 1), online.manifest_path(stage, 1))
    export(online, tmp_path / "out")
    configs = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert configs == {"dynamics", "problems", "evaluations", "run"}


def test_a_licence_that_the_hub_does_not_know_is_warned_of_and_kept_in_a_folder(tmp_path):
    run = make_run(tmp_path / "run", rounds=1)
    said = export(run, tmp_path / "out", license_id="apache2")
    (warning,) = [line for line in said if line.startswith("warning:")]
    assert 'did you mean "apache-2.0"?' in warning
    assert card_of(tmp_path / "out")[0]["license"] == "apache2"
    assert not any("warning" in each for each in export(run, tmp_path / "out", license_id="MIT"))


def test_a_copied_model_is_on_the_disk_before_the_mark_of_its_folder(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run")
    flushed = flushes(monkeypatch)
    with new_folder(tmp_path / "out", run) as folder:
        (folder / "model.safetensors").write_text("weights")
    names = ("model.safetensors", MARK)
    assert flushed == [(tmp_path / "out" / name).stat().st_ino for name in names]
