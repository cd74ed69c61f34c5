"""Whose recipe a run folder has before it is acted on, how a run begins, and how a plan reads."""

import json
import os
import shutil
from pathlib import Path

import pytest

from pipelines import run as loop
from rft.cli import opening
from rft.cli.opening import planned, refuse_others
from rft.errors import RFTError
from rft.recipe.loading import dump, load_recipe
from rft.runs.folder import Run, open_run
from rft.runs.lock import TOKEN
from tests.command import invoke


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """Give a run folder whose recipe somebody else wrote, with a command in it."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    recipe = load_recipe("smoke", [f"notify=touch {tmp_path}/pwned"])
    (folder / "recipe.yaml").write_text(dump(recipe))
    belongs(folder / "recipe.yaml", 4711, monkeypatch)
    return folder


def belongs(path, user, monkeypatch):
    """Have a file or folder belong to a user, which only root could."""
    for name, real in (("stat", Path.stat), ("lstat", Path.lstat)):

        def look(self, real=real, **how):
            told = real(self, **how)
            return os.stat_result([*told[:4], user, *told[5:]]) if self == path else told

        monkeypatch.setattr(Path, name, look)


ACTING = [
    ["run"],
    ["grpo"],
    ["prepare"],
    ["sample"],
    ["sample", "--worker", "0/2"],
    ["grade"],
    ["sft"],
    ["evaluate"],
    ["gate"],
    ["schedule", "--cron", "0 2 * * *", "--list"],
    ["clean", "--yes"],
    ["unlock"],
    ["track"],
    ["preflight"],
    ["worker", "sample", "--round", "1", "--slot", "0", "--of", "2"],
]


@pytest.mark.parametrize("words", ACTING)
def test_nothing_acts_on_a_recipe_that_somebody_else_wrote(foreign, words):
    done = invoke(words[0], foreign, *words[1:])
    assert done.exit_code == 2, done.output
    assert "its recipe.yaml belongs to uid 4711, not you, and may run commands" in done.stderr
    assert f"`cp -r {foreign} COPY`, read recipe.yaml in the copy" in done.stderr
    assert [path.name for path in foreign.iterdir()] == ["recipe.yaml"]
    assert not (foreign.parent / "pwned").exists()


@pytest.mark.parametrize("words", ACTING)
def test_each_process_of_a_run_looks_for_itself(foreign, words, monkeypatch):
    monkeypatch.setenv(TOKEN, "ours")
    assert invoke(words[0], foreign, *words[1:]).exit_code == 2
    assert [path.name for path in foreign.iterdir()] == ["recipe.yaml"]


@pytest.mark.parametrize("beneath", ["", "recipe.yaml"])
def test_a_recipe_of_mine_is_not_run_where_somebody_could_swap_it(beneath, tmp_path, monkeypatch):
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(dump(load_recipe("smoke")))
    belongs(folder / beneath, 4711, monkeypatch)
    for words in (["run", "smoke", "--out", folder], ["prepare", "smoke", "--out", folder]):
        done = invoke(*words)
        assert done.exit_code == 2, done.output
        assert "belongs to uid 4711, not you" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["recipe.yaml"]


def test_a_comparison_in_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "theirs"
    folder.mkdir()
    belongs(folder, 4711, monkeypatch)
    done = invoke("compare", "table3-mini", "--out", folder)
    assert done.exit_code == 2, done.output
    assert f"{folder}: it belongs to uid 4711, not you" in done.stderr
    assert not any(folder.iterdir())


def test_it_is_read_all_the_same(foreign):
    assert invoke("status", foreign).exit_code == 0


@pytest.mark.parametrize("name", ["recipe.yaml", "compare.yaml"])
def test_a_recipe_that_is_a_link_is_not_acted_on(name, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).symlink_to(tmp_path / "elsewhere.yaml")
    (tmp_path / "elsewhere.yaml").write_text(dump(load_recipe("smoke")))
    done = invoke("compare" if name == "compare.yaml" else "run", tmp_path / "mine")
    assert done.exit_code == 2, done.output
    assert f"{tmp_path}/mine/{name}: a link" in done.stderr


@pytest.mark.parametrize("name", ["recipe.yaml", "compare.yaml"])
def test_a_recipe_that_a_run_goes_by_extends_no_other(name, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("extends: ./theirs.yaml\n")
    (tmp_path / "mine" / "theirs.yaml").write_text(f"notify: touch {tmp_path}/pwned\n")
    done = invoke("compare" if name == "compare.yaml" else "run", tmp_path / "mine")
    assert done.exit_code == 2, done.output
    assert f"{tmp_path}/mine/{name}: it extends another file" in done.stderr


def test_what_is_ours_or_the_system_s_is_trusted(tmp_path, monkeypatch):
    (tmp_path / "recipe.yaml").write_text("seed: 0\n")
    refuse_others(tmp_path)
    owner = (tmp_path / "recipe.yaml").stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner == 0:  # the system's
        refuse_others(tmp_path)
    else:
        with pytest.raises(RFTError, match="not you"):
            refuse_others(tmp_path)


def test_rounds_to_which_the_same_happens_are_one_entry(tmp_path):
    run = Run(tmp_path / "run", load_recipe("smoke", ["rounds=9999"]))
    text = "\n".join(planned(run, None, loop.plan(run, 9999)))
    assert "  rounds 1 to 9999:\n" in text
    assert len(text.splitlines()) < 20
    one = Run(tmp_path / "run", load_recipe("smoke"))
    assert "  round 1:" in planned(one, None, loop.plan(one, 1))


def test_a_refused_run_leaves_none_of_the_folders_that_it_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--set", "prepare.train={source: nowhere.jsonl}"]
    assert invoke("run", "smoke", "--out", "a/b/c", *words).exit_code == 2
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    assert invoke("run", "smoke", "--out", "a/b/c", *words).exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    shutil.rmtree(tmp_path / "a")


def test_a_run_that_was_killed_before_it_had_a_recipe_begins(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / ".lock.here.abc").write_text("")
    (out / "lock").write_text('{"host": "elsewhere", "pid"')
    (out / ".recipe.yaml.4194305.tmp").write_text("seed: 0")
    event = {"time": "2026-01-01T00:00:00+00:00", "event": "recipe", "new": True, "id": "a"}
    (out / "events.jsonl").write_text(json.dumps(event) + "\n" + '{"time": "20')
    assert "not a lock file of ours" in invoke("prepare", "smoke", "--out", out).stderr
    assert invoke("unlock", out).exit_code == 0
    done = invoke("prepare", "smoke", "--out", out)
    assert done.exit_code == 0, done.output
    assert next(event["id"] for event in open_run(out).events() if "id" in event) == "a"


def test_who_looked_before_another_began_deletes_nothing_of_it(tmp_path, monkeypatch, finished):
    out = tmp_path / "run"

    def slow(path: Path) -> None:
        """Let another have done the whole run between the first look and the lock."""
        shutil.copytree(finished, path)

    monkeypatch.setattr(opening, "make_folder", slow)
    done = invoke("run", "smoke", "--out", out, "--set", f"model.path={tmp_path / 'absent'}")
    assert done.exit_code == 2, done.output
    assert "absent" in done.stderr
    assert {path.name for path in finished.iterdir()} == {path.name for path in out.iterdir()}


def test_what_cannot_begin_leaves_no_folder(tmp_path):
    out = tmp_path / "runs" / "mine"
    done = invoke("run", "smoke", "--out", out, "--set", f"model.path={tmp_path / 'absent'}")
    assert done.exit_code == 2, done.output
    assert list(tmp_path.iterdir()) == []
