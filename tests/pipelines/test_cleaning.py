"""Cleaning gives disk back and changes nothing else: no table, no manifest, no needed work."""

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines import cleaning
from pipelines.cleaning import clean, plan
from pipelines.readers.report import text_report
from pipelines.readers.show import choose, text_list
from pipelines.readers.status import status
from rft.cli import cli
from rft.ending import spent_by
from rft.recipe.loading import load_recipe
from rft.runs import retention, tables
from rft.runs.folder import Run, open_run
from rft.runs.stages import MARK, key_of
from tests.command import rft_here
from tests.pipelines.readers.test_trail import ANSWERS, samples
from tests.small_run import do, evaluate, grade, new_run, prepare, sample, whole_round


def made(path: Path, *settings: str, rounds: int = 1) -> Run:
    run = new_run(path, f"rounds={rounds}", *settings)
    prepare(run, answers=ANSWERS)
    evaluate(run, 0, ANSWERS)
    for round in range(1, rounds + 1):
        whole_round(run, round, samples("abc"[round - 1]), ANSWERS)
    return run


def put(path: Path, size: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def contents(run: Run) -> dict[str, bytes]:
    """Read all files of a run, its events and what guards its lock aside."""
    return {
        str(path.relative_to(run.path)): path.read_bytes()
        for path in sorted(run.path.rglob("*"))
        if path.is_file() and not path.name.startswith((".lock", "events"))
    }


def kinds(run: Run, **options: bool) -> dict[str, set[str]]:
    """Name by kind what goes, and what stays."""
    told: dict[str, set[str]] = {}
    for items in plan(run, **options):
        for item in items:
            told.setdefault(item.what, set()).add(str(item.path.relative_to(run.path)))
    return told


def clean_all(run: Run, **options: bool) -> tuple[int, int]:
    return clean(run, plan(run, **options)[0])


def test_a_run_without_anything_to_spare_is_left_as_it_is(tmp_path):
    run = made(tmp_path / "run")
    before = contents(run)
    assert kinds(run) == {}
    told = CliRunner().invoke(cli, ["clean", str(run.path)])
    assert (told.exit_code, told.stdout) == (0, "nothing to remove\n")
    assert contents(run) == before


def test_what_was_put_away_goes_and_its_manifests_stay(tmp_path):
    run = made(tmp_path / "run")
    run.put_away([run.folder("rollouts", 1), run.manifest_path("sample", 1), run.model_folder(1)])
    sample(run, 1, samples("a"))
    manifest = run.path / "stale/0001/manifest/round-0001/sample.json"
    before = manifest.read_bytes()
    wanted = sum(f.stat().st_size for f in run.path.glob("stale/0001/[mr]o*/**/*") if f.is_file())
    files, freed = clean_all(run)
    assert (files, freed) == (3, wanted)
    assert [path for path in run.path.rglob("stale/**/*") if path.is_file()] == [manifest]
    assert manifest.read_bytes() == before
    # The next that is put away has a number of its own.
    run.put_away([run.folder("graded", 1)])
    assert (run.path / "stale/0002/graded").is_dir()


def test_what_is_put_away_without_a_manifest_leaves_no_folder(tmp_path):
    run = made(tmp_path / "run")
    put(run.path / "work/round-0001-sample/x")
    run.put_away([run.work("sample", 1)])
    clean_all(run)
    assert list((run.path / "stale").iterdir()) == []


def test_links_are_left_alone_and_so_is_what_lies_behind_them(tmp_path):
    run = made(tmp_path / "run")
    outside = put(tmp_path / "outside/precious")
    (run.path / "stale/0001").mkdir(parents=True)
    (run.path / "stale/0001/rollouts").symlink_to(outside.parent)
    inside = put(run.path / "stale/0001/graded/round-0001/part-00000.parquet").parent
    (inside / "link").symlink_to(outside.parent)
    (inside / "link.parquet").symlink_to(outside)
    (run.path / ".sly.1.tmp").symlink_to(outside)
    assert kinds(run)[cleaning.LINK] == {"stale/0001/rollouts"}
    assert clean_all(run) == (2, 100 + len(str(outside)))
    assert outside.read_bytes() == b"x" * 100
    assert (run.path / "stale/0001/rollouts").is_symlink()
    assert (run.path / ".sly.1.tmp").is_symlink()


@pytest.mark.parametrize("name", ["stale", "work", "models"])
def test_a_whole_folder_that_is_a_link_is_not_followed(tmp_path, name):
    run = made(tmp_path / "run", "keep.models=last", rounds=2)
    put(run.path / "stale/0001/rollouts/part")
    put(run.path / "work/round-0001-sample/part")
    shutil.move(run.path / name, tmp_path / "elsewhere")
    (run.path / name).symlink_to(tmp_path / "elsewhere")
    before = {path for path in (tmp_path / "elsewhere").rglob("*")}
    clean_all(run, unfinished=True)
    assert {path for path in (tmp_path / "elsewhere").rglob("*")} == before


def test_a_link_that_takes_the_place_of_what_was_listed_is_not_followed(tmp_path):
    run = made(tmp_path / "run")
    outside = put(tmp_path / "outside/precious")
    folder = put(run.path / "stale/0001/rollouts/part").parent
    goes, _ = plan(run)
    shutil.rmtree(folder)
    folder.symlink_to(outside.parent)
    assert clean(run, goes) == (0, 0)
    assert outside.exists()


def test_work_of_a_stage_that_is_done_goes(tmp_path):
    run = made(tmp_path / "run")
    put(run.path / "work/round-0001-sample/array-0-of-2/00000.parquet")
    put(run.path / "work/round-0001-sft/checkpoints/checkpoint-3/model.safetensors")
    put(run.path / "work/round-0001-evaluate/next/pooled-0.parquet")
    put(run.path / "work/digests/abc")
    put(run.path / "work/agreed")
    put(run.path / "work/round-0001-notes/mine")
    assert kinds(run) == {
        cleaning.DONE: {
            "work/round-0001-sample",
            "work/round-0001-sft",
            "work/round-0001-evaluate",
        }
    }
    assert clean_all(run) == (3, 300)
    assert sorted(path.name for path in (run.path / "work").iterdir()) == [
        "agreed",
        "digests",
        "round-0001-notes",
    ]


def spend(work: Path, worker: str, tokens: int) -> list[Path]:
    """Put a shard with its receipt into a work folder."""
    receipt = {"keys": ["a"], "tokens": tokens, "seconds": 1.0, "gpus": 1}
    path = work / worker / "00000.json"
    put(path.with_suffix(".parquet"))
    path.write_text(json.dumps(receipt))
    return [path]


def test_what_was_spent_is_known_afterwards_whatever_became_of_it(tmp_path):
    run = made(tmp_path / "run", rounds=2)
    run.put_away([run.folder("rollouts", 1), run.manifest_path("sample", 1)])
    sample(run, 1, samples("a"))
    spend(run.work("sample", 2), "worker-0", 7)
    run.put_away([run.work("sample", 2)])
    # Of a stage that is done, of one that is not, and of an online training before.
    spend(run.work("sample", 2), "array-1-of-2", 11)
    spend(run.work("sample", 3), "worker-0", 13)
    put(run.work("grpo", 1) / "checkpoints/checkpoint-1/weights")
    (run.work("grpo", 1) / "dynamics.jsonl").write_text('{"tokens": 17}\n')
    # Killed: nothing but its work tells how long it was at it.
    run.event("start", stage="sample", round=3, gpus=2, time="2000-01-01T00:00:00+00:00")
    os.utime(run.work("sample", 3) / "worker-0/00000.json", (946688400, 946688400))
    for path in run.path.glob("work/**/*"):
        os.utime(path, (946688400, 946688400))  # an hour later
    before = spent_by(run)
    assert before.hours >= 1
    assert before.gpu_hours >= 2
    clean_all(run, unfinished=True)
    assert not list(run.path.glob("work/round-*"))
    assert not list(run.path.rglob("stale/**/*.parquet"))
    assert not list(run.path.rglob("stale/**/checkpoints"))
    assert spent_by(run) == before
    assert kinds(run, unfinished=True) == {}


def test_unfinished_sampling_work_stays_under_any_mark_since_rollouts_are_taken_over(tmp_path):
    run = new_run(tmp_path / "run")
    prepare(run, answers=ANSWERS)
    put(run.path / "work/round-0001-sample" / MARK)
    assert kinds(run) == {cleaning.UNFINISHED: {"work/round-0001-sample"}}
    assert clean_all(run) == (0, 0)
    assert kinds(run, unfinished=True) == {cleaning.UNFINISHED: {"work/round-0001-sample"}}
    assert clean_all(run, unfinished=True) == (1, 100)
    assert not (run.path / "work/round-0001-sample").exists()


@pytest.mark.parametrize("same", [True, False])
def test_training_work_stays_if_it_is_for_the_training_that_comes_next(tmp_path, same):
    run = new_run(tmp_path / "run")
    prepare(run, answers=ANSWERS)
    sample(run, 1, samples("a"))
    grade(run, 1, samples("a"))
    do(run, "filter", 1)
    do(run, "select", 1)
    from pipelines.sft import STAGE

    key = key_of("sft", STAGE.settings(run, 1), STAGE.inputs(run, 1))
    folder = put(run.path / "work/round-0001-sft/checkpoints/checkpoint-2/weights").parents[2]
    (folder / MARK).write_text(key if same else "another key")
    wanted = cleaning.UNFINISHED if same else cleaning.OTHER
    assert kinds(run) == {wanted: {"work/round-0001-sft"}}
    # Before what it is trained on is there again, nobody can tell.
    run.manifest_path("select", 1).unlink()
    assert kinds(run) == {cleaning.UNFINISHED: {"work/round-0001-sft"}}


def test_a_stage_whose_output_is_broken_is_not_done(tmp_path):
    run = made(tmp_path / "run")
    put(run.path / "work/round-0001-sample/worker-0/00000.parquet")
    shutil.rmtree(run.folder("rollouts", 1))
    assert kinds(run) == {cleaning.UNFINISHED: {"work/round-0001-sample"}}


def test_what_a_killed_process_left_goes_and_what_a_live_one_writes_stays(tmp_path):
    run = made(tmp_path / "run")
    dead = 2**22 + 1  # above any pid of Linux
    put(run.path / f"graded/round-0001/.part-00000.parquet.{dead}.tmp")
    put(run.path / "models/.model-0001.tmp/model.safetensors")
    put(run.path / "models/.model-0007.removed/model.safetensors")
    put(run.path / f".recipe.yaml.{os.getpid()}.tmp")
    put(run.path / f"work/digests/.abc.{dead}.tmp")
    put(run.path / f"work/round-0002-sample/array-0-of-2/.0.parquet.{dead}.tmp")
    put(run.path / f"work/round-0002-sample/worker-0/.0.parquet.{dead}.tmp")
    assert kinds(run)[cleaning.LEFT] == {
        f"graded/round-0001/.part-00000.parquet.{dead}.tmp",
        "models/.model-0001.tmp",
        "models/.model-0007.removed",
        f"work/round-0002-sample/worker-0/.0.parquet.{dead}.tmp",
    }
    assert clean_all(run) == (4, 400)
    assert (run.path / f".recipe.yaml.{os.getpid()}.tmp").exists()


@pytest.mark.parametrize(
    ("keep", "gone"), [("all", []), ("adopted", [1, 2]), ("last", [1, 2]), ("undecided", [1])]
)
def test_models_that_the_recipe_does_not_keep_go_with_a_note(tmp_path, keep, gone):
    gate = ["prepare.dev={source: bundled:arithmetic, split: dev}", "gate={}"]
    setting = "last" if keep == "undecided" else keep
    run = made(tmp_path / "run", *gate, f"keep.models={setting}", rounds=3)
    if keep == "undecided":
        run.manifest_path("gate", 3).unlink()
    before = [number for number in (1, 2, 3) if run.model_folder(number).exists()]
    assert before == [1, 2, 3]
    clean_all(run)
    assert [number for number in before if not run.model_folder(number).exists()] == gone
    for number in gone:
        manifest = run.manifest("sft", number)
        assert manifest["removed"] == f"keep.models: {setting}"
        assert run.outputs_intact(manifest)
    assert kinds(run) == {}


@pytest.mark.parametrize("keep", [True, False])
def test_a_checkpoint_beside_a_model_stays_only_where_it_is_asked_for(tmp_path, keep):
    run = made(tmp_path / "run", f"keep.optimizer={str(keep).lower()}")
    put(run.model_folder(1) / "checkpoint/optimizer.pt")
    wanted = {} if keep else {cleaning.CHECKPOINTS: {"models/model-0001/checkpoint"}}
    assert kinds(run) == wanted
    clean_all(run)
    assert run.outputs_intact(run.manifest("sft", 1))


def test_a_kill_between_renaming_and_removing_leaves_what_the_next_call_removes(
    tmp_path, monkeypatch
):
    run = made(tmp_path / "run", "keep.models=last", rounds=2)
    put(run.path / "stale/0001/rollouts/part")
    put(run.path / "work/round-0001-sample/part")

    def killed(_path: Path) -> None:
        raise KeyboardInterrupt

    for _ in range(3):
        monkeypatch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            clean_all(run)
        monkeypatch.undo()
        # Whatever has its own name is whole.
        goes, _ = plan(run)
        for item in goes[:1]:
            clean(run, [item])
    assert run.outputs_intact(run.manifest("sft", 1))
    clean_all(run)
    assert kinds(run) == {}
    assert not list(run.path.rglob(".*removed"))
    assert not (run.path / "stale/0001").exists()
    assert not run.model_folder(1).exists()


def test_a_model_that_was_noted_as_removed_and_was_not_goes_with_the_next_call(
    tmp_path, monkeypatch
):
    run = made(tmp_path / "run", "keep.models=last", rounds=2)
    monkeypatch.setattr(Path, "rename", lambda *_: exec("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        retention.remove(run, 1)
    monkeypatch.undo()
    assert run.model_folder(1).exists()
    clean_all(run)
    assert not run.model_folder(1).exists()


def test_a_locked_run_is_refused_as_busy(tmp_path):
    run = made(tmp_path / "run")
    put(run.path / "stale/0001/rollouts/part")
    other = {"host": "elsewhere", "pid": "1", "started": "", "user": "u", "since": "", "token": "t"}
    (run.path / "lock").write_text(json.dumps(other))
    told = CliRunner().invoke(cli, ["clean", str(run.path), "--yes"])
    assert told.exit_code == 75
    assert (run.path / "stale/0001/rollouts/part").exists()


def test_without_a_terminal_it_lists_and_removes_nothing_unless_told_to(tmp_path):
    run = made(tmp_path / "run")
    put(run.path / "stale/0001/rollouts/part", 12_345)
    put(run.path / "work/round-0002-sample/part")
    told = CliRunner().invoke(cli, ["clean", str(run.path)])
    assert told.exit_code == 2
    assert told.stderr == f"Error: {run.path}: nothing was removed; --yes removes what is listed\n"
    assert told.stdout.splitlines() == [
        "what                                                 files     size",
        "put away in stale/ (what says what was spent stays)      1  12.3 kB",
        "in all                                                   1  12.3 kB",
        "kept, unfinished work that the next run goes on from; --unfinished removes it too:",
        "  work/round-0002-sample (1 file, 100 bytes)",
    ]
    assert (run.path / "stale/0001/rollouts/part").exists()
    done = CliRunner().invoke(cli, ["clean", str(run.path), "--yes"])
    assert (done.exit_code, done.stderr) == (0, "removed 1 file: 12.3 kB freed\n")
    event = json.loads((run.path / "events.jsonl").read_text().splitlines()[-1])
    assert {name: event[name] for name in ("event", "files", "bytes")} == {
        "event": "cleaned",
        "files": 1,
        "bytes": 12_345,
    }


@pytest.mark.parametrize(("answer", "gone"), [("y\n", True), ("n\n", False), ("", False)])
def test_on_a_terminal_it_asks(tmp_path, monkeypatch, answer, gone):
    run = made(tmp_path / "run")
    put(run.path / "stale/0001/rollouts/part")
    runner = CliRunner()
    monkeypatch.setattr("rft.cli.upkeep.on_terminal", lambda: True)
    told = runner.invoke(cli, ["clean", str(run.path)], input=answer)
    assert told.exit_code == (0 if gone else 2), told.output
    assert (run.path / "stale/0001/rollouts/part").exists() is not gone


def test_a_cleaned_run_is_done_and_reads_as_before(finished, tmp_path):
    run = open_run(Path(shutil.copytree(finished, tmp_path / "run")))
    put(run.path / "stale/0001/rollouts/part")
    put(run.path / "work/round-0001-sft/checkpoints/checkpoint-1/weights")
    before = text_report(run), text_list(run, choose(run), 99), contents(run)
    rft_here("clean", run.path, "--yes")
    assert (text_report(run), text_list(run, choose(run), 99)) == before[:2]
    spare = ("stale/", "work/round")
    assert contents(run) == {k: v for k, v in before[2].items() if not k.startswith(spare)}
    assert "nothing to do" in rft_here("run", run.path)
    rft_here("export", run.path, "--to", tmp_path / "exported")


def test_sampling_goes_on_from_its_work_after_cleaning(finished, tmp_path):
    """The rollouts that lie in the work folder are not sampled again."""
    run = open_run(Path(shutil.copytree(finished, tmp_path / "run")))
    work = run.work("sample", 1)
    work.mkdir(parents=True)
    part = run.folder("rollouts", 1) / "part-00000.parquet"
    pool = part.rename(work / f"pooled-{tables.file_digest(part)}.parquet")
    shutil.rmtree(run.folder("rollouts", 1))
    before = pool.read_bytes()
    run.manifest_path("sample", 1).unlink()
    rft_here("clean", run.path, "--yes")
    rft_here("sample", run.path, "--round", "1")
    made_again = run.manifest("sample", 1)
    assert made_again["tokens_sampled_now"] == 0
    assert (run.folder("rollouts", 1) / "part-00000.parquet").read_bytes() == before


def test_to_clean_up_after_a_failure_is_no_reason_to_try_again(tmp_path):
    run = new_run(tmp_path / "run")
    run.event("failed", stage="prepare", round=0, code=2)
    put(run.path / "stale/0001/rollouts/part")
    clean_all(run)
    assert status(run)["exit_hint"] == 2


def test_a_checkpoint_of_no_model_is_left_alone(tmp_path):
    (tmp_path / "models" / "model-x" / "checkpoint").mkdir(parents=True)
    run = Run(tmp_path, load_recipe("smoke", ["keep.optimizer=false"]))
    assert cleaning.plan(run) == ([], [])
