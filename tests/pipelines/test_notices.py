"""The webhook of docs/howto/follow.md, to the letter, posts an event; its secret stays out of it.

Run: python -m pytest tests/pipelines/test_notices.py
"""

import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml

from pipelines.notices import Notices
from rft.bundled import bundled
from rft.processes.stopping import Stop
from rft.recipe.loading import dump, load_stored
from rft.runs.folder import Run
from tests.small_run import new_run

PAGE = (bundled("configs").parent / "docs/howto/follow.md").read_text()
EXAMPLE = re.search(r"```yaml\n(notify: .*)\n```", PAGE)

needed = [shutil.which(name) for name in ("curl", "jq")]
pytestmark = pytest.mark.skipif(not all(needed), reason="the example needs curl and jq")


@contextmanager
def webhook(code: int = 200) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Serve an address on this machine, and keep what is posted there."""
    posted: list[tuple[str, bytes]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            posted.append((self.headers["content-type"], body))
            self.send_response(code)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/secret", posted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def told_to(address: str, tmp_path, monkeypatch, text: str) -> tuple[Run, list[str]]:
    """Tell one event by the page's command, and give the run and what was said."""
    assert EXAMPLE is not None, "the page has lost its example"
    command = yaml.safe_load(EXAMPLE[1])["notify"]
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WEBHOOK", address)
    run, said = new_run(tmp_path / "run", f"notify={json.dumps(command)}"), []
    Notices(run, Stop(), said.append).tell("round", text, {"round": 1})
    return run, said


def test_the_sentence_is_posted_as_json_whatever_is_in_it(tmp_path, monkeypatch):
    text = 'round 1: "it\'s" $HOME `id` \\ — ünï'
    with webhook() as (address, posted):
        run, said = told_to(address, tmp_path, monkeypatch, text)
    ((kind, body),) = posted
    assert kind == "application/json"
    assert json.loads(body) == {"text": text}
    assert said == []
    assert address not in dump(load_stored(run.path))


def test_an_address_that_refuses_is_one_line(tmp_path, monkeypatch):
    with webhook(500) as (address, posted):
        _, said = told_to(address, tmp_path, monkeypatch, "text")
    assert len(posted) == 1
    (line,) = said
    assert line.startswith("notify: the command failed at the event `round`: it ended with 22")
    assert "500" in line
    assert "secret" not in line
