"""The parts that this process knows: read, put among our rows, run where they may be, kept."""

import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from rft.errors import RFTError, listed, nearest, shown
from rft.parts.kinds import KINDS
from rft.parts.sources import Source, as_noted, from_file, from_package, keep_copy
from rft.parts.trust import refuse_untrusted, trust
from rft.recipe.parts import KindOfPart, Part, Parts, Told, a_file_name, an_own_name, brought
from rft.runs.columns import COLUMNS
from rft.runs.schemas import TABLES

MOST = 20
# The tables in which a statistic of a rollout stands, and those with what a selection adds.
GRADED = ("graded", "kept", "rejected", "selected", "passed_over")
CHOSEN = ("selected", "passed_over")


@dataclass(frozen=True)
class Row:
    """Something that a part brings, as it stands among our rows."""

    kind: KindOfPart
    name: str
    sha256: str
    is_run: bool


# What was put among our rows, so that it is known from ours, and can be taken out again.
_PUT: dict[tuple[KindOfPart, str], Row] = {}
_COLUMNS: dict[tuple[KindOfPart, str], tuple[str, ...]] = {}
# Where the code of a content is, as far as this process has met it.
_SOURCES: dict[str, Source] = {}
_FOLDERS: dict[str, Path] = {}
# The contents that are acted on; once there are any, all others are met in reading only.
_ACTED_ON: set[str] | None = None


# Read from a recipe ------------------------------------------------------------------------------


def noted(given: Any, folder: Path | None, label: str) -> Any:
    """Put the parts that a recipe names among our rows, and give what is noted of them.

    What it names itself is run, since whoever calls has named the recipe. What a run has noted is
    only stood for, until `run` is called.
    """
    if isinstance(given, Mapping) and not any(isinstance(each, str) for each in given.values()):
        return _stood_for(given, folder or Path(), label)
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise RFTError(f"{label}: parts is {shown(given)}; write a list, as in parts: [mine.py]")
    if len(given) > MOST:
        raise RFTError(f"{label}: parts has {len(given)} entries, and may have {MOST}")
    parts: dict[str, Part] = {}
    for entry in given:
        source = _found(entry, folder, label)
        if source.name in parts:
            raise RFTError(f"{label}: two parts are called {source.name}; rename one of them")
        trust(source.sha256, source.name)
        parts[source.name] = _taken(source, parts)
        _SOURCES[source.sha256] = source
    return {name: part.model_dump(mode="json") for name, part in parts.items()}


def _found(entry: Any, folder: Path | None, label: str) -> Source:
    if not isinstance(entry, str) or not entry.isprintable() or not entry:
        raise RFTError(f"{label}: parts has {shown(entry)}; name a file (mine.py) or a package")
    path = (folder or Path()) / entry
    if path.is_dir():
        raise RFTError(f"{label}: parts: {path}: a folder; name a file in it, or a package")
    if not path.exists() and path.with_name(f"{path.name}.py").is_file():
        raise RFTError(f"{label}: parts: {path}: no such file; did you mean {path.name}.py?")
    if not (entry.endswith(".py") or "/" in entry or path.is_file()):
        return from_package(entry, label)
    try:
        a_file_name(path.name)
    except ValueError as error:
        raise RFTError(f"{label}: parts: {shown(entry)}: {error}") from None
    if not path.is_file():
        near = nearest(path.name, (each.name for each in path.parent.glob("*.py")))
        advice = f"did you mean {path.with_name(near)}?" if near else "name a file of yours"
        raise RFTError(f"{label}: parts: {path}: no such file; {advice}")
    return from_file(path.resolve(), path.name, str(path))


def _stood_for(given: Mapping[str, Any], folder: Path, label: str) -> dict[str, Any]:
    """Put stand-ins among our rows for what a run has noted."""
    for name, entry in given.items():
        try:
            part = Part.model_validate(entry)
            a_file_name(name)
        except (ValidationError, ValueError):
            continue  # the recipe says what is wrong with it
        _FOLDERS[part.sha256] = folder
        for kind, rows in part.defines.items():
            for own, told in rows.items():
                there = _PUT.get((kind, own))
                # What is run is not put aside for what is only read.
                if there is None or (not there.is_run and there.sha256 != part.sha256):
                    refuse_name_of_ours(kind, own, f"{label}: parts.{name}")
                    _put(Row(kind, own, part.sha256, False), KINDS[kind].stand_in(own, told), told)
    return dict(given)


# Run ---------------------------------------------------------------------------------------------


def run(parts: Parts) -> None:
    """Run what is only stood for, if it may be, and take out what is not this recipe's.

    Called before anything of the recipe is done.
    """
    global _ACTED_ON
    _ACTED_ON = {part.sha256 for part in parts.values()}
    settle()
    waiting: dict[str, Source] = {}
    for name, part in parts.items():
        rows = [_PUT.get((kind, own)) for kind in part.defines for own in part.defines[kind]]
        if not all(row is not None and row.is_run for row in rows):
            known = _SOURCES.get(part.sha256)
            waiting[name] = known or as_noted(
                _FOLDERS[part.sha256], name, part.sha256, part.version
            )
    refuse_untrusted({name: (each, listed(brought(parts[name]))) for name, each in waiting.items()})
    for name, source in waiting.items():
        if _taken(source, {}).defines != parts[name].defines:
            raise RFTError(
                f"{source.label}: it does not bring what recipe.yaml says "
                f"({listed(brought(parts[name]))}); give the recipe again, which names the file "
                "itself"
            )
        _SOURCES[source.sha256] = source


def settle() -> None:
    """Take out what is not acted on, once anything is.

    The recipe of another run, of the one that `model.path` names or of this one as it was before,
    is read on the way: it is checked with stand-ins, which must not stay among rows that are used.
    """
    if _ACTED_ON is not None:
        for (kind, own), row in list(_PUT.items()):
            if row.sha256 not in _ACTED_ON:
                _take_out(kind, own)


def keep_copies(parts: Parts, folder: Path) -> None:
    """Keep the files of parts in a folder, by their content."""
    for name, part in parts.items():
        source = _SOURCES.get(part.sha256)
        if source is None and part.version is None:
            source = as_noted(_FOLDERS[part.sha256], name, part.sha256, part.version)
        if source is not None:
            keep_copy(folder, source)


def source_of(kind: KindOfPart, name: str) -> Source | None:
    """Give the code that something of a part comes from; None of what is ours."""
    row = _PUT.get((kind, name))
    return None if row is None else _SOURCES.get(row.sha256)


def is_own(kind: KindOfPart, name: str) -> bool:
    """Say whether a row of our tables is a part's."""
    return (kind, name) in _PUT


def forget() -> None:
    """Take all parts out of our tables."""
    global _ACTED_ON
    _ACTED_ON = None
    for kind, name in list(_PUT):
        _take_out(kind, name)
    for source in _SOURCES.values():
        if not source.package:
            sys.modules.pop(source.module_name, None)
    _SOURCES.clear()
    _FOLDERS.clear()


# Rows --------------------------------------------------------------------------------------------


def _taken(source: Source, before: Mapping[str, Part]) -> Part:
    """Run a part and put what it brings among our rows."""
    module = source.run()
    defines: dict[KindOfPart, dict[str, Told]] = {}
    brought = list(_rows_of(vars(module), source.label))
    for kind, name, row in brought:
        refuse_name_of_ours(kind, name, source.label)
        for other, part in before.items():
            if name in part.defines.get(kind, ()):
                raise RFTError(
                    f"{source.label}: {KINDS[kind].table} has {name}, which {other} brings too; "
                    "rename one of them"
                )
        defines.setdefault(kind, {})[name] = KINDS[kind].told(name, row)
    if not defines:
        tables = ", ".join(kind.table for kind in KINDS.values())
        raise RFTError(
            f"{source.label}: it brings nothing; write what it is to bring into one of {tables}, "
            "as in RULES = {'my_rule': my_rule}"
        )
    for kind, name, row in brought:
        made = KINDS[kind].row(name, row, source)
        _put(Row(kind, name, source.sha256, True), made, defines[kind][name])
    return Part(sha256=source.sha256, version=source.version, defines=defines)


def _rows_of(there: Mapping[str, Any], label: str) -> Iterator[tuple[KindOfPart, str, Any]]:
    """Give the rows of a module's tables, each looked at."""
    tables = [each.table for each in KINDS.values()]
    for name, value in there.items():
        near = difflib.get_close_matches(name, tables, 1, 0.8)
        if name.isupper() and name not in tables and near and isinstance(value, Mapping):
            raise RFTError(f"{label}: {name} is no table of parts; did you mean {near[0]}?")
    for kind, each in KINDS.items():
        rows = there.get(each.table, {})
        if rows is each.rows():  # imported, to look something up in
            continue
        if not isinstance(rows, Mapping):
            raise RFTError(f"{label}: {each.table} is {shown(rows)}; write a dict of names")
        for name, row in rows.items():
            place = f"{label}: {each.table}[{shown(name)}]"
            try:
                an_own_name(name if isinstance(name, str) else "")
            except ValueError as error:
                raise RFTError(f"{place}: {error}") from None
            if fault := each.fault(name, row):
                raise RFTError(f"{place}: {fault}")
            yield kind, name, row


def refuse_name_of_ours(kind: KindOfPart, name: str, label: str) -> None:
    """Refuse a name that is ours: a recipe with it would mean one thing here, one thing there."""
    if (kind, name) in _PUT:
        return
    taken = name in KINDS[kind].rows()
    column = kind == "statistics" and any(name in TABLES[table].names for table in TABLES)
    if taken or column:
        what = "a column" if column else "one"
        raise RFTError(
            f"{label}: {KINDS[kind].table} has {name}, which is the name of {what} of ours; give "
            "yours another"
        )


def _put(row: Row, made: Any, told: Told) -> None:
    _take_out(row.kind, row.name)
    KINDS[row.kind].rows()[row.name] = made
    _PUT[row.kind, row.name] = row
    if row.kind == "statistics":
        _add_column(row, GRADED, told.about or f"The statistic {row.name} of a part.")
    elif row.kind == "orders" and told.made:
        _add_column(row, CHOSEN, told.about or f"The value of the order {row.name}.")


def _take_out(kind: KindOfPart, name: str) -> None:
    if _PUT.pop((kind, name), None) is None:
        return
    KINDS[kind].rows().pop(name, None)
    for table in _COLUMNS.pop((kind, name), ()):
        TABLES[table] = TABLES[table].remove(TABLES[table].get_field_index(name))
        COLUMNS.pop(name, None)


def _add_column(row: Row, tables: tuple[str, ...], about: str) -> None:
    """Add a column, which may be null, to tables: in runs without it, it is."""
    for table in tables:
        TABLES[table] = TABLES[table].append(pa.field(row.name, pa.float32()))
    _COLUMNS[row.kind, row.name] = tables
    COLUMNS[row.name] = about
