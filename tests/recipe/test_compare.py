"""The recipe's `compare` section: which arms there can be, and what may be claimed of them."""

import json

import pytest

from rft.errors import RFTError
from rft.recipe.loading import dump, load_arms, load_recipe
from rft.runs.atomic import atomic_text


def comparing(path, **changes):
    """Write a recipe with two arms, and what is changed of its section."""
    section = {
        "seeds": [0, 1],
        "control": "rules",
        "arms": {"rules": {}, "entropy": {"select.by": "entropy", "filter": {}}},
        **changes,
    }
    lines = "\n".join(f"  {name}: {value!r}".replace("'", '"') for name, value in section.items())
    atomic_text(path / "arms.yaml", f"extends: smoke\ncompare:\n{lines}\n")
    return str(path / "arms.yaml")


def test_an_arm_is_the_recipe_with_its_changes(tmp_path):
    whole, arms = load_arms(comparing(tmp_path), ["select.budget=7"])
    assert whole.compare.seeds == (0, 1)
    assert list(arms) == ["rules", "entropy"]
    assert arms["rules"] == load_recipe("smoke", ["select.budget=7"])
    assert (arms["entropy"].select.by, arms["entropy"].filter) == ("entropy", {})
    assert all(recipe.compare is None for recipe in arms.values())


def test_what_is_compared_can_be_read_back_from_its_folder(tmp_path):
    whole, arms = load_arms(comparing(tmp_path))
    atomic_text(tmp_path / "compare.yaml", dump(whole))
    assert load_arms(str(tmp_path / "compare.yaml")) == (whole, arms)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"control": "rule"}, "control is 'rule', which is no arm; did you mean \"rules\"?"),
        ({"seeds": [1, 1]}, "compare.seeds: it is [1, 1]; list each seed once"),
        ({"seeds": []}, "compare.seeds"),
        ({"arms": {"rules": {}}}, "compare.arms"),
        ({"arms": {"rules": {}, "base": {}}}, "and not base"),
        ({"arms": {"rules": {}, "../x": {}}}, "letters, digits"),
        ({"arms": {"rules": {}, "Rules": {}}}, "capital letters only"),
        ({"arms": {"rules": {}, "b": {"seed": 3}}}, "the arm b sets seed, which is no part"),
        ({"arms": {"rules": {}, "b": {"compare.seeds": [1]}}}, "the arm b sets compare.seeds"),
        (
            {"arms": {"rules": {}, "b": {"select.bye": "x"}}},
            'compare.arms.b: select.bye="x": unknown key',
        ),
        (
            {"arms": {"rules": {}, "b": {"select.by": "x"}}},
            'compare.arms.b: select.by="x": select.by is',
        ),
        ({"claims": {"one": {"arm": "entropie"}}}, "claims.one.arm is 'entropie'"),
        ({"claims": {"one": {"arm": "rules"}}}, "claims.one holds rules against itself"),
        ({"claims": {"one": {"arm": "entropy", "metric": "loss"}}}, "pass@K or maj@K"),
        ({"claims": {"one": {"arm": "entropy", "direction": "up"}}}, "higher"),
    ],
)
def test_arms_that_cannot_be_made_are_refused_in_one_line(tmp_path, changes, said):
    with pytest.raises(RFTError) as error:
        load_arms(comparing(tmp_path, **changes))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_recipe_without_arms_is_told_which_has_some():
    with pytest.raises(RFTError, match=r"smoke: it has no section `compare`; .*table3-mini"):
        load_arms("smoke")


def test_a_value_of_an_arm_is_taken_to_the_letter(tmp_path):
    template = '{question}\u2028 "\U0001f600\\n" # no: comment\t'
    arms = {"rules": None, "b": {"prompt.template": template, "sft.learning_rate": 1e-05}}
    (tmp_path / "arms.yaml").write_text(
        json.dumps(
            {"extends": "smoke", "compare": {"seeds": [0], "control": "rules", "arms": arms}}
        )
        .replace("\\ud83d\\ude00", "\\U0001f600")
        .replace("1e-05", "0.00001")
    )
    _, made = load_arms(str(tmp_path / "arms.yaml"))
    assert made["b"].prompt.template == template
    assert made["b"].sft.learning_rate == 1e-05
    assert made["rules"] == load_recipe("smoke")


def test_an_arm_may_bring_a_section_that_the_recipe_has_not(tmp_path):
    arms = {"rules": {}, "bounded": {"stop": {"hours": 2}}}
    _, made = load_arms(comparing(tmp_path, arms=arms))
    assert made["bounded"].stop.hours == 2
    assert made["rules"].stop is None
