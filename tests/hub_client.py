"""Makes the Hub's clients in this process, and in its children, talk to a fake one."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.fake_hub import FakeHub

QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}


def connect(monkeypatch: pytest.MonkeyPatch, hub: FakeHub, home: Path, *, xet: bool = True) -> None:
    """Point everything at the fake Hub, with a token that may write, and let nobody wait."""
    import datasets.config
    from huggingface_hub import constants, hf_api
    from huggingface_hub.utils import _http

    for name, value in (QUIET | surroundings(hub, home, xet=xet)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(hf_api.api, "endpoint", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_URL_HOSTS", constants.HF_URL_HOSTS | {"127.0.0.1"})
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", not xet)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", hub.url)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "datasets")
    url = hub.url + "/datasets/{repo_id}/resolve/{revision}/{path}"
    monkeypatch.setattr(datasets.config, "HUB_DATASETS_URL", url)
    monkeypatch.setattr(_http, "time", SimpleNamespace(**vars(time) | {"sleep": lambda _: None}))


def surroundings(hub: FakeHub, home: Path, *, xet: bool = True) -> dict[str, str]:
    """Give the environment of a child that is to talk to the fake Hub."""
    path = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    given = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_write", "HF_HOME": str(home)}
    return path | QUIET | given | ({} if xet else {"HF_HUB_DISABLE_XET": "1"})
