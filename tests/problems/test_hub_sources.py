"""Problems out of Hub data sets: at the commit that is asked for, and one line when it cannot be.

Run: python -m pytest tests/problems/test_hub_sources.py
"""

import json
import logging

import pytest

from rft.errors import RFTError
from rft.licences import licence_of
from rft.problems.sources import at, hub_commit, read_source
from rft.recipe.prepare import Source
from tests.fake_hub import DROP, FakeHub
from tests.hub_client import connect


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with FakeHub(tmp_path / "hub") as serving:
        connect(monkeypatch, serving, tmp_path / "home")
        yield serving


def rows(*questions):
    lines = (json.dumps({"question": each, "gold": "4"}) for each in questions)
    return {"train.jsonl": "\n".join(lines).encode()}


def source(**more):
    return Source(source="hub:org/problems", split="train", **more)


def test_the_branch_is_read_and_a_commit_stays_readable(hub):
    first = hub.put("org/problems", rows("a"))
    assert hub_commit(source()) == first
    assert read_source(source())["question"].to_list() == ["a"]
    second = hub.put("org/problems", rows("a", "b"))
    assert read_source(source())["question"].to_list() == ["a", "b"]
    assert read_source(at(source(), f"hub:org/problems@{first}"))["question"].to_list() == ["a"]
    assert read_source(source(revision=first))["question"].to_list() == ["a"]
    assert read_source(source(limit=1, revision=second))["question"].to_list() == ["a"]
    assert [hub_commit(source()), hub_commit(source(revision=first))] == [second, first]


def test_a_tag_names_its_commit(hub):
    first = hub.put("org/problems", rows("a"))
    hub.repo("org/problems").names["v1"] = first
    hub.put("org/problems", rows("b"))
    assert hub_commit(source(revision="v1")) == first
    assert read_source(source(revision="v1"))["question"].to_list() == ["a"]


def asked(hub, given, reason):
    """Both ways of asking end in one line."""
    del hub
    for ask in (hub_commit, read_source):
        with pytest.raises(RFTError, match=reason) as refused:
            ask(given)
        assert "\n" not in str(refused.value)


def test_what_cannot_be_read_is_one_line_that_says_why(hub, monkeypatch):
    asked(
        hub, source(), r"hub:org/problems: cannot be read: .* exist on the Hub.*heck (its|the) name"
    )
    hub.put("org/problems", rows("a"), private=True)
    asked(hub, source(revision="v9"), r"org/problems at v9: cannot be read: it has no such revis")
    monkeypatch.delenv("HF_TOKEN")
    asked(hub, source(), r"cannot be read: .* on the Hub,? or .*`hf auth login`, or set HF_TOKEN")


def test_a_split_that_is_not_there_is_told(hub):
    hub.put("org/problems", rows("a"))
    given = Source(source="hub:org/problems", split="test")
    with pytest.raises(RFTError) as refused:
        read_source(given, "prepare.dev")
    wanted = 'prepare.dev.split: "test" is none of hub:org/problems; it has train'
    assert str(refused.value) == wanted


def test_a_config_that_is_not_there_or_has_to_be_chosen_is_told(hub):
    card = b"""---
configs:
- config_name: easy
  data_files: train.jsonl
- config_name: hard
  data_files: train.jsonl
---
"""
    hub.put("org/problems", rows("a") | {"README.md": card})
    assert read_source(source(config="hard"))["question"].to_list() == ["a"]
    for config, typed in (("hrd", '"hrd"'), (None, "null")):
        with pytest.raises(RFTError) as refused:
            read_source(source(config=config), "prepare.train.maths")
        wanted = f"prepare.train.maths.config: {typed} is none of hub:org/problems; it has"
        assert str(refused.value) == f"{wanted} easy, hard"


def test_a_card_without_front_matter_is_read_without_a_warning(hub, monkeypatch):
    logger, heard = logging.getLogger("huggingface_hub.repocard"), []
    logger.setLevel(logging.WARNING)
    monkeypatch.setattr(logger, "handle", heard.append)
    hub.put("org/problems", rows("a") | {"README.md": b"Problems.\n"})
    read_source(source())
    assert heard == []


def test_the_licence_is_what_the_card_says_at_that_commit(hub):
    first = hub.put("org/problems", rows("a"))
    assert licence_of(source()) is None
    hub.put("org/problems", {"README.md": b"---\nlicense: cc-by-4.0\n---\nProblems.\n"})
    assert licence_of(source()) == "cc-by-4.0"
    assert licence_of(source(revision=first)) is None


def test_a_gated_data_set_says_where_to_ask(hub):
    hub.put("org/problems", rows("a"), gated=True)
    with pytest.raises(RFTError, match=r"gated .* to ask for access\. Check .*`hf auth login`"):
        read_source(source())


def test_no_network_is_one_line(hub, monkeypatch):
    import datasets.config
    from huggingface_hub import constants

    hub.put("org/problems", rows("a"))
    hub.fault("datasets/org/problems", DROP, times=100)
    asked(hub, source(), r"cannot be read: http://127.0.0.1:\d+ cannot be reached")
    for module, name in ((constants, "ENDPOINT"), (datasets.config, "HF_ENDPOINT")):
        monkeypatch.setattr(module, name, "http://127.0.0.1:9")
    asked(hub, source(), r"cannot be read: http://127\.0\.0\.1:9 cannot be reached")
