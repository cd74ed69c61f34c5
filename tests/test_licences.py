"""A licence is what somebody stated: the recipe, a data set's card, a model's README; else null."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub.hf_api
import pytest

from pipelines.prepare import STAGE, licences
from rft.licences import BUNDLED, front_matter, licence_of, model_front, stated
from rft.processes.stopping import Stop
from rft.recipe.loading import load_recipe
from rft.recipe.prepare import Source
from rft.runs.folder import Run, save_recipe
from rft.runs.stages import Job
from tests.command import ROOT


@pytest.fixture
def hub(monkeypatch):
    """Serve the Hub's answer about a data set from here; what was asked is kept."""
    told = {"card": {"license": "mit"}, "asked": [], "status": 200}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args):
            pass

        def do_GET(self):
            told["asked"].append(self.path)
            body = json.dumps({"id": "o/n", "sha": "c0ffee", "cardData": told["card"]}).encode()
            self.send_response(told["status"])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", address)
    yield told
    server.shutdown()
    server.server_close()


def of(source: str, **more: str | None) -> Source:
    return Source(source=source, split="train", **more)


def test_what_the_recipe_says_comes_first(hub):
    assert licence_of(of("hub:o/n", license="cc-by-4.0")) == "cc-by-4.0"
    assert hub["asked"] == []


def test_a_hub_data_set_is_asked_for_its_card_at_its_revision(hub):
    assert licence_of(of("hub:o/n", revision="v1")) == "mit"
    assert "/datasets/o/n/revision/v1" in hub["asked"][0]


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ({"license": ["mit", "apache-2.0"]}, "mit, apache-2.0"),
        ({"license": "other", "license_name": "our own\x1b[31m"}, "other (our own [31m)"),
        ({"license": None}, None),
        ({}, None),
        (None, None),
    ],
)
def test_every_form_of_a_card_is_read(hub, card, licence):
    hub["card"] = card
    assert licence_of(of("hub:o/n")) == licence


@pytest.mark.parametrize("status", [401, 404])
def test_a_card_that_cannot_be_read_leaves_it_unstated(hub, status):
    hub["status"] = status
    assert licence_of(of("hub:o/n")) is None


def test_a_network_that_fails_leaves_it_unstated(monkeypatch):
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", "http://127.0.0.1:9")
    assert licence_of(of("hub:o/n")) is None


def test_a_file_states_none_and_what_is_bundled_has_that_of_this_code():
    assert licence_of(Source(source="mine.jsonl")) is None
    assert licence_of(of("bundled:arithmetic")) == BUNDLED == "apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("text", ["", "no front matter", "---\n[\n---\n", "---\nword\n---\n"])
def test_a_readme_without_front_matter_states_nothing(tmp_path, text):
    (tmp_path / "README.md").write_text(text)
    assert stated(front_matter(tmp_path)) is None


def test_a_run_that_goes_on_from_another_has_the_licence_of_the_first_base(tmp_path):
    first = Run(tmp_path / "first", load_recipe("smoke"))
    first.path.mkdir()
    save_recipe(first)
    then = Run(tmp_path / "then", load_recipe("smoke", [f"model.path={first.path}@1"]))
    assert stated(model_front(then)) == "apache-2.0"


def job(run: Run, round: int) -> Job:
    given = Job(run, STAGE, round, Stop(), lambda _line: None)
    # A later round has the problems before it as an input, of which this run has none.
    given.inputs = {"train/train": "d", "test/test": "d"}
    return given


def test_prepare_notes_the_licence_of_every_source_that_it_reads(tmp_path):
    train = "{source: bundled:arithmetic, split: train, license: cc0-1.0}"
    run = Run(tmp_path, load_recipe("smoke", [f"prepare.train={train}"]))
    wanted = {"train/train": "cc0-1.0", "test/test": "apache-2.0", "model": "apache-2.0"}
    assert licences(job(run, 0)) == wanted
    # A later round looks for problems to learn from alone.
    assert licences(job(run, 2)).keys() == {"train/train", "model"}
