"""What a push may run into ends in one line; nothing is half-pushed, and the next one does it."""

import json
import os
import signal
import subprocess
import threading

import pytest

from pipelines.readers.mark import MARK
from pipelines.readers.publish import publish_run
from rft.errors import Interrupted, RFTError
from rft.processes.stopping import Stop
from tests.command import command, rft_here
from tests.fake_hub import DROP, STORAGE
from tests.hub_client import surroundings
from tests.pushes import push

# The client's own, where it sends a file by LFS.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
COMMIT = r"POST /api/datasets/org/d/commit"


# Who may -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "there is no token for http.*`hf auth login`, or set HF_TOKEN"),
        ("hf_read", "the token may only read; .*`hf auth login`, or set HF_TOKEN"),
        ("hf_gone", "the token is not accepted.*`hf auth login`"),
    ],
)
def test_a_token_that_does_not_do_is_told_before_anything_is_written(
    made, hub, monkeypatch, token, reason
):
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    said = []
    with pytest.raises(RFTError, match=reason):
        said += push(made)
    assert said == []
    assert not hub.repos


def test_who_is_no_member_is_told_so(made, hub):
    with pytest.raises(RFTError, match=r"strangers/d: the token may not do that \(You don't have"):
        push(made, repo="strangers/d")
    assert not hub.repos


def test_a_token_is_never_printed(made, hub):
    hub.fault(COMMIT, 403, "hf_write may not do that")
    with pytest.raises(RFTError) as refused:
        push(made)
    assert "(hidden) may not do that" in str(refused.value)
    assert "hf_write" not in str(refused.value)


# What fails on the way ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "answer", "message", "wanted"),
    [
        (COMMIT, 412, "A commit has happened since.", (Interrupted, "somebody else pushed")),
        ("preupload", 403, STORAGE, (RFTError, "no room on the Hub .*storage limit reached")),
        (COMMIT, 403, STORAGE, (RFTError, "no room on the Hub .*storage limit reached")),
        ("xet-write-token", 403, STORAGE, (RFTError, r"upload was refused .*403.* no room:")),
        (COMMIT, 503, "", (Interrupted, "the Hub is in trouble: status 503")),
        ("preupload", 429, "slowly", (Interrupted, r"the Hub asks to wait \(slowly\)")),
        ("repos/create", 500, "", (Interrupted, "the Hub is in trouble: status 500")),
        (COMMIT, DROP, "", (Interrupted, "http://127.0.0.1:.* cannot be reached")),
        ("whoami", DROP, "", (Interrupted, "cannot be reached")),
    ],
)
def test_what_fails_is_one_line_and_done_by_the_next_push(
    made, hub, where, answer, message, wanted
):
    kind, reason = wanted
    hub.fault(where, answer, message, headers={"Retry-After": "0"}, times=9)
    with pytest.raises(kind, match=reason) as told:
        push(made)
    assert "\n" not in str(told.value)
    assert len(hub.repo("org/d").commits) == 1 if hub.repos else True
    hub.faults.clear()
    push(made)
    assert len(hub.repo("org/d").commits) == 2


def test_a_push_in_between_is_noticed_and_kept(made, hub):
    push(made)
    interposed = threading.Event()

    def meanwhile(line):
        if line.startswith("push: org/d: files") and not interposed.is_set():
            interposed.set()
            hub.put("org/d", {"notes.md": b"theirs"})

    options = {"license_id": "mit", "public": False, "token_stats": True, "model_repo": None}
    with pytest.raises(Interrupted, match="somebody else pushed in the meantime"):
        publish_run(made, repo="org/d", say=meanwhile, stop=Stop(), **options)
    publish_run(made, repo="org/d", say=meanwhile, stop=Stop(), **options)
    assert hub.files("org/d")["notes.md"].content == b"theirs"
    assert "license: mit" in hub.files("org/d")["README.md"].content.decode()


@pytest.mark.parametrize("hub", ["lfs"], indirect=True)
def test_an_upload_that_breaks_off_is_tried_again_by_the_client(made, hub):
    hub.fault("PUT /lfs", DROP, times=2)
    push(made)
    assert len(hub.repo("org/d").commits) == 2


@pytest.mark.parametrize("hub", ["lfs"], indirect=True)
def test_an_upload_that_stays_broken_is_one_line_and_goes_on_later(made, hub):
    hub.fault("PUT /lfs", DROP, times=1000)
    with pytest.raises(Interrupted, match="cannot be reached"):
        push(made)
    assert not list((hub.folder / "lfs").iterdir())
    hub.faults.clear()
    hub.fault("objects/batch", 403, STORAGE)
    with pytest.raises(RFTError, match=r"no room on the Hub \(Private repository storage limit"):
        push(made)
    push(made)
    assert len(hub.repo("org/d").commits) == 2


@pytest.mark.usefixtures("hub")
def test_without_a_network_it_is_one_line(made, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(Interrupted, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        push(made)


def test_a_full_disk_is_told_as_one(made, hub, monkeypatch):
    from pipelines.readers import publish

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publish, "write_data", full)
    told = rft_here("export", made.path, "--repo", "org/d", "--license", "mit", code=2)
    assert told.splitlines()[-1].startswith("Error: the disk is full")
    assert not hub.repos


def test_the_command_pushes_both_and_prints_where(made, hub):
    words = ["export", made.path, "--repo", "org/d", "--license", "mit", "--no-token-stats"]
    told = rft_here(*words, "--model", "--public")
    assert "push: org/d: commit" in told
    assert set(hub.repos) == {("dataset", "org/d"), ("model", "org/d-model")}
    rft_here(*words, "--model", "org/named")
    assert ("model", "org/named") in hub.repos
    told = rft_here(*words, "--to", "x", code=2)
    assert "give --to DIR or --repo ORG/NAME" in told
    for more in (["--public"], ["--model", "org/named"]):
        assert "go with --repo" in rft_here("export", made.path, "--to", "x", *more, code=2)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 75)])
def test_a_kill_between_upload_and_commit_costs_nothing(made, hub, tmp_path, number, code):
    hub.fault(COMMIT, 20.0)
    words = command("export", made.path, "--repo", "org/d", "--license", "apache-2.0")
    home = surroundings(hub, tmp_path / "home") | {"TMPDIR": str(tmp_path)}
    child = subprocess.Popen(
        words, env=os.environ | home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    pause = threading.Event()
    while not hub.asked(COMMIT):
        assert child.poll() is None, child.stderr.read()
        pause.wait(0.02)
    child.send_signal(number)
    _, told = child.communicate(timeout=20)
    assert child.returncode == code
    last = told.splitlines()[-1]
    assert code == -9 or last.startswith("Stopped: by SIGTERM while pushing; each")
    assert len(hub.repo("org/d").commits) == 1
    asked = len(hub.requests)
    push(made)
    assert len(hub.repo("org/d").commits) == 2
    assert len([each for each in hub.requests[asked:] if "commit/" in each]) == 1
    assert set(json.loads(hub.files("org/d")[MARK].content)["files"]) == set(hub.files("org/d")) - {
        MARK,
        ".gitattributes",
    }
