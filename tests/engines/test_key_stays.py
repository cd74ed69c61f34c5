"""A server that repeats the key in its refusals, in every spelling, has it written nowhere.

Run: python -m pytest tests/engines/test_key_stays.py
"""

import base64
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest

from rft.runs.folder import open_run
from tests.command import invoke
from tests.faults.replies import serve as serve_replies

KEY = "sk-never/tell+anybody=0123456789"
ECHO = {"status": 401, "echo": True}


def traces(text: str) -> list[str]:
    """List what of the key a text gives away."""
    basic = base64.b64encode(f"user:{KEY}".encode()).decode()
    parts = [KEY, KEY[:12], KEY[8:20], KEY[-10:], quote(KEY, safe=""), basic[8:40]]
    return [part for part in parts if part in text]


def everything(folder: Path) -> str:
    return "\n".join(
        path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file()
    )


@pytest.mark.usefixtures("stages_here")
@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "MY_CREDENTIAL"])
@pytest.mark.parametrize("replies", [[ECHO], ["good", ECHO], ["good", "good", "good", ECHO]])
def test_no_line_no_event_no_file_and_no_notice_holds_the_key(
    tmp_path, monkeypatch, variable, replies
):
    monkeypatch.setattr("rft.foreign_text._kept", set())
    monkeypatch.setenv(variable, KEY)
    told = tmp_path / "told.jsonl"
    with serve_replies(replies) as url:
        done = invoke(
            *("run", "smoke", "--out", tmp_path / "run", "--set", "rounds=0"),
            *("--set", f"engine={{kind: server, url: '{url}', served_model: tiny}}"),
            *("--set", f"engine.args={{retries: 0, api_key_env: {variable}}}"),
            *("--set", f"notify=cat >> {told}; echo ${variable} >&2; exit 1"),
        )
    assert done.exit_code == 2
    assert "401" in done.stderr
    assert "notify: the command failed" in done.stderr
    events = open_run(tmp_path / "run").events()
    assert any("401" in str(event.get("text")) for event in events)
    assert "401" in told.read_text()
    for text in (done.output, told.read_text(), everything(tmp_path)):
        assert traces(text) == []


def test_an_export_holds_no_key_that_a_recipe_of_old_had_in_it(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", KEY)
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    recipe = run / "recipe.yaml"
    recipe.write_text(
        recipe.read_text().replace("args: {batch: 8}", f"args: {{batch: 8, x: '{KEY}'}}")
    )
    assert KEY in recipe.read_text()
    done = invoke("export", run, "--to", tmp_path / "export")
    assert done.exit_code == 0, done.output
    assert traces(done.output + everything(tmp_path / "export")) == []
