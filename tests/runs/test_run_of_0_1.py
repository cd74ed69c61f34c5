"""A run folder that 0.1 made is one of ours: read, handed on, and gone on with when asked to."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.run import plan
from rft.cli import cli
from rft.errors import RFTError
from rft.recipe.loading import WRITTEN_BY_0_1, load_recipe, load_stored
from rft.runs.folder import open_run
from tests.command import ROOT, rft
from tests.small_run import RIGHT, evaluate, new_run, prepare, whole_round

STORED = Path(__file__).parents[1] / "data" / "run-of-0.1"
WEIGHTS = "models/model-0001/model.safetensors"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Copy the run, with a hole for weights: nothing here loads them, their size alone matters."""
    folder = tmp_path / "run"
    shutil.copytree(STORED, folder)
    manifest = json.loads((folder / "manifest/round-0001/sft.json").read_text())
    (folder / WEIGHTS).touch()
    os.truncate(folder / WEIGHTS, manifest["outputs"]["model"]["files"][WEIGHTS])
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Read all that a run is, without what remembers digests and who holds the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "work" not in path.parts and not path.name.startswith(".lock")
    }


def test_what_was_made_by_other_rules_is_made_again_only_when_asked_to(run: Path) -> None:
    before = contents(run)
    told = rft("run", run, code=2)
    assert "redo" in told
    assert told.rstrip().endswith("Add --update to do that, or name another folder with --out.")
    assert contents(run) == before


def test_what_it_sampled_is_kept_where_the_problems_come_out_the_same(run: Path) -> None:
    states = {(step.stage, step.round): step.state for step in plan(open_run(run), 1)}
    assert states["sample", 1] == "follow"


@pytest.mark.parametrize("words", [["report"], ["status"], ["show"], ["doctor"]])
def test_it_is_read(run: Path, words: list[str]) -> None:
    before = contents(run)
    rft(*words, run)
    assert contents(run) == before


def test_a_row_of_it_is_traced_and_what_is_no_weights_is_seen(run: Path) -> None:
    before = contents(run)
    told = CliRunner().invoke(cli, ["trace", str(run), "e53ff8bb"])
    assert told.exit_code == 2
    assert "digests     model 1 DIFFERS; 8 match their manifests" in told.stdout
    assert "learnt by   model 1 (adopted, 1 epoch)" in told.stdout
    assert "verdict     wrong, by the verifier math" in told.stdout
    assert contents(run) == before


def test_what_goes_on_with_it_is_named_as_it_has_to_be_typed(run: Path) -> None:
    result = CliRunner().invoke(cli, ["status", str(run)])
    assert f"to go on   rft run {run} --update" in result.output


def test_an_audit_judges_what_is_there_and_grades_nothing_again(run: Path) -> None:
    before = contents(run)
    result = CliRunner().invoke(cli, ["grade", str(run), "--round", "1", "--audit", "10"])
    assert "audit, numbers at random points: 0 of 10 differ" in result.output
    after = contents(run)
    assert after.pop("audit/round-0001.parquet")
    assert after == before


def test_its_export_holds_a_recipe_of_today(run: Path, tmp_path: Path) -> None:
    rft("export", run, "--to", tmp_path / "exported")
    assert load_recipe(str(tmp_path / "exported/run/recipe.yaml")) == load_stored(run)


def test_a_key_that_nothing_reads_is_dropped_with_the_value_of_0_1_alone(run: Path) -> None:
    path = run / "recipe.yaml"
    text = path.read_text()
    for dotted in WRITTEN_BY_0_1:
        assert f"{dotted.rpartition('.')[2]}: " in text, "the stored run shows every such key"
    path.write_text(text.replace("launch: null", "launch: ddp"))
    with pytest.raises(RFTError, match=r"unknown key .*launch"):
        open_run(run)


def test_a_recipe_has_these_keys_no_more_even_where_it_is_a_run_folders(run: Path) -> None:
    with pytest.raises(RFTError) as told:
        load_recipe(str(run / "recipe.yaml"))
    names = ", ".join(f'"{name}"' for name in sorted(WRITTEN_BY_0_1))
    assert str(told.value).endswith("which version 0.1 had and did nothing with; remove it")
    assert sorted(re.findall(r'"[^"]+"', str(told.value))) == names.split(", ")


def test_a_run_folder_names_no_module_of_ours(run: Path, tmp_path: Path) -> None:
    # Modules move; what a run folder says has to outlive that.
    ours = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package in ("rft", "pipelines", "filters")
        for path in (ROOT / package).rglob("*.py")
    ]
    dotted = re.compile("|".join(re.escape(name) for name in ours if "." in name))
    of_today = new_run(tmp_path / "new")
    answers = {("test", "test", "t0"): [RIGHT] * 4}
    prepare(of_today, answers=answers)
    evaluate(of_today, 0, answers)
    whole_round(of_today, 1, [("p0", RIGHT, "stop", 0.5), ("p1", RIGHT, "stop", 0.75)], answers)
    for folder in (run, of_today.path):
        for name, content in contents(folder).items():
            assert not dotted.search(content.decode(errors="replace")), name
