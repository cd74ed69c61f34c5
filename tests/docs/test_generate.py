"""The reference has all that the code has, with a meaning for each; the site loads nothing.

Run: python -m pytest tests/docs
"""

import re

import pytest
from pydantic import BaseModel

from docs import generate
from docs.generate import FETCHED, TOP, for_site, generated
from docs.keys import kind_of, meanings, sections
from docs.pieces import prose, table, text_of
from filters import RULES
from pipelines.perform import STAGES
from rft.cli import cli
from rft.exploration import PLUGINS
from rft.glossary import TERMS
from rft.problems.benchmarks import BENCHMARKS
from rft.recipe.engine import ENGINES
from rft.recipe.section import Count, Inside, Section
from rft.recipe.selection import ORDERS
from rft.runs.columns import COLUMNS, ROWS
from rft.runs.schemas import TABLES
from rft.scheduling.targets import TARGETS
from rft.training.objectives import OBJECTIVES
from tests.command import ROOT

PAGES = generated()


def rows(page: str, under: str = "") -> dict[str, list[str]]:
    """Read the tables of a page, or of what stands below one of its headings: name -> cells."""
    if under:
        page = page.partition(f"\n## {under}\n")[2].partition("\n## ")[0]
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return {row[0].strip("`*"): row[1:] for row in cells}


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("stages", STAGES),
        ("rules", RULES),
        ("orders", ORDERS),
        ("engines", ENGINES),
        ("schedulers", TARGETS),
        ("benchmarks", BENCHMARKS),
    ],
)
def test_each_thing_that_has_a_name_has_a_row_that_says_what_it_is(page, names):
    told = rows(PAGES[f"reference/{page}.md"])
    assert list(told)[2:] == list(names)
    for name in names:
        assert len(told[name][0]) > 3, f"{page}: {name} says nothing"


def test_each_command_has_its_help():
    page = PAGES["reference/commands.md"]
    for name, command in cli.commands.items():
        assert (f"\n## rft {name}\n" in page) != command.hidden
    assert page.count("Usage: rft ") == page.count("\n## ")


@pytest.mark.parametrize("model", sections(), ids=lambda model: model.__name__)
def test_each_key_of_a_recipe_has_a_type_a_default_and_a_meaning(model):
    told = rows(PAGES["reference/recipe.md"], generate.title_of(model))
    assert set(model.model_fields) <= set(told)
    for name in model.model_fields:
        kind, default, meaning = told[name]
        assert kind != ""
        assert default != ""
        assert len(meaning) > 8, f"{model.__name__}.{name} means nothing"


@pytest.mark.parametrize(
    ("page", "kinds"),
    [("plugins", PLUGINS), ("objectives", OBJECTIVES)],
    ids=["plugins", "objectives"],
)
def test_each_method_has_its_formula_its_source_and_its_parameters(page, kinds):
    text = PAGES[f"reference/{page}.md"]
    for name, kind in kinds.items():
        part = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert f"arxiv.org/abs/{kind.arxiv})" in part or not kind.arxiv
        assert prose(text_of(kind)) in part
        for key in kind.model_fields:
            assert len(rows(text, name)[key][-1]) > 8, f"{name}.{key} means nothing"


@pytest.mark.parametrize("name", TABLES)
def test_each_column_of_a_table_is_told(name):
    told = rows(PAGES["reference/tables.md"], name)
    assert list(told)[2:] == TABLES[name].names
    for kind, null, holds in list(told.values())[2:]:
        assert kind
        assert null in ("yes", "no")
        assert holds.endswith(".")


def test_no_meaning_is_of_a_table_or_column_that_is_gone():
    assert list(ROWS) == list(TABLES)
    there = {name for schema in TABLES.values() for name in schema.names}
    for name in COLUMNS:
        table, _, column = name.rpartition(".")
        assert column in (TABLES[table].names if table else there), f"{name} is no column"


def test_each_bundled_recipe_has_its_header():
    for path in (ROOT / "configs").glob("*.yaml"):
        assert f"\n## {path.stem}\n" in PAGES["reference/recipes.md"]


def test_each_term_is_in_the_glossary():
    told = rows(PAGES["glossary.md"])
    assert {term: [text] for term, text in TERMS.items()} == {
        name: cells for name, cells in told.items() if name not in ("term", "---")
    }


def test_a_key_is_told_with_its_bounds_and_its_choices():
    assert kind_of(Count) == "whole number from 1 to 1,000,000,000"
    assert kind_of(Inside | None) == "number above 0 below 1 or `null`"


def test_what_is_written_below_a_field_is_read_with_that_of_the_classes_it_comes_from():
    class Inner(Section):
        """One."""

        one: int = 1
        """The first."""
        silent: int = 0

    class Outer(Inner):
        """Two."""

        two: int
        """The second,
        in two lines."""

    assert issubclass(Outer, BaseModel)
    assert meanings(Outer) == {"one": "The first.", "two": "The second,\nin two lines."}


def test_signs_of_a_formula_stay_signs_and_code_stays_code():
    assert prose("A_t <= |x| * y, `a_b`\n\n    x_1\n    x_2") == (
        "A\\_t \\<= \\|x\\| \\* y, `a_b`\n\n```text\nx_1\nx_2\n```"
    )
    assert table("a, b", [["x | y", "two\nlines"]]).splitlines()[2] == "| x \\| y | two lines |"


def test_links_between_files_become_links_of_the_site_and_code_loses_its_link():
    text = "[a](../../GPU.md#x) [b](own-data.md) [c](../../rft/seeds.py) [d](https://a.b) [e](#f)"
    assert for_site(text, "docs/howto/hub.md") == (
        "[a](gpu.md#x) [b](own-data.md) c [d](https://a.b) [e](#f)"
    )
    assert for_site("[a](docs/howto/hub.md)", "GPU.md") == "[a](hub.md)"
    assert set(TOP) <= {path.name for path in ROOT.glob("*.md")}


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://cdn.example/x.js">',
        "<link rel=stylesheet href=//fonts.example/css>",
        '<img alt="a" src="http://a.b/c.png">',
    ],
)
def test_a_page_that_would_load_something_from_elsewhere_is_seen(tag):
    assert FETCHED.search(tag)
    assert not FETCHED.search('<script src="../assets/x.js"></script><a href="https://a.b">b</a>')


@pytest.mark.parametrize("place", PAGES)
def test_a_generated_page_in_the_repository_is_that_of_the_code(place):
    there = (ROOT / "docs" / place).read_text()
    assert there == PAGES[place], "out of date: `make docs` writes it anew"
