"""Whose recipe a run folder has, before it is acted on; and how a plan of many rounds reads."""

import os
import shutil

import pytest

from pipelines import run as loop
from rft.cli.opening import planned, refuse_others
from rft.errors import RFTError
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run
from rft.runs.lock import TOKEN
from tests.command import invoke


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """Give a run folder whose recipe somebody else wrote, with a command in it."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(f"extends: smoke\nnotify: touch {tmp_path}/pwned\n")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 4242)
    real = type(folder).stat

    def stat(self, **how):
        told = real(self, **how)
        return os.stat_result([*told[:4], 4711, *told[5:]]) if self.name == "recipe.yaml" else told

    monkeypatch.setattr(type(folder), "stat", stat)
    return folder


@pytest.mark.parametrize(
    "words",
    [
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
    ],
)
def test_nothing_acts_on_a_recipe_that_somebody_else_wrote(foreign, words):
    done = invoke(words[0], foreign, *words[1:])
    assert done.exit_code == 2, done.output
    assert "its recipe.yaml is of uid 4711, not yours, and may run commands" in done.stderr
    assert f"--out {foreign}" in done.stderr
    assert [path.name for path in foreign.iterdir()] == ["recipe.yaml"]
    assert not (foreign.parent / "pwned").exists()


def test_it_is_read_all_the_same_and_processes_of_ours_go_on(foreign, monkeypatch):
    assert invoke("status", foreign).exit_code == 0
    monkeypatch.setenv(TOKEN, "ours")
    refuse_others(foreign)


def test_what_is_ours_or_the_system_s_is_trusted(tmp_path, monkeypatch):
    (tmp_path / "recipe.yaml").write_text("extends: smoke\n")
    refuse_others(tmp_path)
    owner = (tmp_path / "recipe.yaml").stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner == 0:  # the system's
        refuse_others(tmp_path)
    else:
        with pytest.raises(RFTError, match="not yours"):
            refuse_others(tmp_path)


def test_rounds_to_which_the_same_happens_are_one_entry(tmp_path):
    run = Run(tmp_path / "run", load_recipe("smoke", ["rounds=9999"]))
    text = planned(run, None, loop.plan(run, 9999))
    assert "  rounds 1 to 9999:\n" in text
    assert len(text.splitlines()) < 20
    one = Run(tmp_path / "run", load_recipe("smoke"))
    assert "  round 1:\n" in planned(one, None, loop.plan(one, 1))


def test_a_refused_run_leaves_none_of_the_folders_that_it_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--set", "prepare.train={source: nowhere.jsonl}"]
    assert invoke("run", "smoke", "--out", "a/b/c", *words).exit_code == 2
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    assert invoke("run", "smoke", "--out", "a/b/c", *words).exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    shutil.rmtree(tmp_path / "a")
