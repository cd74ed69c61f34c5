"""A model is known by its content, and damage to it is told where it is loaded.

Run: python -m pytest tests/model_folders/test_content.py
"""

import hashlib
import json
import os
import shutil

import pytest

from rft.bundled import bundled
from rft.errors import RFTError
from rft.model_folders.content import MARK, content_digest, folder_digest, verify
from rft.runs.models import new_model_folder

TINY = bundled("data") / "tiny"


@pytest.fixture
def base(tmp_path):
    shutil.copytree(TINY, tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def ours(tmp_path):
    with new_model_folder(tmp_path / "ours", end="<|im_end|>") as folder:
        shutil.copytree(TINY, folder, dirs_exist_ok=True)
    return tmp_path / "ours"


def flip(path) -> None:
    """Invert a byte and leave size and time as they were."""
    times = path.stat()
    whole = bytearray(path.read_bytes())
    whole[-5] ^= 0xFF
    path.write_bytes(whole)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_base_that_changed_under_its_size_and_time_is_noticed(base, tmp_path):
    notes = tmp_path / "run" / "work" / "digests"
    (tmp_path / "run").mkdir()
    digest = folder_digest(base, notes)
    flip(base / "model.safetensors")
    assert folder_digest(base, notes) == digest, "nothing looks into files whose times are the same"
    with pytest.raises(RFTError, match="not what they were when the run first read them"):
        verify(base, digest)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_flipped_byte_of_a_model_that_we_made_is_told_by_its_file(ours, name):
    digest = folder_digest(ours)
    verify(ours, digest)
    flip(ours / name)
    os.utime(ours / name)
    with pytest.raises(RFTError, match=f"ours: {name} is not what it was when this model was made"):
        verify(ours, digest)


def test_a_missing_file_is_told(ours):
    (ours / "generation_config.json").unlink()
    with pytest.raises(RFTError, match=r"generation_config\.json is not what it was"):
        verify(ours, folder_digest(ours))


def test_what_an_export_or_a_download_adds_changes_no_model(ours):
    for name in ("README.md", "rft-export.json", ".gitattributes"):
        (ours / name).write_text("added")
    verify(ours, folder_digest(ours))
    (ours / "run").mkdir()
    verify(ours, folder_digest(ours))
    (ours / "chat_template.json").write_text("{}")
    with pytest.raises(RFTError, match=r"chat_template\.json is not what it was"):
        verify(ours, folder_digest(ours))


def test_a_mark_of_an_earlier_version_names_no_files(ours):
    mark = json.loads((ours / MARK).read_text())
    del mark["files"]
    (ours / MARK).write_text(json.dumps(mark))
    verify(ours, mark["digest"])
    flip(ours / "model.safetensors")
    os.utime(ours / "model.safetensors")
    with pytest.raises(RFTError, match="a file is not what it was"):
        verify(ours, mark["digest"])


def test_the_digest_of_a_foreign_folder_is_that_of_all_its_files_but_pages(base):
    lines = "".join(
        f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for path in sorted(base.iterdir())
        if path.suffix != ".md"
    )
    assert content_digest(base) == hashlib.sha256(lines.encode()).hexdigest()


def test_files_of_the_hubs_cache_are_held_against_their_names(tmp_path):
    blobs, commit = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    commit.mkdir(parents=True)
    for name in ("model.safetensors", "config.json"):
        content = (TINY / name).read_bytes()
        small = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        large = hashlib.sha256(content).hexdigest()
        blob = blobs / (large if name == "model.safetensors" else small)
        blob.write_bytes(content)
        (commit / name).symlink_to(blob)
    verify(commit, "hub:org/name@abc")
    for name in ("model.safetensors", "config.json"):
        flip(commit / name)
        os.utime(commit / name)
        with pytest.raises(RFTError, match=f"{name}: not what the Hub has.*remove .*blobs"):
            verify(commit, "hub:org/name@abc")
        flip(commit / name)
        os.utime(commit / name)
