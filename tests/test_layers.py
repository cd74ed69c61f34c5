"""Imports go one way, heavy packages wait until they are needed, and no name hides the library's.

    rft.cli -> pipelines.* -> filters.* (polars only),  pipelines.* -> rft.*

Run: python -m pytest tests/test_layers.py
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import ROOT

PACKAGES = ("rft", "pipelines", "filters")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
HEAVY = {
    *("torch", "vllm", "transformers", "trl", "datasets", "ray", "peft"),
    *("math_verify", "sympy"),
}
# The modules that need them all the time; they are imported where a model is loaded.
LOADED_LATE = (
    "rft/engines/grouped_attention.py",
    "rft/engines/slots.py",
    "rft/engines/drawn.py",
    "rft/engines/transformers.py",
    "rft/training/grpo_trainer.py",
)
# Too slow for `rft --help`, which answers in 0.3 seconds.
SLOW = {*HEAVY, "polars", "pyarrow", "pydantic", "numpy", "pandas", "yaml", "rich", "altair"}


@dataclass(frozen=True)
class Import:
    """A module that is imported, and whether that happens as soon as the importing one is."""

    name: str
    at_once: bool


def imports_of(path: Path) -> list[Import]:
    """List what a file imports, types aside: those are never executed."""
    return list(walk(ast.parse(path.read_text()), at_once=True))


def walk(node: ast.AST, *, at_once: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(each.name, at_once) for each in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports name their package"
        # `from pipelines import grade` imports the module pipelines.grade.
        yield from (Import(f"{node.module}.{each.name}", at_once) for each in node.names)
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for below in node.orelse:
            yield from walk(below, at_once=at_once)
    else:
        deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for below in ast.iter_child_nodes(node):
            yield from walk(below, at_once=at_once and not deferred)


def package_of(name: str) -> str:
    return name.partition(".")[0]


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def is_stage(path: Path) -> bool:
    """Say whether a module of pipelines is a stage: whether it assigns STAGE."""
    return any(
        isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "STAGE"
        for node in ast.parse(path.read_text()).body
    )


def is_command_line(path: Path) -> bool:
    """Say whether a file belongs to the one part of rft that looks into stages and rules."""
    return label(path).startswith("rft/cli/")


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_reader_of_imports_knows_what_runs_at_once():
    source = """
import os, a.b
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import types_only
try:
    from c import d
except ImportError:
    pass
class K:
    import inside_a_class
def f():
    import later
    def g():
        from much import later as it
"""
    found = {(each.name, each.at_once) for each in walk(ast.parse(source), at_once=True)}
    assert found == {
        ("os", True),
        ("a.b", True),
        ("typing.TYPE_CHECKING", True),
        ("c.d", True),
        ("inside_a_class", True),
        ("later", False),
        ("much.later", False),
    }


@pytest.mark.parametrize("path", FILES, ids=label)
def test_imports_keep_their_direction(path):
    package = package_of(label(path).replace("/", "."))
    for each in imports_of(path):
        target = package_of(each.name)
        if package == "filters":
            allowed = {"filters", "polars", *sys.stdlib_module_names}
            assert target in allowed, f"{label(path)}: a rule imports {each.name}"
        elif package == "rft" and target in ("pipelines", "filters"):
            assert is_command_line(path), f"{label(path)} imports {each.name}"
            assert not each.at_once, f"{label(path)} imports {each.name} outside a function"
        if f"{each.name}.".startswith("rft.cli."):
            known = is_command_line(path) or label(path) == "rft/__main__.py"
            assert known, f"{label(path)} imports {each.name}"
        assert target not in ("tests", "data", "configs"), f"{label(path)} imports {each.name}"


def test_stages_do_not_know_each_other():
    stages = [path for path in (ROOT / "pipelines").glob("*.py") if is_stage(path)]
    names = {f"pipelines.{path.stem}" for path in stages}
    assert len(names) >= 8, "where have the stages gone?"
    for path in stages:
        known = [each.name for each in imports_of(path) if each.name.startswith("pipelines")]
        assert not known, f"{label(path)} imports {known}"
    walked = {each.name for each in imports_of(ROOT / "pipelines" / "run.py") if each.at_once}
    assert names <= walked, "pipelines/run.py does not walk every stage"


def test_modules_of_commands_do_not_know_each_other():
    modules = (
        "loop",
        "stages",
        "rows",
        "compare",
        "looking",
        "runs",
        "schedule",
        "parts",
        "upkeep",
    )
    names = {f"rft.cli.{name}" for name in modules}
    listed = {each.name for each in imports_of(ROOT / "rft" / "cli" / "__init__.py")}
    assert names == {name for name in listed if name.count(".") == 2}
    for path in (ROOT / "rft" / "cli").glob("*.py"):
        if path.name != "__init__.py":
            known = [each.name for each in imports_of(path) if each.name.startswith((*names,))]
            assert not known, f"{label(path)} imports {known}"


@pytest.mark.parametrize("path", FILES, ids=label)
def test_heavy_packages_are_imported_where_they_are_used(path):
    if label(path) in LOADED_LATE:
        return
    at_once = {each.name for each in imports_of(path) if each.at_once}
    assert not {name for name in at_once if package_of(name) in HEAVY}
    for late in LOADED_LATE:
        module = late.removesuffix(".py").replace("/", ".")
        assert not any(name.startswith(module) for name in at_once), f"{module} loads torch"


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_every_module_of_a_package_loads_nothing_heavy(package):
    names = [
        label(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for path in FILES
        if label(path).startswith(f"{package}/") and path.name != "__main__.py"
        if label(path) not in LOADED_LATE
    ]
    code = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\n"
    loaded = set(run_python(code + "print(*sys.modules)").split())
    assert set(names) <= loaded
    assert not HEAVY & loaded


def test_help_loads_the_command_line_and_little_else():
    code = """
import sys
from click.testing import CliRunner
from rft.cli import cli
for name in ["", *cli.commands]:
    done = CliRunner().invoke(cli, [*name.split(), "--help"])
    assert done.exit_code == 0 and done.stdout.startswith("Usage"), name
print(*sys.modules)
"""
    loaded = set(run_python(code).split())
    assert not SLOW & loaded
    ours = {name for name in loaded if package_of(name) in PACKAGES}
    little = {"rft", "rft.errors", "rft.foreign_text"}
    assert {name for name in ours if not name.startswith("rft.cli")} == little


@pytest.mark.parametrize("path", FILES, ids=label)
def test_no_module_hides_one_of_the_standard_library(path):
    assert path.stem not in sys.stdlib_module_names, "run as a script beside it, it would be taken"


def test_every_folder_of_tests_has_its_counterpart():
    for folder in sorted(path.parent for path in (ROOT / "tests").rglob("*/test_*.py")):
        place = folder.relative_to(ROOT / "tests")
        if place.parts:
            if place.parts[0] == "faults":  # they strike at the whole
                continue
            homes = [home / place for home in (ROOT, ROOT / "rft", ROOT / "pipelines")]
            assert any(home.is_dir() or home.with_suffix(".py").is_file() for home in homes), place
