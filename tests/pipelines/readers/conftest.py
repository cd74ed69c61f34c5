"""What the tests of pushes share: a run that only they read, and a Hub of their own."""

import shutil
from contextlib import contextmanager

import pytest

from rft.bundled import bundled
from rft.runs.models import new_model_folder
from tests.exported_run import make_run
from tests.fake_hub import FakeHub
from tests.hub_client import connect


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make one run, with a model that loads, for the tests that only read it."""

    @contextmanager
    def that_loads(folder, **about):
        with new_model_folder(folder, **about) as scratch:
            yield scratch
            shutil.copytree(bundled("data") / "tiny", scratch, dirs_exist_ok=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.exported_run.new_model_folder", that_loads)
        return make_run(tmp_path_factory.mktemp("made") / "run", rounds=1)


@pytest.fixture
def hub(tmp_path, monkeypatch, request):
    with FakeHub(tmp_path / "hub") as serving:
        xet = getattr(request, "param", "xet") == "xet"
        connect(monkeypatch, serving, tmp_path / "home", xet=xet)
        yield serving
