"""What the tests of pushes share: a run that only they read, and a Hub of their own."""

import shutil

import pytest

from rft.bundled import bundled
from tests.exported_run import make_run
from tests.fake_hub import FakeHub
from tests.hub_client import connect


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make one run, with a model that loads, for the tests that only read it."""
    run = make_run(tmp_path_factory.mktemp("made") / "run", rounds=1)
    for path in (bundled("data") / "tiny").iterdir():
        shutil.copy(path, run.model_folder(1))
    return run


@pytest.fixture
def hub(tmp_path, monkeypatch, request):
    with FakeHub(tmp_path / "hub") as serving:
        xet = getattr(request, "param", "xet") == "xet"
        connect(monkeypatch, serving, tmp_path / "home", xet=xet)
        yield serving
