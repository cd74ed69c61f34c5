"""One character of a part redoes the stages that use it, and no others."""

import shutil
from pathlib import Path

import pytest

from pipelines import run as story
from pipelines.perform import STAGES, check_recipe
from rft.parts import in_use
from rft.recipe.loading import dump, load_recipe
from rft.recipe.parts import contents
from rft.runs.folder import Run
from tests.command import invoke, rft_here
from tests.part_files import ORDER, RULE, VERIFIER, recipe, write
from tests.small_run import RIGHT, WRONG, do, evaluate, prepare, sample, solved
from tests.small_run import grade as write_graded

ENGINE = """
from rft.recipe.engine import EngineKind
from rft.engines.transformers import open_for
ENGINES = {"same": EngineKind("the same again", "exact", local=True)}
"""
READER = "READERS = {'as_it_is': lambda text: text}\n"
TEMPLATE = "TEMPLATES = {'curt': '{question} Box it.'}\n"
OBJECTIVE = """
from rft.training.objectives.objective import Objective
class Twice(Objective):
    def loss(self, logps, entropies):
        return -2 * logps
OBJECTIVES = {"twice": Twice}
"""
PLUGIN = """
from rft.exploration.plugin import Plugin
class Halve(Plugin):
    def shape(self, advantages, tokens):
        return advantages / 2
PLUGINS = {"halve": Halve}
"""
TRAIN = "{source: 'bundled:arithmetic', split: train, gold_reader: as_it_is}"
UNTIL = "sample: {until: {accepted: 1, max: 4, wave: 2}}\n"
# The part, the recipe that uses it, and the stages whose own settings hang on it.
CASES = {
    "rule": (RULE, "filter: {shouting: {}}\n", {"filter"}),
    "rule-in-waves": (RULE, "filter: {shouting: {}}\n" + UNTIL, {"filter", "sample"}),
    "rule-unused": (RULE, "filter: {no_box: {}}\n", set()),
    "order": (ORDER, "select: {by: first_entropy}\n", {"grade", "select"}),
    "order-of-noise": (ORDER, "select: {noise_by: surest}\n", {"grade", "select"}),
    "order-in-where": (ORDER, "select: {where: first_entropy > 0.1}\n", {"grade", "select"}),
    "statistic-alone": (ORDER, "", {"grade"}),
    "verifier": (VERIFIER, "grade: {verifier: near}\n", {"prepare", "grade", "evaluate"}),
    "verifier-unused": (VERIFIER, "", set()),
    "reader": (READER, f"prepare: {{train: {TRAIN}}}\n", {"prepare"}),
    "template": (TEMPLATE, "prompt: {template: curt}\n", set()),
    "engine": (ENGINE, "engine: {kind: same}\n", {"sample", "evaluate"}),
    "objective": (OBJECTIVE, "sft: {objective: twice}\n", {"sft"}),
}
ROUNDS = ("prepare", "sample", "grade", "filter", "score", "select", "sft", "evaluate")


def settings_of(folder: Path, text: str, wanted: str, stages=ROUNDS) -> dict:
    write(folder, "mine.py", text)
    made = load_recipe(str(recipe(folder, f"parts: [mine.py]\n{wanted}")))
    check_recipe(made)
    run = Run(folder / "run", made)
    return {name: STAGES[name].settings(run, 1) for name in stages}


@pytest.mark.parametrize("case", CASES)
def test_a_character_changes_the_settings_of_the_stages_that_use_it(tmp_path, case):
    text, wanted, used = CASES[case]
    one = settings_of(tmp_path, text, wanted)
    other = settings_of(tmp_path, text + "#", wanted)
    assert {name for name in ROUNDS if one[name] != other[name]} == used


def test_a_template_changes_what_it_says_and_nothing_else(tmp_path):
    _, wanted, _ = CASES["template"]
    one = settings_of(tmp_path, TEMPLATE, wanted)
    other = settings_of(tmp_path, TEMPLATE.replace("Box", "box"), wanted)
    assert {name for name in ROUNDS if one[name] != other[name]} == {
        "prepare",
        "sample",
        "evaluate",
    }


def test_a_plug_in_changes_online_training(tmp_path):
    stages = ("prepare", "grpo", "evaluate")
    path, made = tmp_path / "online.yaml", []
    whole = dump(load_recipe("grpo-quickstart", ["grpo.plugins={}"]))
    whole = whole.replace("parts: {}", "parts: [mine.py]").replace(
        "plugins: {}", "plugins: {halve: {}}"
    )
    path.write_text(whole)
    for text in (PLUGIN, PLUGIN + "#"):
        write(tmp_path, "mine.py", text)
        run = Run(tmp_path / "run", load_recipe(str(path)))
        made.append({name: STAGES[name].settings(run, 1) for name in stages})
    assert {name for name in stages if made[0][name] != made[1][name]} == {"grpo"}


def test_a_recipe_without_parts_has_the_keys_that_it_had():
    plain = load_recipe("smoke")
    assert contents(plain.parts, "rules", plain.filter) == {}
    assert "parts" not in str([STAGES[name].settings(Run(Path("x"), plain), 1) for name in ROUNDS])


def test_a_changed_rule_redoes_filter_and_what_follows_in_a_real_run(tmp_path):
    write(tmp_path, "mine.py", RULE)
    path = recipe(tmp_path, "parts: [mine.py]\nfilter: {no_box: {}, shouting: {most: 1}}\n")
    run = Run(tmp_path / "run", load_recipe(str(path)))
    run.path.mkdir()
    from rft.runs.folder import save_recipe

    save_recipe(run)
    answers = {("test", "test", "t0"): solved(1, 4)}
    prepare(run, answers=answers)
    evaluate(run, 0, answers)
    samples = [("p0", RIGHT, "stop", 0.5), ("p1", "!!" + RIGHT, "stop", 0.2)]
    samples += [("p1", WRONG, "stop", 0.3)]
    sample(run, 1, samples)
    write_graded(run, 1, samples)
    do(run, "filter", 1)
    assert run.manifest("filter", 1)["counts"]["rejected"] == {"shouting": 1}
    for changed, state in ((RULE, "reuse"), (RULE.replace("> most", ">  most"), "redo")):
        write(tmp_path, "mine.py", changed)
        again = Run(run.path, load_recipe(str(path)))
        states = {each.stage: each.state for each in story.plan(again, 1) if each.round == 1}
        assert states["filter"] == state
        assert (states["sample"], states["grade"]) == ("reuse", "reuse")
    assert "  parts.mine.py: " in invoke("run", path, "--out", run.path, "--plan").output
    copies = sorted(path.name for path in (run.path / "parts").iterdir())
    rft_here("filter", run.path)
    assert len(copies) == 1, "a plan keeps nothing"


def test_the_run_goes_on_by_its_copy_when_the_file_is_gone(tmp_path):
    write(tmp_path / "there", "mine.py", RULE)
    path = recipe(tmp_path / "there", "parts: [mine.py]\nfilter: {no_box: {}, shouting: {}}\n")
    run = Run(tmp_path / "run", load_recipe(str(path)))
    run.path.mkdir()
    from rft.runs.folder import save_recipe

    save_recipe(run)
    samples = [("p0", RIGHT, "stop", 0.5), ("p0", "!!!!" + WRONG, "stop", 0.5)]
    prepare(run, answers={("test", "test", "t0"): solved(1, 4)})
    sample(run, 1, samples)
    write_graded(run, 1, samples)
    shutil.rmtree(tmp_path / "there")
    in_use.forget()
    rft_here("filter", run.path)
    assert run.manifest("filter", 1)["counts"]["rejected"] == {"shouting": 1}
