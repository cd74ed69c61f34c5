"""What a part may bring: for each kind the name of its table, there and here, and what a row is."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from rft.errors import RFTError, shown
from rft.recipe.parts import KindOfPart, Told

# What a parameter in a recipe can be.
SIMPLE = (int, float, str, bool)
# What readers of a run ask about its engine.
TRAITS: dict[str, type] = {"statistics": str, "local": bool, "together": bool, "draws": bool}


@dataclass(frozen=True)
class Kind:
    """A kind of things that a part may bring."""

    table: str
    """The name of the dict, in a part as in ours."""
    ours: str
    """The module that has our table of that name."""
    fault: Callable[[str, Any], str | None]
    """Says what is wrong with a row; None if nothing is."""
    told: Callable[[str, Any], Told]
    """Says of a row what has to be known of it while it is not run."""
    stand_in: Callable[[str, Told], Any]
    """Makes the row of a part that is not run, for whoever only reads."""
    row: Callable[[str, Any, Any], Any] = lambda _name, row, _source: row
    """Makes of a part's row one of our table."""

    def rows(self) -> dict[str, Any]:
        """Give our table, to which rows are added."""
        rows: dict[str, Any] = getattr(import_module(self.ours), self.table)
        return rows


def about(thing: Any) -> str | None:
    """Give the first paragraph of what a thing says of itself, on one line."""
    return words((inspect.getdoc(thing) or "").split("\n\n")[0])


def words(text: str) -> str | None:
    """Write what somebody says of a thing of theirs on one line of bounded length."""
    line = " ".join(str(text).split())
    return "".join(letter for letter in line if letter.isprintable())[:500] or None


def only_about(_name: str, row: Any) -> Told:
    """Tell of a function or class what its docstring says."""
    return Told(about=about(row))


def not_run(name: str, told: Told) -> Any:
    """Make a function that stands for one of a part that is not run."""

    def stand_in(*_: Any, **__: Any) -> Any:
        raise RFTError(f"{name}: it is in a part, which is not run by what only reads a run")

    stand_in.__doc__ = told.about
    return stand_in


# Faults of rows ----------------------------------------------------------------------------------


def parameters_fault(function: Any, given: int) -> str | None:
    """Say what is wrong with the parameters that a recipe gives, which follow `given` others."""
    for parameter in [*inspect.signature(function).parameters.values()][given:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            return f"it takes *{parameter.name}; name its parameters, which a recipe gives"
        if parameter.annotation not in SIMPLE:
            return (
                f"its parameter {parameter.name} has no type of int, float, str or bool, by which "
                f"what a recipe gives is checked; write {parameter.name}: float"
            )
    return None


def rule_fault(_name: str, row: Any) -> str | None:
    """Refuse what is no function of parameters."""
    if not callable(row):
        return "it is no function; write one that gives a polars expression, true for the defect"
    return parameters_fault(row, 0)


def order_fault(_name: str, row: Any) -> str | None:
    """Refuse what is no order, or reads nothing."""
    from rft.recipe.selection import Order

    if not isinstance(row, Order):
        return f"it is {shown(row)}; write an Order of rft.recipe.selection"
    if row.column is None and row.expression is None:
        return "it reads neither a column nor an expression; give one of the two"
    if row.column is not None and row.expression is not None:
        return "it has both a column and an expression; give one of the two"
    if row.needs is not None and row.expression is None:
        return (
            f"it needs {row.needs}, which `score` computes for columns of ours only; leave needs "
            "out, or rank by an expression over mean_entropy, mean_branching or mean_nll"
        )
    return None


def statistic_fault(_name: str, row: Any) -> str | None:
    """Refuse what is no function without parameters."""
    if not callable(row) or inspect.signature(row).parameters:
        return "it is no function without parameters; write one that gives a polars expression"
    return None


def verifier_fault(_name: str, row: Any) -> str | None:
    """Refuse what is no function of a gold, an answer, and parameters."""
    if not inspect.isfunction(row):
        return "it is no function; write one of (gold, answer) that gives True or False"
    if len(inspect.signature(row).parameters) < 2:
        return "it does not take (gold, answer); these are its first two parameters"
    if row.__name__ == "<lambda>" or row.__qualname__ != row.__name__:
        return "it has no name of its own in its file, by which a worker finds it; write a def"
    return parameters_fault(row, 2)


def reader_fault(_name: str, row: Any) -> str | None:
    """Refuse what is no function of a text."""
    if not callable(row) or len(inspect.signature(row).parameters) != 1:
        return "it is no function of a text; write one that gives the gold, or None"
    return None


def template_fault(_name: str, row: Any) -> str | None:
    """Refuse what is no text that asks once."""
    if not isinstance(row, str) or row.count("{question}") != 1:
        return "it is no text that holds {question} exactly once"
    return None


def engine_fault(_name: str, row: Any) -> str | None:
    """Refuse what is no description of an engine."""
    from rft.recipe.engine import EngineKind

    if not isinstance(row, EngineKind):
        return f"it is {shown(row)}; write an EngineKind of rft.recipe.engine"
    if row.keys or row.needs or row.identity_keys:
        return "keys of the section are for engines of ours; what it needs stands in engine.args"
    return None


def class_fault(module: str, name: str) -> Callable[[str, Any], str | None]:
    """Refuse what is no class of ours."""

    def fault(_name: str, row: Any) -> str | None:
        kind = getattr(import_module(module), name)
        if not (isinstance(row, type) and issubclass(row, kind)):
            return f"it is {shown(row)}; write a class of {name}, of {module}"
        return None

    return fault


def arm_fault(_name: str, row: Any) -> str | None:
    """Refuse what are no settings."""
    if not isinstance(row, Mapping) or not all(isinstance(key, str) for key in row):
        return "it is no mapping of dotted keys to values"
    return None


# Rows as our tables have them, and what stands for them ------------------------------------------


def order_told(_name: str, row: Any) -> Told:
    """Tell of an order what it puts first, and by which column."""
    return Told(about=words(row.about), column=row.column or _name, made=row.expression is not None)


def order_row(name: str, row: Any, _source: Any) -> Any:
    """Name the column of an order that makes its own after it."""
    return replace(row, column=row.column or name)


def order_stand_in(_name: str, told: Told) -> Any:
    """Make an order that can be read by: its column is in the tables."""
    import polars as pl

    from rft.recipe.selection import Order

    made = pl.lit(None, pl.Float32) if told.made else None
    return Order(told.about or "", told.column, expression=made)


def engine_told(_name: str, row: Any) -> Told:
    """Tell of an engine what readers ask about it."""
    return Told(about=words(row.called), traits={name: getattr(row, name) for name in TRAITS})


def engine_stand_in(name: str, told: Told) -> Any:
    """Make the description of an engine from what was noted of it, as far as that can be."""
    from rft.recipe.engine import EngineKind

    traits: dict[str, Any] = {
        trait: told.traits[trait]
        for trait, kind in TRAITS.items()
        if isinstance(told.traits.get(trait), kind)
    }
    statistics = traits.pop("statistics", "recorded")
    if statistics not in ("exact", "estimated"):
        statistics = "recorded"
    return EngineKind(told.about or name, statistics, **traits)


def engine_row(_name: str, row: Any, source: Any) -> Any:
    """Say in which module an engine is opened."""
    return replace(row, module=source.module_name)


def named(name: str, row: Any, _source: Any) -> Any:
    """Have a class know the name under which recipes have it."""
    row.name = name
    return row


def class_stand_in(module: str, base: str) -> Callable[[str, Told], Any]:
    """Make a class that only says what it is."""

    def stand_in(name: str, told: Told) -> Any:
        kind = getattr(import_module(module), base)
        return type(name, (kind,), {"__doc__": told.about, "name": name, "__module__": __name__})

    return stand_in


def verifier_row(name: str, row: Any, source: Any) -> Any:
    """Make a verifier of a function that says whether an answer is right."""
    from rft.grading.own import verifier_of

    return verifier_of(name, row, source)


PLUGIN = ("rft.exploration.plugin", "Plugin")
OBJECTIVE = ("rft.training.objectives.objective", "Objective")
VERIFIER = ("rft.grading.method", "Method")

KINDS: dict[KindOfPart, Kind] = {
    "rules": Kind("RULES", "filters", rule_fault, only_about, not_run),
    "statistics": Kind(
        "STATISTICS", "rft.grading.response_statistics", statistic_fault, only_about, not_run
    ),
    "orders": Kind(
        "ORDERS", "rft.recipe.selection", order_fault, order_told, order_stand_in, order_row
    ),
    "verifiers": Kind(
        "VERIFIERS",
        "rft.grading.verifiers",
        verifier_fault,
        only_about,
        class_stand_in(*VERIFIER),
        verifier_row,
    ),
    "readers": Kind("READERS", "rft.problems.gold", reader_fault, only_about, not_run),
    "templates": Kind(
        "TEMPLATES",
        "rft.recipe.sample",
        template_fault,
        lambda _name, _row: Told(),  # a recipe that names one has its text
        lambda _name, _told: "",
    ),
    "engines": Kind(
        "ENGINES", "rft.recipe.engine", engine_fault, engine_told, engine_stand_in, engine_row
    ),
    "plugins": Kind(
        "PLUGINS",
        "rft.exploration",
        class_fault(*PLUGIN),
        only_about,
        class_stand_in(*PLUGIN),
        named,
    ),
    "objectives": Kind(
        "OBJECTIVES",
        "rft.training.objectives",
        class_fault(*OBJECTIVE),
        only_about,
        class_stand_in(*OBJECTIVE),
        named,
    ),
    "arms": Kind(
        "ARMS",
        "rft.recipe.compare",
        arm_fault,
        lambda _name, _row: Told(),
        lambda _name, _told: {},
    ),
}
