"""A push is one commit per repository of what differs, and whatever goes wrong is one line.

Run: python -m pytest tests/pipelines/readers/test_publish.py
"""

import json
import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import polars as pl
import pytest

from pipelines.readers.mark import MARK
from pipelines.readers.publish import publish_run
from rft.bundled import bundled
from rft.errors import Interrupted, RFTError
from rft.processes.stopping import Stop
from tests.command import command, rft_here
from tests.exported_run import export, make_run
from tests.fake_hub import DROP, STORAGE, FakeHub
from tests.hub_client import connect, surroundings

# The client's own, where it sends a file by LFS.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
COMMIT = r"POST /api/datasets/org/d/commit"


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


def push(run, repo="org/d", **options):
    said = []
    given = {"public": False, "license_id": "apache-2.0", "token_stats": True, "model_repo": None}
    given["say"] = said.append
    publish_run(run, repo=repo, stop=Stop(), **given | options)
    return said


both_ways = pytest.mark.parametrize("hub", ["xet", "lfs"], indirect=True)


@both_ways
def test_a_push_is_one_commit_that_opens_with_datasets(made, hub, tmp_path):
    from datasets import load_dataset

    push(made)
    repo = hub.repo("org/d")
    assert repo.private
    assert [commit.title for commit in repo.commits] == ["initial commit", "rft export of run"]
    assert bool(hub.in_xet()) == (not os.environ.get("HF_HUB_DISABLE_XET"))
    export(made, tmp_path / "out")
    wanted = {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.*")}
    assert {str(path) for path in wanted} <= set(hub.files("org/d"))
    rows = load_dataset("org/d", "sft", cache_dir=str(tmp_path / "cache"))["train"]
    local = pl.read_parquet(tmp_path / "out" / "sft" / "*.parquet")
    assert rows.to_list() == local.to_dicts()
    text = hub.files("org/d")["README.md"].content.decode()
    assert 'load_dataset("org/d", "sft", split="train")\n' in text
    assert "rft export runs/run --repo org/d --license apache-2.0\n" in text


@both_ways
def test_the_same_state_is_not_pushed_twice(made, hub):
    push(made, model_repo="org/d-model")
    before = len(hub.repo("org/d").commits), len(hub.repo("org/d-model", "model").commits)
    asked = len(hub.requests)
    said = push(made, model_repo="org/d-model")
    assert "push: org/d: nothing to push, it holds all of it" in said
    assert "push: org/d-model: nothing to push, it holds all of it" in said
    # One question more than looking takes: since which commit the data is as it is.
    posted = [each for each in hub.requests[asked:] if each.startswith(("POST", "PUT"))]
    assert posted == [
        "POST /api/datasets/org/d/paths-info/main",
        "POST /api/models/org/d-model/paths-info/main",
    ]
    assert before == (
        len(hub.repo("org/d").commits),
        len(hub.repo("org/d-model", "model").commits),
    )


@both_ways
def test_a_round_more_adds_its_files_and_leaves_the_others(hub, tmp_path):
    push(make_run(tmp_path / "run", rounds=1))
    shutil.rmtree(tmp_path / "run")
    push(make_run(tmp_path / "run", rounds=2))
    first, second = (dict(commit.files) for commit in hub.repo("org/d").commits[-2:])
    sent = {path for _, path in hub.repo("org/d").commits[-1].operations}
    tables = {path for path in second if path.endswith(".parquet")}
    assert {path for path in sent if path in tables} == tables - set(first)
    assert all("round-0002" in path for path in sent & tables)
    rest = {path for path in sent - tables if not path.startswith("run/")}
    assert rest == {"README.md", MARK}
    assert {kind for kind, _ in hub.repo("org/d").commits[-1].operations} == {"file", "lfsFile"}


def test_what_an_export_no_longer_has_is_deleted_and_what_others_added_stays(hub, tmp_path):
    run = make_run(tmp_path / "run", rounds=2)
    push(run)
    hub.put("org/d", {"notes.md": b"mine", "sft/more.parquet": b"mine"})
    shutil.rmtree(tmp_path / "run")
    push(make_run(tmp_path / "run", rounds=1))
    files = hub.files("org/d")
    assert {"notes.md", "sft/more.parquet", "sft/train-round-0001-00000.parquet"} <= set(files)
    assert "sft/train-round-0002-00000.parquet" not in files
    listed = json.loads(files[MARK].content)["files"]
    assert set(listed) == set(files) - {"notes.md", "sft/more.parquet", ".gitattributes", MARK}


@pytest.mark.parametrize("name", ["README.md", "sft/train-round-0001-00000.parquet"])
def test_what_was_edited_there_is_not_lost(made, hub, name):
    push(made)
    hub.put("org/d", {name: b"mine"})
    with pytest.raises(RFTError, match=f"org/d: {name} was written there by hand"):
        push(made)
    assert len(hub.repo("org/d").commits) == 3


def test_a_file_that_others_put_in_our_way_is_not_lost(hub, tmp_path):
    push(make_run(tmp_path / "run", rounds=1))
    hub.put("org/d", {"sft/train-round-0002-00000.parquet": b"mine"})
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(RFTError, match=r"round-0002-00000.parquet was written there by hand"):
        push(make_run(tmp_path / "run", rounds=2))


def test_foreign_repositories_are_refused_before_anything_is_pushed(made, hub, tmp_path):
    said = []
    hub.put("org/theirs", {"README.md": b"theirs"})
    hub.put("org/d-model", {"config.json": b"{}"}, kind="model")
    with pytest.raises(RFTError, match="org/theirs: not empty, and not an export"):
        push(made, repo="org/theirs", say=said.append)
    assert said == []
    with pytest.raises(RFTError, match="org/d-model: not empty, and not an export"):
        push(made, model_repo="org/d-model")
    assert ("dataset", "org/d") not in hub.repos
    push(made)
    with pytest.raises(RFTError, match="org/d: an export of another run"):
        push(make_run(tmp_path / "other", rounds=1))


@pytest.mark.usefixtures("hub")
def test_a_moved_run_is_still_the_same_one(tmp_path):
    push(make_run(tmp_path / "run", rounds=1))
    shutil.move(tmp_path / "run", tmp_path / "elsewhere")
    (tmp_path / "run").mkdir()
    shutil.move(tmp_path / "elsewhere", tmp_path / "run" / "run")
    from rft.runs.folder import open_run

    assert "push: org/d: nothing to push, it holds all of it" in push(
        open_run(tmp_path / "run" / "run")
    )


def test_an_empty_repository_is_filled_and_keeps_its_visibility(made, hub):
    hub.put("org/d", {".gitattributes": b""}, private=False)
    said = push(made)
    assert any(line.startswith("warning: org/d is public and stays so") for line in said)
    assert not hub.repo("org/d").private
    assert "README.md" in hub.files("org/d")
    push(made, repo="org/open", public=True)
    assert not hub.repo("org/open").private


def test_without_a_licence_nothing_is_pushed(made, hub, tmp_path):
    with pytest.raises(RFTError, match=r"--repo needs --license: .* e\.g\. --license apache-2\.0"):
        push(made, license_id=None)
    source = "prepare.train={source: bundled:arithmetic, split: train, license: cc-by-4.0}"
    stated = make_run(tmp_path / "run", source, rounds=1)
    with pytest.raises(RFTError, match=r"\(the recipe says cc-by-4\.0\)"):
        push(stated, license_id=None)
    assert not hub.requests


def test_a_licence_that_the_hub_does_not_know_is_refused_before_anything_is_asked(made, hub):
    with pytest.raises(RFTError, match=r"'apache2' is none of .*; did you mean \"apache-2.0\"\?"):
        push(made, license_id="apache2")
    assert not hub.requests
    push(made, license_id="other")


def test_a_config_is_told_once_a_round_with_all_its_rows(made, hub):
    told = [line for line in push(made) if line.startswith("export: graded of round 1: ")]
    rows = sum(len(pl.read_parquet(path)) for path in files_of(made, "kept", "rejected"))
    assert told == [f"export: graded of round 1: {rows} rows"]
    assert hub.repos


def files_of(run, *names):
    return [path for name in names for path in run.folder(name, 1).glob("*.parquet")]


@pytest.mark.parametrize("name", ["d", "a b/d", "org/d/e", "org/.d", "org/a--b", f"org/{'d' * 97}"])
def test_a_name_that_cannot_be_is_refused(made, hub, name):
    with pytest.raises(
        RFTError, match=r"is no repository's name; write ORG/NAME.* 96 of them in NAME$"
    ):
        push(made, repo=name)
    assert not hub.requests


def test_a_card_that_the_hub_refuses_leaves_no_repository(made, hub):
    hub.fault("validate-yaml", 400, '"license" must be one of [apache-2.0, mit]')
    with pytest.raises(RFTError, match=r'org/d: .*"license\\?" must be one of'):
        push(made)
    assert not hub.repos


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
    assert "(token) may not do that" in str(refused.value)
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
    assert code == -9 or last.startswith("Stopped: stopped by SIGTERM while pushing; each")
    assert len(hub.repo("org/d").commits) == 1
    asked = len(hub.requests)
    push(made)
    assert len(hub.repo("org/d").commits) == 2
    assert len([each for each in hub.requests[asked:] if "commit/" in each]) == 1
    assert set(json.loads(hub.files("org/d")[MARK].content)["files"]) == set(hub.files("org/d")) - {
        MARK,
        ".gitattributes",
    }


# The model ---------------------------------------------------------------------------------------


@both_ways
def test_a_model_loads_from_where_it_was_pushed_and_leads_to_its_data(
    made, hub, tmp_path, request, monkeypatch
):
    import transformers.utils.hub
    from huggingface_hub import ModelCard
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.setattr(transformers.utils.hub, "_hf_api", None)
    # A name of its own, since transformers remembers in the process which commit a name stands for.
    name = f"org/by-{request.node.callspec.params['hub']}"
    push(made, model_repo=name)
    assert len(hub.repo(name, "model").commits) == 2
    cache = str(tmp_path / "cache")
    model = AutoModelForCausalLM.from_pretrained(name, cache_dir=cache)
    tokenizer = AutoTokenizer.from_pretrained(name, cache_dir=cache)
    assert model.config.vocab_size >= len(tokenizer)
    card = ModelCard(hub.files(name, "model")["README.md"].content.decode())
    assert card.data.datasets == ["org/d"]
    commit = hub.repo("org/d").commits[-1].oid
    link = f"The data is [org/d]({hub.url}/datasets/org/d/tree/{commit}), at commit"
    assert link in card.text
    assert f"--repo org/d --model {name} --license apache-2.0" in card.text
    # What others do to the data set is no news about the model.
    hub.put("org/d", {"notes.md": b"theirs"})
    said = push(made, model_repo=name)
    assert f"push: {name}: nothing to push, it holds all of it" in said


def test_it_is_only_the_run_that_is_pushed(made, hub):
    push(made)
    names = {Path(name).parts[0] for name in hub.files("org/d")}
    assert names == {
        *(".gitattributes", "README.md", MARK, "run"),
        *("sft", "rollouts", "graded", "problems", "evaluations"),
    }
