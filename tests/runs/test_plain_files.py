"""A file of ours is opened as such or not at all: no link is followed, no pipe waited for."""

import os

import pytest

from rft.errors import RFTError
from rft.runs import plain_files
from rft.runs.atomic import atomic_text
from rft.runs.plain_files import open_to_append, open_to_read, read_small

OPENERS = (open_to_append, open_to_read)


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("kind", ["link", "dangling link", "device", "pipe", "folder"])
def test_what_is_no_file_is_one_line(opener, kind, tmp_path):
    place, precious = tmp_path / "events.jsonl", tmp_path / "precious"
    precious.write_text("all that I have")
    match kind:
        case "link":
            place.symlink_to(precious)
        case "dangling link":
            place.symlink_to(tmp_path / "elsewhere")
        case "device":
            place = type(place)(os.devnull)
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
    said = f"{place}: a {kind.split()[-1]} where a file of ours belongs; move it away and run again"
    with pytest.raises(RFTError, match=said):
        opener(place)
    assert precious.read_text() == "all that I have"
    assert not (tmp_path / "elsewhere").exists()


def test_what_a_file_holds_stays_and_more_comes_after_it(tmp_path):
    path = tmp_path / "log"
    for text in (b"one\n", b"two\n"):
        with open_to_append(path) as file:
            file.write(text)
    with open_to_read(path) as file:
        assert file.read() == b"one\ntwo\n"


def test_a_file_that_is_not_there_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_to_read(tmp_path / "nothing")


def test_a_file_that_takes_its_place_whole_is_not_written_through_a_link(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("all that I have")
    (tmp_path / f".rft.json.{os.getpid()}.tmp").symlink_to(precious)
    atomic_text(tmp_path / "rft.json", "{}")
    assert precious.read_text() == "all that I have"
    assert (tmp_path / "rft.json").read_text() == "{}"


def test_a_small_file_is_read_whole_and_a_large_one_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(plain_files, "LARGEST", 1 << 20)
    (tmp_path / "small").write_bytes(b"x" * (1 << 20))
    assert len(read_small(tmp_path / "small")) == 1 << 20
    (tmp_path / "large").write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(RFTError, match="large: more than 1 MiB, and none of ours is; move it away"):
        read_small(tmp_path / "large")
