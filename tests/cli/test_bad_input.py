"""Whatever a person gets wrong ends in one clear line and exit 2, with nothing half-written."""

import json
import os
import resource
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from rft.bundled import bundled
from rft.cli import cli
from tests.command import command, invoke

GOOD = [{"question": f"What is {n} + {n}?", "gold": str(2 * n)} for n in range(20)]


def rft(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli, [str(word) for word in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def refused(*arguments: object, says: str) -> None:
    code, output = rft(*arguments)
    assert code == 2, output
    line = output.strip().splitlines()[-1]
    assert says in line, output
    assert "Traceback" not in output


def jsonl(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def start(tmp_path: Path, *settings: str, recipe: str = "smoke") -> list[str]:
    words = [word for setting in settings for word in ("--set", setting)]
    return ["run", recipe, "--out", str(tmp_path / "run"), *words]


def nothing_in(folder: Path, *tables: str) -> bool:
    found = [path for table in tables for path in (folder / table).rglob("*.parquet")]
    return not found and not list(folder.rglob("*.tmp")) and not (folder / "lock").exists()


# Recipes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("sampel.n=4", 'did you mean "sample.n"?'),
        ("select.budget=0", "select.budget"),
        ("evaluate.k=[1, 64]", "Pass@k needs at least k samples"),
        ("sample.temperature=0", "temperature"),
        ("select.noise=1.5", "select.noise"),
        ("filter.no_bx={}", 'did you mean "no_box"?'),
        ("filter.redundant={treshold: 0.3}", 'unknown parameter "treshold"'),
        ("filter.redundant={threshold: high}", "is not of type float"),
        ("filter.too_long={}", "max_tokens is missing"),
        pytest.param(
            "engine.kind=vllm",
            "pip install 'rft-rounds[vllm]'",
            marks=pytest.mark.skipif(bool(find_spec("vllm")), reason="vLLM is here"),
        ),
        ("model.path=bundled:huge", "is not bundled"),
        ("prepare.train={source: nowhere.jsonl}", "nowhere.jsonl: no such file"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_before_anything_is_written(tmp_path, setting, says):
    refused(*start(tmp_path, setting), says=says)
    assert not (tmp_path / "run").exists()


def test_a_missing_recipe_and_a_recipe_that_is_no_yaml_are_refused(tmp_path):
    refused("run", tmp_path / "mine.yaml", says="mine.yaml")
    (tmp_path / "bad.yaml").write_text("seed: [1\n")
    refused("run", tmp_path / "bad.yaml", says="bad.yaml")


# Problems -----------------------------------------------------------------------------------------


def with_train(path: Path) -> str:
    return f"prepare.train={{source: {path}}}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"q": "1 + 1?", "gold": "2"}], "no column 'question'"),
        ([{"question": "1 + 1?", "gold": None}], "no usable problem left"),
        ([{"question": " ", "gold": "2"}], "1: empty question"),
        ([{"question": "x" * 4000, "gold": "2"}], "1: prompt too long"),
        ([{"question": "Which?", "gold": "\\frac{"}], "1: gold cannot be read"),
    ],
)
def test_problems_none_of_which_can_be_used_are_refused(tmp_path, rows, says):
    source = jsonl(tmp_path / "train.jsonl", rows)
    refused("prepare", *start(tmp_path, with_train(source))[1:], says=says)
    assert nothing_in(tmp_path / "run", "problems")


@pytest.mark.slow
def test_what_the_process_of_a_stage_refuses_ends_the_run_with_its_line(tmp_path):
    source = jsonl(tmp_path / "train.jsonl", [{"question": " ", "gold": "2"}])
    result = cli_process(*start(tmp_path, with_train(source)))
    assert result.returncode == 2, result.stderr
    assert "1: empty question" in result.stderr
    assert "Traceback" not in result.stderr
    assert nothing_in(tmp_path / "run", "problems")


def cli_process(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    words = command(*arguments)
    return subprocess.run(words, capture_output=True, text=True, check=False, **options)


@pytest.mark.slow
def test_single_unusable_problems_are_set_aside_and_counted(tmp_path):
    rows = [*GOOD, {"question": "x" * 4000, "gold": "2"}, {"question": "", "gold": "1"}, GOOD[0]]
    source = jsonl(tmp_path / "train.jsonl", rows)
    words = start(tmp_path, with_train(source), "sample.problems=4")
    code, output = rft("prepare", *words[1:])
    assert code == 0, output
    manifest = json.loads((tmp_path / "run/manifest/round-0000/prepare.json").read_text())
    assert manifest["counts"]["problems"]["train"] == 20
    assert manifest["counts"]["set_aside"] == {
        "empty question": 1,
        "prompt too long": 1,
        "repeated in train": 1,
    }


@pytest.mark.parametrize("stage", ["grade", "filter", "select"])
def test_a_missing_an_empty_and_a_wrong_input_file_are_refused(tmp_path, stage):
    out = tmp_path / "out.parquet"
    missing, empty = tmp_path / "missing.jsonl", tmp_path / "empty.jsonl"
    empty.write_text("")
    garbage = tmp_path / "garbage.jsonl"
    garbage.write_text('{"completion": "x"}\nnot json\n')
    wrong = jsonl(tmp_path / "wrong.jsonl", [{"a": 1}])
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(b"PAR1 and then nothing")
    for source, says in [
        (missing, "no such file"),
        (empty, "the file is empty"),
        (garbage, "line 2 is not a JSON object"),
        (wrong, "no column"),
        (torn, "not a readable Parquet file"),
    ]:
        refused(stage, "--input", source, "--output", out, says=says)
        assert not out.exists()


# Runs ---------------------------------------------------------------------------------------------


@pytest.fixture
def run(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def snapshot(run: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and path.name != ".lock.guard"
    }


@pytest.mark.slow
def test_the_folder_of_another_recipe_is_refused_untouched(run):
    before = snapshot(run)
    refused("run", "smoke", "--out", run, "--set", "sample.temperature=0.7", says="--update")
    assert snapshot(run) == before
    refused("run", "quickstart", "--out", run, says="--update")
    assert snapshot(run) == before


@pytest.mark.slow
def test_a_folder_that_is_not_a_run_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    refused("run", "smoke", "--out", tmp_path, says="not a run folder, and not empty")
    refused("grade", tmp_path, says="not a run folder")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_a_corrupt_shard_is_named_and_moving_it_away_mends_the_run(run):
    shard = run / "graded" / "round-0001" / "part-00000.parquet"
    content = bytearray(shard.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 40] = b"\xff" * 40
    shard.write_bytes(content)
    (run / "manifest/round-0001/filter.json").unlink()
    refused("filter", run, "--round", "1", says="graded/round-0001: damaged")
    shard.unlink()
    code, output = rft("run", run)
    assert code == 0, output
    assert rft("run", run)[0] == 0


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_going_on_works(tmp_path):
    out = tmp_path / "run"
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))  # noqa: E731
    result = cli_process("run", "smoke", "--out", out, preexec_fn=limit)
    assert result.returncode == 2, result.stderr
    assert "the disk is full or a size limit is reached" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not [path for path in out.rglob("*") if path.name.endswith(".tmp")]
    result = cli_process("run", "smoke", "--out", out)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_no_permission_to_write_is_one_line(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    words = command("run", "smoke", "--out", closed / "run")
    if os.geteuid() == 0:  # root may write anywhere, unless it gives that up
        words = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override", *words]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 2, result.stderr
    assert "no permission" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(closed.iterdir()) == []


def test_a_place_where_no_folder_can_be_made_is_one_line():
    refused("run", "smoke", "--out", "/proc/nothing", says="--out /proc/nothing: cannot be made")


# Models -------------------------------------------------------------------------------------------


def tiny_copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundled("data") / "tiny", tmp_path / "model"))


def test_a_model_folder_without_a_tokenizer_is_refused(tmp_path):
    model = tiny_copy(tmp_path)
    for path in model.glob("tokenizer*"):
        path.unlink()
    refused(*start(tmp_path, f"model.path={model}"), says="it has no tokenizer")


def test_a_missing_model_folder_is_refused(tmp_path):
    refused(*start(tmp_path, f"model.path={tmp_path}/none"), says="is not a folder")


@pytest.mark.slow
def test_a_model_that_never_stops_nor_boxes_is_refused_by_the_preflight(tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    model = tiny_copy(tmp_path)
    weights = load_file(model / "model.safetensors")
    # All weights to zero: every token is as likely as any other.
    save_file(
        {k: torch.zeros_like(v) for k, v in weights.items()},
        model / "model.safetensors",
        metadata={"format": "pt"},
    )
    result = cli_process(*start(tmp_path, f"model.path={model}", "sample.max_tokens=24"))
    assert result.returncode == 2, result.stderr
    assert "preflight: of 8 probe rollouts only" in result.stderr
    assert nothing_in(tmp_path / "run", "rollouts", "evaluations")


@pytest.mark.usefixtures("stages_here")
@pytest.mark.slow
def test_a_round_without_any_correct_sample_is_refused(tmp_path):
    rows = [{"question": q["question"], "gold": "123456789"} for q in GOOD]
    source = jsonl(tmp_path / "train.jsonl", rows)
    result = invoke(*start(tmp_path, with_train(source)))
    assert result.exit_code == 2, result.stderr
    assert "select: no correct sample to train on" in result.stderr
    assert nothing_in(tmp_path / "run", "selected")
