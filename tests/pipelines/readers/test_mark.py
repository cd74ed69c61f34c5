"""The mark of an export: it stands for the run wherever it is, and for content as the Hub does.

Run: python -m pytest tests/pipelines/readers/test_mark.py
"""

import json
import shutil
import subprocess

import pytest

from pipelines.readers.mark import identity, ids_of, mark_text, read_mark
from rft.cli.opening import agree
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    return Run(tmp_path / "run", load_recipe("smoke"))


def test_a_run_is_known_by_its_first_event_wherever_it_is(run, tmp_path):
    run.event("recipe", new=True, id="a")
    first = identity(run)
    run.event("start", stage="prepare")
    assert identity(run) == first
    shutil.move(run.path, tmp_path / "moved")
    assert identity(Run(tmp_path / "moved", run.recipe)) == first
    run.path.mkdir()
    run.event("recipe", new=True, id="b")
    assert identity(run) != first


def test_a_run_that_is_begun_gets_an_id_of_its_own(run, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        agree(Run(tmp_path / name, run.recipe), None, update=False, plan_of=lambda *_: [])
    ids = [
        json.loads((tmp_path / name / "events.jsonl").read_text().splitlines()[0])["id"]
        for name in ("a", "b")
    ]
    assert len(set(ids)) == 2


def test_a_run_without_events_is_known_by_its_place_which_it_does_not_tell(run, tmp_path):
    assert identity(run) == identity(run) != identity(Run(tmp_path / "other", run.recipe))
    assert len(identity(run)) == 16
    assert str(tmp_path) not in mark_text(run, {})


def test_content_is_named_as_git_and_the_hub_name_it(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"some\ncontent\n")
    by_git = subprocess.run(["git", "hash-object", path], capture_output=True, check=True)
    by_sum = subprocess.run(["sha256sum", path], capture_output=True, check=True)
    assert ids_of(path) == [by_sum.stdout.split()[0].decode(), by_git.stdout.strip().decode()]


def test_a_mark_reads_as_it_was_written_and_others_are_none(run):
    files = {"README.md": ["a", "b"], "weights": ["c"]}
    assert read_mark(mark_text(run, files).encode()) == (identity(run), files)
    for other in (b"", b"[]", b"{}", b"\xff", json.dumps({"run": 1, "files": []}).encode()):
        with pytest.raises(ValueError):  # noqa: PT011  # the caller says what it means
            read_mark(other)
