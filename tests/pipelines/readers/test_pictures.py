"""Figures of a run are files that hold the numbers of its report.

Run: python -m pytest tests/pipelines/readers/test_pictures.py
"""

import json
import sys
from pathlib import Path

import pytest

from pipelines.readers.pictures import write_pictures
from pipelines.readers.report_scores import pass_of
from pipelines.readers.tokens import view
from rft.recipe.loading import load_recipe
from rft.runs.folder import Run, save_recipe
from tests.command import invoke
from tests.token_run import make_run

NAMES = ["pass-at-k-test", "pass-by-round-test", "entropy-by-round", "tokens-position"]
NAMES += ["tokens-words", "tokens-classes", "tokens-strata", "samples-difficulty"]
NAMES += ["chosen-against-pool", "lengths", "funnel-1", "pass-rates-test"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return make_run(tmp_path_factory.mktemp("pictures") / "run", whole=True)


@pytest.fixture(scope="module")
def told(run, tmp_path_factory) -> list[str]:
    """Have the command write the figures of a run, and give the files that it names."""
    done = invoke("report", run.path, "--figures", tmp_path_factory.mktemp("figures"))
    assert done.exit_code == 0, done.output
    return done.stdout.split()


@pytest.fixture(scope="module")
def folder(told) -> Path:
    return Path(told[0]).parent


def data_of(folder, name):
    made = json.loads((folder / f"{name}.json").read_text())
    return [row for rows in made["datasets"].values() for row in rows]


def test_every_figure_is_there_as_svg_png_and_data(folder):
    there = {path.name for path in folder.iterdir()}
    assert there == {f"{name}.{kind}" for name in NAMES for kind in ("svg", "png", "json")}


def test_a_figure_has_the_numbers_and_intervals_of_the_report(run, folder):
    answers = run.read("evaluations", 1)
    wanted = pass_of(run, "test", 1, answers, 2)
    (row,) = [
        row
        for row in data_of(folder, "pass-at-k-test")
        if row["series"] == "model 1" and row["x"] == 2
    ]
    assert (row["y"], row["low"], row["high"]) == (wanted.value, wanted.low, wanted.high)
    told = view(run, 1).position
    drawn = data_of(folder, "tokens-position")
    assert [row["y"] for row in drawn] == told["value"].to_list()
    assert [row["low"] for row in drawn] == told["low"].to_list()


def test_axes_have_titles_with_their_units(folder):
    titles = (folder / "tokens-position.svg").read_text()
    for words in ("mean entropy of a token (nats)", "position of the token in its answer", "wrong"):
        assert f">{words}<" in titles


def test_the_command_names_what_it_writes(run, folder, told, tmp_path):
    assert sorted(told) == sorted(str(path) for path in folder.iterdir())
    (tmp_path / "file").touch()
    done = invoke("report", run.path, "--figures", tmp_path / "file")
    assert (done.exit_code, "not a folder" in done.output) == (2, True)


def test_without_the_extra_the_command_ends_in_one_line(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    done = invoke("report", run.path, "--figures", tmp_path / "out")
    assert done.exit_code == 2
    assert "pip install 'rft-rounds[report]'" in done.output
    assert not (tmp_path / "out").exists()


def test_an_online_run_is_drawn_by_step_and_one_that_did_nothing_says_so(tmp_path):
    run = Run(tmp_path / "run", load_recipe("grpo-quickstart"))
    work = run.work("grpo", 1)
    work.mkdir(parents=True)
    save_recipe(run)
    done = invoke("report", run.path, "--figures", tmp_path / "out")
    assert (done.exit_code, "nothing to draw yet" in done.output) == (2, True)
    rows = [{"step": step, "entropy": 1.0 / step, "reward": 0.5} for step in (1, 2)]
    (work / "dynamics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = {path.stem for path in write_pictures(run, tmp_path / "out", None)}
    assert names == {"entropy-by-step", "reward-by-step"}
    assert {row["y"] for row in data_of(tmp_path / "out", "entropy-by-step")} == {1.0, 0.5, None}
