"""Where a part's code is: a file, its copy in a run folder, or an installed package."""

import ast
import hashlib
import importlib.metadata
import sys
import types
from dataclasses import dataclass, field
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from rft.errors import RFTError, listed, shown, suggestion
from rft.parts.faults import FILES, told_in_one_line
from rft.runs.atomic import whole_file
from rft.runs.plain_files import read_small

GROUP = "rft.parts"
# Packages of ours, which may lie beside a part in a checkout.
OURS = ("rft", "pipelines", "filters")


@dataclass(frozen=True)
class Source:
    """A part's code: read, and not run yet."""

    name: str
    """What runs call it: a file's name, or a package's entry point."""
    label: str
    """What people are told: the path, or the package."""
    sha256: str
    text: bytes = field(repr=False, default=b"")
    """A file's content; empty for a package."""
    path: Path | None = None
    """The file; None for a package."""
    package: str = ""
    version: str | None = None

    @property
    def module_name(self) -> str:
        """Name the module as Python knows it."""
        if self.package:
            return self.package
        letters = "".join(c if c.isalnum() else "_" for c in self.name.removesuffix(".py"))
        return f"rft_part_{letters}_{self.sha256[:12]}"

    def refuse_changed(self) -> None:
        """Refuse code that is no longer what was read before."""
        if self.package:
            return
        if hashlib.sha256(self.text).hexdigest() != self.sha256:
            raise RFTError(f"{self.label}: changed since it was read; run the same command again")

    def run(self) -> types.ModuleType:
        """Run the code, once in a process, and give what it defines."""
        if self.package:
            return self._imported()
        there = sys.modules.get(self.module_name)
        if there is not None:
            return there
        module = types.ModuleType(self.module_name)
        module.__file__ = str(self.path)
        FILES[str(self.path)] = self.label
        # Dataclasses and pydantic look a class's module up by its name.
        sys.modules[self.module_name] = module
        try:
            with told_in_one_line(self.label):
                code = compile(self.text, str(self.path), "exec", dont_inherit=True)
                self._refuse_neighbours()
                exec(code, module.__dict__)  # it is trusted: see trust.py
        except BaseException:
            del sys.modules[self.module_name]
            raise
        return module

    def _refuse_neighbours(self) -> None:
        """Refuse imports of files beside it, which a run would have no copy of."""
        assert self.path is not None, "a file"
        for name, line in imports_of(self.text):
            beside = [self.path.parent / f"{name}.py", self.path.parent / name / "__init__.py"]
            spec = None if name in OURS else PathFinder.find_spec(name)
            if spec is not None and spec.origin and Path(spec.origin) in beside:
                raise RFTError(
                    f"{self.label}:{line}: it imports {name}, a file beside it, and a run keeps no "
                    "copy of that; a part is one file, or an installed package"
                )

    def _imported(self) -> types.ModuleType:
        folder = _home(self.package, self.label)
        for path in python_files(folder):
            FILES[str(path)] = f"{self.label} {path.relative_to(folder.parent)}"
        with told_in_one_line(self.label):
            return import_module(self.package)


def imports_of(text: bytes) -> list[tuple[str, int]]:
    """List the packages that a file imports anywhere in it, each with its line."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(each.name.partition(".")[0], node.lineno) for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module.partition(".")[0], node.lineno))
    return found


def from_file(path: Path, name: str, label: str) -> Source:
    """Read a file with parts, which is no link."""
    if path.suffix != ".py":
        raise RFTError(f"{label}: no part; a file with parts ends in .py")
    try:
        text = read_small(path)
    except OSError as error:
        raise RFTError(f"{label}: {error.strerror or error}; name a file with parts") from None
    return Source(name, label, hashlib.sha256(text).hexdigest(), text, path.absolute())


def from_package(name: str, place: str = "parts") -> Source:
    """Find an installed package that brings parts."""
    found = importlib.metadata.entry_points(group=GROUP)
    names = sorted({each.name for each in found})
    if name not in names:
        there = listed(names) if names else "none"
        advice = suggestion(name, names, otherwise=f"installed packages with parts: {there}")
        raise RFTError(
            f"{place}: parts: there is no such file, and no package brings {shown(name)}; {advice} "
            "(a file is named with .py)"
        )
    entry = next(each for each in found if each.name == name)
    assert entry.dist is not None, "an entry point of an installed package"
    label, version = f"package {entry.dist.name} {entry.dist.version}", entry.dist.version
    folder = _home(entry.module, label)
    content = hashlib.sha256(f"{entry.dist.name}\0{version}\0".encode())
    for path in python_files(folder):
        content.update(f"{path.relative_to(folder.parent)}\0".encode() + path.read_bytes() + b"\0")
    return Source(name, label, content.hexdigest(), package=entry.module, version=version)


def _home(module: str, label: str) -> Path:
    """Give the folder or the file of a package's code."""
    try:
        spec = find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise RFTError(f"{label}: its module {module} is not there; install it again")
    path = Path(spec.origin)
    return path.parent if spec.submodule_search_locations else path


def python_files(home: Path) -> list[Path]:
    """List the Python files of a package, in an order that does not depend on the disk."""
    return [home] if home.is_file() else sorted(home.rglob("*.py"))


# Copies in a run folder --------------------------------------------------------------------------


def copy_of(folder: Path, name: str, sha256: str) -> Path:
    """Name the copy of a file of this content: an older one is another file, and stays."""
    return folder / "parts" / f"{name.removesuffix('.py')}-{sha256[:16]}.py"


def keep_copy(folder: Path, source: Source) -> None:
    """Put a copy of a file into a folder, if it is not there."""
    path = copy_of(folder, source.name, source.sha256)
    if not source.package and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(source.text)


def from_copy(folder: Path, name: str, sha256: str) -> Source:
    """Read the copy of a file that a folder keeps, which must be what was noted."""
    path = copy_of(folder, name, sha256)
    if not path.is_file():
        raise RFTError(
            f"{path}: the copy of {name} is not there; give the recipe again (`rft run RECIPE "
            f"--out {folder}`), which names the file itself"
        )
    source = from_file(path, name, str(path))
    if source.sha256 != sha256:
        raise RFTError(
            f"{path}: not what recipe.yaml says (sha256 {source.sha256[:12]}, noted "
            f"{sha256[:12]}); move it away, and give the recipe again"
        )
    return source


def as_noted(folder: Path, name: str, sha256: str, version: str | None) -> Source:
    """Find the code of a part that a run has noted, as it was."""
    if version is None:
        return from_copy(folder, name, sha256)
    source = from_package(name)
    if source.sha256 != sha256:
        raise RFTError(
            f"parts.{name}: {source.label} is not what the run has used (sha256 "
            f"{source.sha256[:12]}, noted {sha256[:12]} of version {version}); install that "
            f"version, or go on with this one by --set 'parts=[{name}]'"
        )
    return source
