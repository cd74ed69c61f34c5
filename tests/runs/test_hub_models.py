"""Models out of the Hub: a run stays with the commit that it began with, and errors are one line.

Run: python -m pytest tests/runs/test_hub_models.py
"""

import json
import shutil
from pathlib import Path

import pytest

from rft.bundled import bundled
from rft.errors import RFTError
from rft.recipe import Model
from rft.runs import models
from rft.runs.lock import hold
from rft.runs.models import resolve
from tests.fake_hub import DROP, FakeHub
from tests.hub_client import connect

TINY = {path.name: path for path in (bundled("data") / "tiny").iterdir() if path.is_file()}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    models._snapshot.cache_clear()
    with FakeHub(tmp_path / "hub") as serving:
        connect(monkeypatch, serving, tmp_path / "home")
        yield serving
    models._snapshot.cache_clear()


def put(hub, note=b"", **about):
    return hub.put("org/tiny", TINY | {"note.txt": note}, kind="model", **about)


def fresh(model, run):
    """Resolve as a new process would that works on the run."""
    models._snapshot.cache_clear()
    if run is None:
        return resolve(model)
    with hold(run / "lock"):
        return resolve(model, run)


def test_a_run_stays_with_its_commit_when_the_branch_moves(hub, tmp_path):
    first = put(hub)
    (tmp_path / "run").mkdir()
    model = Model(path="org/tiny")
    ref = fresh(model, tmp_path / "run")
    assert ref.digest == f"hub:org/tiny@{first}"
    assert (Path(ref.path) / "model.safetensors").is_file()
    second = put(hub, b"moved")
    assert fresh(model, tmp_path / "run") == ref
    (tmp_path / "new").mkdir()
    assert fresh(model, tmp_path / "new").digest == f"hub:org/tiny@{second}"
    assert json.loads((tmp_path / "run" / "hub.json").read_text()) == {"org/tiny@main": first}
    asked = len(hub.requests)
    hub.fault("", DROP, times=100)
    assert fresh(model, tmp_path / "run") == ref
    assert len(hub.requests) == asked, "what is here already needs no network"


def test_who_only_looks_at_a_run_leaves_nothing_in_it(hub, tmp_path):
    put(hub)
    shutil.copytree(bundled("data") / "tiny", tmp_path / "base")
    (tmp_path / "base" / "rft.json").unlink(missing_ok=True)
    for path, left in (("org/tiny", "hub.json"), (str(tmp_path / "base"), "work/digests/*")):
        run = tmp_path / f"run-of-{Path(path).name}"
        run.mkdir()
        resolve(Model(path=path), run)
        assert list(run.iterdir()) == []
        fresh(Model(path=path), run)
        assert len(list(run.glob(left))) == 1


def test_a_revision_is_read_and_named_by_its_commit(hub, tmp_path):
    first = put(hub)
    hub.repo("org/tiny", "model").names["v1"] = first
    put(hub, b"moved")
    for revision in ("v1", first):
        ref = fresh(Model(path="org/tiny", revision=revision), tmp_path)
        assert ref.digest == f"hub:org/tiny@{first}"
        assert (Path(ref.path) / "note.txt").read_bytes() == b""


def refused(model, reason):
    with pytest.raises(RFTError, match=reason) as error:
        fresh(model, None)
    assert "\n" not in str(error.value)


def test_what_cannot_be_read_is_one_line_that_says_why(hub, monkeypatch):
    start = "model.path: 'org/tiny', no folder here, cannot be read from the Hub: "
    refused(Model(path="org/tiny"), start + "it does not exist on the Hub, or this token may not")
    put(hub, private=True)
    refused(Model(path="org/tiny", revision="v9"), "at v9, .* it has no such revision")
    monkeypatch.delenv("HF_TOKEN")
    refused(Model(path="org/tiny"), start + r"it .* or is private; .*`hf auth login`")
    hub.repo("org/tiny", "model").private = False
    hub.repo("org/tiny", "model").gated = True
    refused(Model(path="org/tiny"), start + "it is gated .*; ask for access on its page at http")


def test_no_network_is_one_line(hub, monkeypatch):
    from huggingface_hub import constants

    put(hub)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    refused(Model(path="org/tiny"), r"http://127\.0\.0\.1:9 cannot be reached")
    refused(Model(path="no such/model at all"), "cannot be read from the Hub: Repo id must")


def test_who_only_reads_a_run_downloads_nothing(hub):
    put(hub)
    model = Model(path="org/tiny")
    with pytest.raises(RFTError, match="not in the cache of this machine"):
        resolve(model, download=False)
    ref = fresh(model, None)
    assert resolve(model, download=False).digest == ref.digest
