"""What the tests of the server engine share: fake servers that end with their test."""

from collections.abc import Iterator

import pytest


@pytest.fixture
def serve(monkeypatch) -> Iterator:
    # Not above: the tests of vLLM are here too, and it wants to be set up before what this imports.
    from tests.fake_server import Fake

    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("rft.foreign_text._kept", set())  # the keys of other tests
    running = []

    def start(*args, **kwargs) -> Fake:
        running.append(Fake(*args, **kwargs))
        return running[-1]

    yield start
    for fake in running:
        fake.http.shutdown()
        fake.http.server_close()
