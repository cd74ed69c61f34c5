"""What keys of a recipe may hold, told from the pydantic models: type, bounds, default, meaning."""

import ast
import inspect
import re
import textwrap
import types
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from rft.recipe import Recipe


def meanings(model: type) -> dict[str, str]:
    """Read what is written below each field of a class, its base classes included."""
    said: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if not issubclass(kind, BaseModel) or kind is BaseModel:
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        assert isinstance(tree, ast.ClassDef)
        for field, below in zip(tree.body, tree.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                said[field.target.id] = inspect.cleandoc(str(below.value.value))
    return said


def bounds(metadata: tuple[Any, ...]) -> str:
    """Say between which numbers a value lies, or how much of it there may be."""
    limits: dict[str, Any] = {}
    for each in metadata:
        for part in each.metadata if isinstance(each, FieldInfo) else [each]:
            for name in ("ge", "gt", "le", "lt", "min_length", "max_length"):
                if (value := getattr(part, name, None)) is not None:
                    limits[name] = value
    words = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    said = [f"{word} {limits[name]:,}" for name, word in words.items() if name in limits]
    least, most = limits.get("min_length"), limits.get("max_length")
    if least == most is not None:
        said.append(f"exactly {least}")
    elif least is not None and least > 1:
        said.append(f"at least {least}")
    return f" {' '.join(said)}" if said else ""


def kind_of(annotation: Any, metadata: tuple[Any, ...] = ()) -> str:
    """Say in words what a key may hold."""
    origin, inside = get_origin(annotation), get_args(annotation)
    plain = {bool: "`true` or `false`", int: "whole number", float: "number", str: "text"}
    if origin is Annotated:
        return kind_of(inside[0], (*metadata, *inside[1:]))
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inside)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind_of(each, metadata) for each in inside))
    if origin is dict:
        return f"mapping: name -> {kind_of(inside[1])}{bounds(metadata)}"
    if origin in (tuple, list):
        return f"list of {kind_of(inside[0])}{bounds(metadata)}"
    if annotation is type(None):
        return "`null`"
    if annotation in plain:
        return plain[annotation] + (bounds(metadata) if annotation in (int, float) else "")
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        title = title_of(annotation)
        anchor = re.sub(r"[^\w-]", "", title).lower()
        return f"keys of [{title}](#{anchor})"
    return "anything"


def default_of(field: FieldInfo) -> str:
    """Write a key's default as a recipe has it."""
    if field.default_factory is not None:
        return f"`{yaml.safe_dump(field.default_factory(), default_flow_style=True).strip()}`"  # type: ignore[call-arg]
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, BaseModel):
        return "its own defaults"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    if value is None or isinstance(value, bool | int | float):
        return f"`{yaml.safe_dump(value).removesuffix('...' + chr(10)).strip()}`"
    if isinstance(value, str):
        return f"`{value!r}`" if "\n" in value else f"`{value}`"
    return f"`{yaml.safe_dump(value, default_flow_style=True).strip()}`"


def sections_in(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """List the sections that an annotation names, each with what stands between in its path."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "", annotation
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from sections_in(inside[0])
    elif origin is dict:
        yield from ((f".NAME{path}", model) for path, model in sections_in(inside[1]))
    elif origin in (tuple, list):
        yield from ((f"[]{path}", model) for path, model in sections_in(inside[0]))
    elif origin in (Union, types.UnionType):
        for each in inside:
            yield from sections_in(each)


@cache
def sections() -> dict[type[BaseModel], list[str]]:
    """List every section of a recipe with the keys at which it stands, from the top down."""
    places: dict[type[BaseModel], list[str]] = {Recipe: []}
    waiting: list[tuple[str, type[BaseModel]]] = [("", Recipe)]
    while waiting:
        at, model = waiting.pop(0)
        for name, field in model.model_fields.items():
            for path, below in sections_in(field.annotation):
                key = f"{at}{name}{path}"
                if below not in places:
                    waiting.append((f"{key}.", below))
                places.setdefault(below, []).append(key)
    return places


def title_of(model: type[BaseModel]) -> str:
    """Call a section by the key at which it stands, or by its name where it stands at several."""
    places = sections()[model]
    return places[0] if len(places) == 1 else model.__name__
