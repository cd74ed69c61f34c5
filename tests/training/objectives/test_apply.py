"""An objective is read from a recipe as a word or with parameters, and changes no older key."""

import pytest

from pipelines import sft
from pipelines.perform import check_recipe
from rft.errors import RFTError
from rft.recipe import Recipe
from rft.recipe.loading import dump, load_recipe
from rft.runs.folder import Run
from rft.training.objectives import OBJECTIVES
from rft.training.objectives.apply import objective_of
from tests.recipe_files import refusal


def recipe_with(*overrides: str) -> Recipe:
    return load_recipe("smoke", list(overrides))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_word_is_the_method_with_its_defaults(name):
    word, mapping = recipe_with(f"sft.objective={name}"), recipe_with(f"sft.objective.{name}={{}}")
    assert word == mapping == Recipe.model_validate(word.model_dump(mode="json"))
    assert dump(word) == dump(mapping)
    assert objective_of(word.sft) == OBJECTIVES[name]()
    check_recipe(word)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sft.objective=gen", 'sft.objective: there is no "gen"; did you mean "gem"?'),
        ("sft.objective={gem: {bet: 0.7}}", "sft.objective.gem.bet: unknown"),
        ("sft.objective={gem: {beta: 1.0}}", "sft.objective.gem.beta: 1.0: input should be less"),
        ("sft.objective={dft: {beta: 0.5}}", "sft.objective.dft.beta: unknown; it has no param"),
        ("sft.args={loss_type: dft}", "sft.args.loss_type: set sft.objective instead"),
    ],
)
def test_what_is_no_objective_is_refused_before_anything_is_done(override, words):
    with pytest.raises(RFTError) as refused:
        check_recipe(recipe_with(override))
    assert words in str(refused.value)


def test_smoothed_labels_go_with_plain_likelihood_alone():
    smooth = "sft.args={label_smoothing_factor: 0.1}"
    check_recipe(recipe_with(smooth))
    with pytest.raises(RFTError, match=r"label_smoothing_factor: .*sft\.objective is gem"):
        check_recipe(recipe_with(smooth, "sft.objective=gem"))


@pytest.mark.parametrize("override", ["sft.objective={}", "sft.objective={gem: {}, dft: {}}"])
def test_one_objective_is_minimised_and_no_other_number_of_them(override):
    assert "sft.objective" in refusal(override)


def test_plain_likelihood_is_in_no_key_and_any_other_with_its_parameters(tmp_path):
    plain = sft.settings(Run(tmp_path, recipe_with()), 1)["sft"]
    assert "objective" not in plain
    assert sft.settings(Run(tmp_path, recipe_with("sft.objective=nll")), 1)["sft"] == plain
    other = sft.settings(Run(tmp_path, recipe_with("sft.objective=gem")), 1)["sft"]
    assert other == plain | {"objective": {"gem": {"beta": 0.7}}}
