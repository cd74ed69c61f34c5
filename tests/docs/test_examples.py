"""The examples of parts in docs/examples do what their pages say, each held against an oracle.

Run: python -m pytest tests/docs/test_examples.py
"""

import math

import polars as pl
import pytest

from filters import RULES
from pipelines.perform import check_recipe
from rft.grading.response_statistics import STATISTICS
from rft.grading.verifiers import open_verifier
from rft.recipe import Grade
from rft.recipe.loading import load_recipe
from rft.selection.narrow import looked_at
from rft.selection.ranking import rank
from tests.command import ROOT

EXAMPLES = ROOT / "docs" / "examples"


def load(*names: str, **settings: str):
    """Load the smoke recipe with examples."""
    paths = ", ".join(str(EXAMPLES / f"{name}.py") for name in names)
    wanted = [f"parts=[{paths}]", *(f"{key}={value}" for key, value in settings.items())]
    made = load_recipe("smoke", [each.replace("__", ".") for each in wanted])
    check_recipe(made)
    return made


def test_each_example_is_named_on_the_page_and_has_a_test_here():
    page = (ROOT / "docs" / "howto" / "own-parts.md").read_text()
    here = (ROOT / "tests" / "docs" / "test_examples.py").read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f"](../examples/{path.name})" in page
        assert f'load("{path.stem}"' in here or f'"{path.name}"' in here


@pytest.mark.parametrize(
    ("text", "language", "wrong"),
    [
        ("The sum of 3 and 4 is 7, so that the answer is \\boxed{7}.", "en", False),
        ("Zuerst addieren wir 3 und 4, dann ist die Summe 7. \\boxed{7}", "en", True),
        ("Zuerst addieren wir 3 und 4, dann ist die Summe 7. \\boxed{7}", "de", False),
        ("D'abord les deux nombres, puis on est \u00e0 7, donc la r\u00e9ponse est 7.", "en", True),
        ("Primero los dos n\u00fameros, entonces la suma es 7 por eso.", "en", True),
        ("3 + 4 = 7", "en", False),
        ("", "en", False),
        ("The first step is that we add, so that it is 7. Und das ist die Summe.", "en", False),
        ("THE AND OF IS", "de", True),
        ("Andromeda, Theist, Ofen, Iserlohn", "de", False),
    ],
)
def test_the_language_of_a_response_is_told_by_its_little_words(text, language, wrong):
    load("language", filter=f"{{wrong_language: {{language: {language}}}}}")
    rows = pl.DataFrame({"response": [text]})
    found = rows.select(RULES["wrong_language"](language=language)).to_series()
    assert found.to_list() == [wrong]


def test_a_language_that_there_is_none_of_is_refused_with_those_that_there_are():
    told = "filter.wrong_language: language is 'xx'; there are en, de, fr, es"
    with pytest.raises(Exception, match=told):
        load("language", filter="{wrong_language: {language: xx}}")


def test_early_entropy_is_the_mean_over_the_first_fifth_and_ranks_by_it():
    load("early_entropy", select__by="early_entropy")
    lists = [[float(k) for k in range(1, 11)], [5.0] * 4 + [9.0], [7.0], None]
    counts = [10, 4, 1, 4]
    rows = pl.DataFrame(
        {"entropies": lists, "num_response_tokens": counts},
        schema={"entropies": pl.List(pl.Float32), "num_response_tokens": pl.Int32},
    )
    values = rows.select(STATISTICS["early_entropy"]()).to_series().to_list()
    by_hand = [
        None if each is None else sum(each[: math.ceil(0.2 * n)]) / math.ceil(0.2 * n)
        for each, n in zip(lists, counts, strict=True)
    ]
    assert values == by_hand == [1.5, 5.0, 7.0, None]
    kept = pl.DataFrame(
        {
            "rollout_id": ["a", "b", "c", "d"],
            "problem_id": ["p"] * 4,
            "verdict": ["correct"] * 4,
            "stats_origin": ["sampler"] * 4,
            "early_entropy": values,
            "mean_entropy": [3.0, 5.0, 100.0, 1.0],
        }
    )
    for by, order in (("early_entropy", "cbad"), ("early_share", "bacd")):
        pool = looked_at(kept, load("early_entropy", select__by=by).select, seed=0)
        ranked, unranked = rank(pool, by)
        assert ("".join("?abcd"[name] for name in ranked["id number"]), unranked) == (order, 1)


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        ("2.5 mol/L", "2.5 mol L^{-1}", "correct"),
        ("2.5 mol/L", "2.5\\times 10^{-3} mol/mL", "correct"),
        ("2.5 mol/L", "2.5 \u00b5mol / \u00b5L", "correct"),
        ("2.5 mol/L", "2.6 M", "wrong"),
        ("-285.8 kJ/mol", "-285.8 kJ per mol", "correct"),
        ("-285.8 kJ/mol", "285.8 kJ/mol", "wrong"),
        ("-285.8 kJ/mol", "-68.3 kcal/mol", "correct"),
        ("60 s", "1 min", "correct"),
        ("60 s", "1 m", "wrong"),
        ("5 mm", "0.5 cm", "correct"),
        ("22.4 L", "22.4 dm^3", "correct"),
        ("298 K", "298", "wrong"),
        ("7", "7", "correct"),
        ("7", "about 7", "unparseable"),
        ("7", "7" * 400, "unparseable"),
        ("water", "water", "bad_gold"),
        ("1 g", "1 g" + " g" * 3000, "wrong"),
    ],
)
def test_quantities_are_compared_in_base_units(gold, answer, verdict):
    load("chemistry", grade__verifier="chemistry")
    with open_verifier(Grade(verifier={"chemistry": {}})) as verifier:
        assert verifier.verdicts([(gold, answer)])[gold, answer].verdict == verdict


@pytest.mark.slow
def test_dr_grpo_is_what_trl_has_by_that_name(tmp_path):
    from tests.grpo_training import learn

    load("dr_grpo")
    ours = learn(tmp_path / "ours", {"dr_grpo": {"longest": 24}}, scale="none")
    trl = learn(tmp_path / "trl", loss="dr_grpo", scale="none")
    plain = learn(tmp_path / "plain")
    assert ours.grads[0].norm() > 0
    assert (ours.grads[0] - trl.grads[0]).norm() < 1e-4 * trl.grads[0].norm()
    assert (ours.grads[0] - plain.grads[0]).norm() > 0.1 * plain.grads[0].norm()


def test_dr_grpo_needs_the_loss_that_it_undoes():
    path = EXAMPLES / "dr_grpo.py"
    wanted = [f"parts=[{path}]", "grpo.plugins={dr_grpo: {longest: 24}}", "grpo.loss=dapo"]
    with pytest.raises(Exception, match=r"grpo.plugins.dr_grpo: grpo.loss is dapo, which divides"):
        check_recipe(load_recipe("grpo-quickstart", wanted))
