"""Parts from an installed package: found by its entry point, known by name, version and content."""

import sys

import pytest

from filters import RULES
from rft.errors import RFTError
from rft.parts import in_use
from rft.parts.sources import from_package
from rft.recipe.loading import dump, load_recipe
from tests.part_files import RULE, recipe


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a package that brings a rule, as pip would."""
    site = tmp_path / "site"
    about = site / "our_rules-1.2.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: our-rules\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text("[rft.parts]\nours = our_rules.loud\n")
    (site / "our_rules").mkdir()
    (site / "our_rules" / "__init__.py").write_text("")
    (site / "our_rules" / "helper.py").write_text("MARK = '!'\n")
    (site / "our_rules" / "loud.py").write_text(
        RULE.replace('"!", literal', "MARK, literal").replace(
            "import polars as pl\n", "import polars as pl\nfrom our_rules.helper import MARK\n"
        )
    )
    monkeypatch.syspath_prepend(site)
    yield site
    for name in [name for name in sys.modules if name.startswith("our_rules")]:
        del sys.modules[name]


@pytest.mark.usefixtures("installed")
def test_a_package_is_named_by_its_entry_point_and_noted_with_its_version(tmp_path):
    made = load_recipe(str(recipe(tmp_path, "parts: [ours]\nfilter: {shouting: {}}\n")))
    part = made.parts["ours"]
    assert (part.version, list(part.defines["rules"])) == ("1.2", ["shouting"])
    assert RULES["shouting"](most=1).meta.root_names() == ["response"]
    assert not list(tmp_path.glob("**/parts")), "nothing is copied of a package"


def test_any_python_file_of_it_counts_whatever_the_version_says(installed):
    before = from_package("ours").sha256
    assert from_package("ours").sha256 == before
    (installed / "our_rules" / "helper.py").write_text("MARK = '?'\n")
    assert from_package("ours").sha256 != before


def test_a_run_does_not_go_on_with_another_content_unasked(installed, tmp_path):
    made = load_recipe(str(recipe(tmp_path, "parts: [ours]\n")))
    path = tmp_path / "noted.yaml"
    path.write_text(dump(made))
    in_use.forget()
    (installed / "our_rules" / "helper.py").write_text("MARK = '?'\n")
    again = load_recipe(str(path))
    told = "parts.ours: package our-rules 1.2 is not what the run has used"
    with pytest.raises(RFTError, match=told):
        in_use.run(again.parts)


def test_a_fault_in_a_package_names_the_file_in_it(installed, tmp_path):
    (installed / "our_rules" / "helper.py").write_text("\nMARK = 1 / 0\n")
    told = "package our-rules 1.2 our_rules/helper.py:2: ZeroDivisionError"
    with pytest.raises(RFTError, match=told):
        load_recipe(str(recipe(tmp_path, "parts: [ours]\n")))


def test_a_package_that_is_half_gone_is_told_of(installed, tmp_path):
    import shutil

    shutil.rmtree(installed / "our_rules")
    with pytest.raises(RFTError, match=r"its module our_rules.loud is not there; install it again"):
        load_recipe(str(recipe(tmp_path, "parts: [ours]\n")))
    with pytest.raises(RFTError, match=r"no package brings .our.; did you mean .ours."):
        load_recipe(str(recipe(tmp_path, "parts: [our]\n")))
