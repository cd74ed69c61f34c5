"""Files wherever they are: folders, globs, addresses of HTTP, the Hub and S3, and what is refused.

Run: python -m pytest tests/foreign/test_opening.py
"""

import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.fake_hub import FakeHub
from tests.fake_s3 import FakeS3
from tests.hub_client import connect
from tests.saved_rollouts import adopted_rows, eval_log, lines, refusal, run_row, sample

RAW = (json.dumps(run_row()) + "\n").encode()


def test_a_folder_is_read_in_the_order_of_names_but_for_what_is_about_the_run(tmp_path):
    folder = tmp_path / "runs" / "deep"
    folder.mkdir(parents=True)
    lines(folder / "b.jsonl", run_row())
    lines(folder / "a.jsonl", run_row())
    (folder / "metadata.json").write_text("{}")
    (folder / ".hidden.jsonl").write_text("{}")
    (folder / "log.txt").write_text("x")
    made = adopted_rows(tmp_path, tmp_path / "runs")
    assert [row["source"].rpartition("/")[2] for row in made] == ["a.jsonl", "b.jsonl"]
    assert len(adopted_rows(tmp_path, f"{tmp_path}/**/a.*")) == 1


def test_what_leads_nowhere_is_refused_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no files there that end in .jsonl" in refusal(tmp_path, tmp_path / "empty")
    assert "no files there that end in" in refusal(tmp_path, f"{tmp_path}/*.nothing")
    assert "no such file" in refusal(tmp_path, tmp_path / "gone.jsonl")
    assert "cannot be read (Protocol not known: foo)" in refusal(tmp_path, "foo://bar/x.jsonl")
    assert "/dev/zero: it is a device" in refusal(tmp_path, "/dev/zero")


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args, **named):
            super().__init__(*args, directory=str(folder), **named)

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_an_address_of_http_is_downloaded(tmp_path, site):
    folder, url = site
    eval_log(folder / "log.eval", sample(), zstd=True)
    (row,) = adopted_rows(tmp_path, f"{url}/log.eval")
    assert row["source"] == f"{url}/log.eval"
    assert "cannot be read (HTTP Error 404" in refusal(tmp_path, f"{url}/gone.jsonl")


def test_files_of_a_hub_data_set_are_read_at_their_address(tmp_path, monkeypatch):
    with FakeHub(tmp_path / "hub") as hub:
        connect(monkeypatch, hub, tmp_path / "home", xet=False)
        hub.put("org/runs", {"runs/a.jsonl": RAW, "runs/b.jsonl": RAW, "README.md": b"#"})
        (one,) = adopted_rows(tmp_path, "hf://datasets/org/runs/runs/a.jsonl")
        assert one["source"].startswith("hf://datasets/org/runs/")
        assert len(adopted_rows(tmp_path, "hf://datasets/org/runs")) == 2
        told = refusal(tmp_path, "hf://datasets/org/runs/gone.jsonl")
        assert "no such file" in told


@pytest.fixture
def store(monkeypatch):
    objects = {f"runs/{name}.jsonl": RAW for name in "abc"} | {"other.txt": b"x"}
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with FakeS3("bucket", objects) as serving:
        monkeypatch.setenv("AWS_ENDPOINT_URL", serving.url)
        yield serving
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


def test_files_of_s3_are_listed_and_read_in_ranges(tmp_path, store):
    assert len(adopted_rows(tmp_path, "s3://bucket/runs/a.jsonl")) == 1
    made = adopted_rows(tmp_path, "s3://bucket/runs")
    assert [row["source"] for row in made] == [f"s3://bucket/runs/{name}.jsonl" for name in "abc"]
    assert len(adopted_rows(tmp_path, "s3://bucket/runs/*.jsonl")) == 3
    assert any(" bytes=" in request for request in store.requests)


def test_what_s3_refuses_is_one_line(tmp_path, store):
    assert "s3://bucket/gone.jsonl: no such file" in refusal(tmp_path, "s3://bucket/gone.jsonl")
    store.refuses = True
    told = refusal(tmp_path, "s3://bucket/other/x.jsonl")
    assert "s3://bucket/other/x.jsonl: " in told


def test_without_its_package_s3_says_what_to_install(tmp_path, monkeypatch):
    def missing(*_):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    told = refusal(tmp_path, "s3://bucket/x.jsonl")
    assert "s3:// needs a package; pip install 'rft-rounds[s3]'" in told
