"""An engine is a row and a file: whole or refused by these tests, and then sampled with.

Run: python -m pytest tests/engines/test_kinds.py
"""

import ast
import re
import sys
import tomllib
from pathlib import Path
from string import Formatter

import pytest
from packaging.requirements import Requirement

from docs import generate
from pipelines.perform import STAGES
from rft import engines
from rft.processes.stopping import Stop
from rft.recipe import EngineSettings
from rft.recipe.engine import ENGINES, EngineKind
from rft.recipe.loading import load_recipe
from rft.runs import stages
from rft.runs.folder import Run, save_recipe
from rft.runs.stages import Job
from tests import small_run
from tests.command import ROOT


def kinds_with(function: str) -> set[str]:
    """List the engines' files that have a function, without importing what they import."""
    return {
        path.stem
        for path in (ROOT / "rft" / "engines").glob("*.py")
        if path.stem != "__init__"
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == function
    }


def test_every_row_has_its_file_and_every_engine_its_row():
    assert kinds_with("open_for") == set(ENGINES)
    assert kinds_with("identity") == {name for name, kind in ENGINES.items() if kind.identity_keys}


def test_a_recipe_may_name_every_kind_of_the_table_and_no_other():
    for kind, row in ENGINES.items():
        needed = dict.fromkeys(row.needs, "http://localhost:8000/v1")
        assert EngineSettings(kind=kind, **needed).traits is row
    with pytest.raises(ValueError, match="should be 'transformers', 'vllm', 'server' or 'replay'"):
        EngineSettings(kind="transformer")


@pytest.mark.parametrize("kind", ENGINES.values(), ids=ENGINES)
def test_a_row_names_only_what_is_there(kind):
    fields = EngineSettings.model_fields.keys()
    assert set(kind.keys) <= fields
    assert set(kind.needs) | set(kind.identity_keys) <= set(kind.keys)
    assert {name for _, name, _, _ in Formatter().parse(kind.place) if name} <= set(kind.keys)
    assert kind.local != bool(kind.place), "it computes here, or the row says where"
    assert not kind.claims or kind.local, "only what computes here takes memory here"


@pytest.mark.parametrize("kind", ENGINES.values(), ids=ENGINES)
def test_an_extra_of_ours_brings_the_package(kind):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    brought = extras["optional-dependencies"].get(kind.extra, [])
    assert (kind.package is None) == (kind.extra == "") == (kind.parts == ())
    assert kind.package in {None, *(Requirement(text).name for text in brought)}


@pytest.mark.parametrize("name", ENGINES)
def test_the_reference_has_a_line_for_it(name):
    (line,) = re.findall(rf"(?m)^\| `{name}` \|.*$", generate.engines())
    kind = ENGINES[name]
    assert not kind.extra or f"pip install 'rft-rounds[{kind.extra}]'" in line
    assert {"exact": "exact", "estimated": "lower bounds", "recorded": "as recorded"}[
        kind.statistics
    ] in line


# --- an engine that somebody adds ---

ECHO = '''
"""Answer every question with 7."""

from rft.engines import Finished


def open_for(plan, seed):
    return Echo(plan.prompts)


class Echo:
    def __init__(self, prompter):
        self.prompter = prompter

    def units(self, requests):
        return [[request] for request in requests]

    def sample(self, feed, sampling, *, check):
        while (unit := feed.take(wait=True)) is not None:
            check()
            yield [self.answer(request) for request in unit]

    def figures(self):
        return {"echoes": True}

    def answer(self, request):
        text = "so \\\\boxed{7}"
        ids = self.prompter.encode(text)
        zeros = [0.0] * len(ids)
        ones = [1] * len(ids)
        return Finished(request, text, "stop", ids, zeros, zeros, ones, "engine", request.seed)
'''


@pytest.fixture
def echo(tmp_path, monkeypatch):
    """Add an engine for a while, as one adds it for good: a row and a file."""
    (tmp_path / "echo.py").write_text(ECHO)
    monkeypatch.setattr(engines, "__path__", [*engines.__path__, str(tmp_path)])
    monkeypatch.setitem(ENGINES, "echo", EngineKind("the echo", "exact", place="echo"))
    yield "echo"
    sys.modules.pop("rft.engines.echo", None)


def run_with(kind: str, path: Path) -> Run:
    """Begin a run of the smoke recipe with an engine that its schema does not know."""
    recipe = load_recipe("smoke")
    engine = recipe.engine.model_copy(update={"kind": kind})
    run = Run(path, recipe.model_copy(update={"engine": engine}))
    path.mkdir()
    save_recipe(run)
    return run


def test_an_engine_of_a_row_and_a_file_samples_a_round(echo, tmp_path):
    run = run_with(echo, tmp_path / "run")
    answers = {("test", "test", "t0"): small_run.solved(1, 4)}
    small_run.prepare(run, train=("p0", "p1", "p2"), answers=answers)
    said = []
    stages.perform(Job(run, STAGES["sample"], 1, Stop(), said.append, lambda _: []))
    rollouts = run.read("rollouts", 1)
    assert len(rollouts) == 3 * run.recipe.sample.n
    assert set(rollouts["completion"]) == {"so \\boxed{7}"}
    assert set(rollouts["stats_origin"]) == {"engine"}
    manifest = run.manifest("sample", 1)
    assert manifest["settings"]["engine"] == {"kind": "echo"}
    assert any("preflight" in line for line in said), "what is drawn is probed first"
