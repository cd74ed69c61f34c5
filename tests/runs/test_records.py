"""Records and events of a run folder that may be anyone's: read within bounds, or one line."""

import os

import pytest

from rft.errors import RFTError
from rft.recipe.loading import load_recipe
from rft.runs import folder, records
from rft.runs.folder import Run
from rft.runs.records import Manifest, read_record


def test_a_record_that_is_a_pipe_or_a_link_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link.json").symlink_to("/dev/zero")
    for name in ("pipe.json", "link.json"):
        with pytest.raises(RFTError, match=rf"{name}: not a manifest \(no file\)"):
            read_record(tmp_path / name, Manifest, "a manifest", "move it away")


def test_a_record_as_large_as_none_of_ours_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "LARGEST", 1 << 20)
    (tmp_path / "large.json").write_text(" " * (2 << 20))
    with pytest.raises(RFTError, match=r"not a manifest.*more than 1 MiB"):
        read_record(tmp_path / "large.json", Manifest, "a manifest", "move it away")


def test_an_event_log_that_is_a_pipe_or_too_large_is_one_line(tmp_path, monkeypatch):
    run = Run(tmp_path, load_recipe("smoke"))
    os.mkfifo(tmp_path / "events.jsonl")
    with pytest.raises(RFTError, match="a pipe where a file of ours belongs"):
        run.events()
    (tmp_path / "events.jsonl").unlink()
    monkeypatch.setattr(folder, "LARGEST_LOG", 1 << 20)
    (tmp_path / "events.jsonl").write_text("\n" * (2 << 20))
    with pytest.raises(RFTError, match="more than 1 MiB"):
        run.events()
