"""A stranger's tokenizer is tried in a process that may be killed; the corpus has what never ends.

Run: python -m pytest tests/model_folders/test_trial.py
"""

import shutil

import pytest

from rft.bundled import bundled
from rft.errors import RFTError
from rft.model_folders import trial
from rft.processes.hook import Failure
from rft.prompt import open_prompter
from rft.recipe import Model, Prompt
from rft.runs import lock
from rft.runs.models import ModelRef, resolve


@pytest.fixture
def asked(monkeypatch):
    """Count the children that would be started, and have them end well."""
    lines: list[str] = []
    monkeypatch.setattr(trial, "attempt", lambda _command, line, **_: lines.append(line))
    monkeypatch.setattr(trial, "_tried", set())
    return lines


@pytest.fixture
def foreign(tmp_path):
    shutil.copytree(bundled("data") / "tiny", tmp_path / "model")
    (tmp_path / "run").mkdir()
    with lock.hold(tmp_path / "run" / "lock"):  # without it nothing is noted
        yield resolve(Model(path=str(tmp_path / "model")), tmp_path / "run")


def test_a_foreign_tokenizer_is_tried_once_a_run_and_prompt(asked, foreign, monkeypatch):
    open_prompter(foreign, Prompt())
    open_prompter(foreign, Prompt())
    monkeypatch.setattr(trial, "_tried", set())  # another process
    open_prompter(foreign, Prompt())
    assert len(asked) == 1
    open_prompter(foreign, Prompt(system="Be brief."))
    assert len(asked) == 2


def test_what_comes_with_us_and_what_a_run_made_itself_is_not_tried(asked, foreign):
    open_prompter(resolve(Model(path="bundled:tiny")), Prompt())
    open_prompter(ModelRef(foreign.path, "made by the run"), Prompt())
    assert asked == []


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (Failure("it ended with 2", "prompt.end: auto, but ..."), "prompt.end: auto, but ..."),
        (Failure("it ended with 1", "KeyError: 'x'"), r"does not work \(KeyError: 'x'\)"),
        (Failure("it was killed by signal 24"), "has no end: .* 10 seconds .* signal 24"),
        (Failure("it did not end within 120 seconds, and was killed"), "has no end: .*120 seconds"),
    ],
)
def test_how_a_trial_failed_is_one_line(foreign, monkeypatch, failure, line):
    monkeypatch.setattr(trial, "attempt", lambda *_, **__: failure)
    monkeypatch.setattr(trial, "_tried", set())
    for _ in range(2):  # what failed is tried again
        with pytest.raises(RFTError, match=line):
            open_prompter(foreign, Prompt())
