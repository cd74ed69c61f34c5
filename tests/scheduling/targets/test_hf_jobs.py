"""The Hub's scheduled job: the real `hf` sends what is meant, to a server of our own."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rft.scheduling.targets import text_for
from tests.errands import HOSTILE, RESOLVED, errand, hostile_errand

HF = Path(sys.executable).with_name("hf")


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    """Answer as the Hub does when a job is scheduled, and keep what was sent."""

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer({"name": "me", "type": "user"})

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.sent.append((self.path, json.loads(body)))
            job = {"dockerImage": "x", "flavor": "l4x1", "labels": {}, "command": []}
            owner = {"id": "1", "name": "me", "type": "user"}
            self.answer({"id": "job1", "jobSpec": job, "owner": owner, "schedule": "x"})

        def answer(self, what):
            text = json.dumps(what).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.sent = []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(folder: Path, text: str, hub: ThreadingHTTPServer) -> list[list[str]]:
    """Run the script; `hf buckets` is noted, with its input, and `hf jobs` is the real one."""
    stand_ins = folder / "bin"
    stand_ins.mkdir()
    (stand_ins / "hf").write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys\n"
        "if sys.argv[1] == 'jobs':\n"
        f"    os.execv({str(HF)!r}, ['hf', *sys.argv[1:]])\n"
        "heard = sys.stdin.read() if '-' in sys.argv else ''\n"
        f"with open({str(folder / 'buckets')!r}, 'a') as file:\n"
        "    file.write(json.dumps([*sys.argv[1:], heard]) + '\\n')\n"
    )
    (stand_ins / "hf").chmod(0o755)
    env = {
        "PATH": f"{stand_ins}:/usr/bin:/bin",
        "HOME": str(folder),
        "OWNER": "me",
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_TOKEN": "hf_ours",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        ["bash", "-s"], input=text, text=True, env=env, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (folder / "buckets").read_text().splitlines()]


def test_a_shipped_recipe_is_sent_as_a_job_that_never_runs_twice(tmp_path, hub):
    run(tmp_path, text_for("hf-jobs", errand("30 2 * * sun", image="me/rft:1")), hub)
    ((path, body),) = hub.sent
    assert path == "/api/scheduled-jobs/me"
    assert (body["schedule"], body["concurrency"]) == ("30 2 * * 0", False)
    spec = body["jobSpec"]
    assert spec["dockerImage"] == "me/rft:1"
    assert spec["command"] == [
        *("rft", "run", "quickstart", "--out", "/bucket/quickstart"),
        *("--next", "--grace", "20s", "--stop-after", "470m"),
    ]
    assert (spec["flavor"], spec["timeoutSeconds"]) == ("l4x1", 8 * 3600)
    assert spec["secrets"] == {"HF_TOKEN": "hf_ours"}
    (volume,) = spec["volumes"]
    assert (volume["source"], volume["mountPath"]) == ("me/rft-quickstart", "/bucket")


def test_a_recipe_that_is_a_file_is_put_into_the_bucket_as_it_was_read(tmp_path, hub):
    buckets = run(tmp_path, text_for("hf-jobs", hostile_errand(tmp_path, image="x")), hub)
    assert buckets == [
        ["buckets", "create", "me/rft-mine", "--private", "--exist-ok", ""],
        ["buckets", "cp", "-", "hf://buckets/me/rft-mine/recipe.yaml", RESOLVED],
    ]
    ((_, body),) = hub.sent
    assert body["jobSpec"]["command"][2:5] == ["/bucket/recipe.yaml", "--out", "/bucket/mine"]


def test_a_run_is_copied_there_and_hostile_names_arrive_as_they_are(tmp_path, hub):
    path = f"/home/me/{HOSTILE}"
    settings = (f"prompt.template={HOSTILE}",)
    wanted = errand(image="x", recipe=path, run=path, is_run=True, settings=settings)
    buckets = run(tmp_path, text_for("hf-jobs", wanted), hub)
    bucket = f"me/{wanted.name}"
    assert buckets[1] == ["buckets", "sync", path, f"hf://buckets/{bucket}/{HOSTILE}", ""]
    ((_, body),) = hub.sent
    command = body["jobSpec"]["command"]
    assert command[2:5] == [f"/bucket/{HOSTILE}", "--set", settings[0]]
