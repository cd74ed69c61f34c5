"""Whoever reads a run, or an export of it, is told of the code that is not of this project."""

import hashlib
import shutil

import pytest

from pipelines.compare import arm_runs, note_recipes, recipe_of, rooted_arms
from pipelines.perform import check_recipe
from rft.parts import in_use
from rft.recipe.loading import load_arms, load_recipe, load_stored
from rft.runs.folder import Run, save_recipe
from tests.command import invoke
from tests.part_files import ORDER, RULE, recipe, write


@pytest.fixture
def run(finished, tmp_path) -> Run:
    """Take the finished run for one whose recipe brings a rule, which it rejects nothing by."""
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    file = write(tmp_path / "there", "mine.py", RULE)
    wanted = load_stored(path, [f"parts=[{file}]"])
    save_recipe(Run(path, wanted))
    in_use.forget()
    return Run(path, wanted)


def test_the_report_and_the_trail_name_the_file_its_content_and_what_it_brings(run):
    sha = hashlib.sha256(RULE.lstrip().encode()).hexdigest()
    for words in (["report", run.path], ["trace", run.path, "0"]):
        told = invoke(*words)
        assert told.exit_code == 0, told.output
        assert f"parts       mine.py (sha256 {sha[:12]}): rule shouting" in told.stdout


def test_an_export_has_the_code_and_its_card_names_it(run, tmp_path):
    told = invoke("export", run.path, "--to", tmp_path / "out")
    assert told.exit_code == 0, told.output
    sha = hashlib.sha256(RULE.lstrip().encode()).hexdigest()
    card = (tmp_path / "out" / "README.md").read_text()
    wanted = f"Code of its own, in `run/parts`: `mine.py` (sha256 `{sha[:12]}`: `rule shouting`)."
    assert wanted in card
    assert "shouting" not in card.partition("## Recipe")[2]
    (copy,) = (tmp_path / "out" / "run" / "parts").iterdir()
    assert copy.read_text() == RULE.lstrip()
    in_use.forget()
    again = load_recipe(str(tmp_path / "out" / "run" / "recipe.yaml"))
    assert again.parts == run.recipe.parts


def test_a_run_without_parts_says_nothing_of_them(finished):
    assert "parts  " not in invoke("report", finished).stdout


def test_arms_have_the_parts_of_the_recipe_and_each_run_gets_its_copy(tmp_path):
    write(tmp_path, "mine.py", ORDER)
    path = recipe(
        tmp_path,
        "parts: [mine.py]\n"
        "compare: {control: chance, seeds: [0, 1], arms: {chance: {select.by: random},"
        " first: {select.by: first_entropy}, sure: {select.by: surest}}}\n",
    )
    whole, arms = rooted_arms(*load_arms(str(path)))
    folder = tmp_path / "compared"
    folder.mkdir()
    runs = arm_runs(folder, whole, arms)
    for each in runs:
        recipe_of(each).parent.mkdir(parents=True, exist_ok=True)
    note_recipes(folder, whole, runs)
    (tmp_path / "mine.py").unlink()
    for each in runs:  # as its own process does it
        in_use.forget()
        made = load_recipe(str(recipe_of(each)))
        check_recipe(made)
        assert made.select.by == each.run.recipe.select.by
