"""A push is one commit per repository of what differs, and whatever goes wrong is one line.

Run: python -m pytest tests/pipelines/readers/test_publish.py
"""

import json
import os
import shutil
from pathlib import Path

import polars as pl
import pytest

from pipelines.readers.mark import MARK
from rft.errors import RFTError
from tests.exported_run import export, make_run
from tests.pushes import both_ways, push

# The client's own, where it sends a file by LFS.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
COMMIT = r"POST /api/datasets/org/d/commit"


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
