"""The map in AGENTS.md has a line for every module, which is the first line of its docstring.

Run: python -m pytest tests/test_map.py; `python tests/test_map.py` prints the map to paste.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("rft", "pipelines", "filters")


def about(path: Path) -> str:
    """Give the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def lines_of(folder: Path, depth: int = 0) -> Iterator[str]:
    """Write a package: itself, its modules, then the packages within."""
    yield f"{'  ' * depth}{folder.name}/".ljust(30) + about(folder / "__init__.py")
    inside = sorted(path for path in folder.iterdir() if (path / "__init__.py").is_file())
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py":
            yield f"{'  ' * (depth + 1)}{path.name}".ljust(30) + about(path)
    for package in inside:
        yield from lines_of(package, depth + 1)


def the_map() -> list[str]:
    """Write the whole map."""
    return [line.rstrip() for name in PACKAGES for line in lines_of(ROOT / name)]


def test_the_map_has_a_line_for_every_module_as_it_says_of_itself():
    page = (ROOT / "AGENTS.md").read_text().splitlines()
    start = page.index(next(line for line in page if line.startswith("rft/ ")))
    shown = page[start : page.index("```", start)]
    assert shown == the_map(), "paste what `python tests/test_map.py` prints"


def test_every_module_says_in_one_sentence_what_it_is():
    for line in the_map():
        assert line[30:].strip(), f"{line.strip()}: no docstring"
        assert len(line) <= 140, f"too long for a map: {line}"


if __name__ == "__main__":
    print(*the_map(), sep="\n")
