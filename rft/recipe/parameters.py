"""Parameters of a method that a recipe names: read, or told in one line what is wrong."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rft.errors import RFTError, shown, suggestion
from rft.recipe.section import Section

Method = TypeVar("Method", bound=Section)


def read_parameters(kind: type[Method], parameters: Mapping[str, Any], place: str) -> Method:
    """Make a method of what stands at a place of the recipe."""
    try:
        return kind.model_validate(parameters)
    except ValidationError as error:
        raise RFTError(_complaint(kind, error.errors(include_url=False)[0], place)) from None


def _complaint(kind: type[Section], detail: ErrorDetails, place: str) -> str:
    place = ".".join([place, *map(str, detail["loc"])])
    fields = kind.model_fields
    if detail["type"] == "extra_forbidden":
        known = f"it has {', '.join(fields)}" if fields else "it has no parameters"
        return f"{place}: unknown; {suggestion(str(detail['loc'][0]), fields, otherwise=known)}"
    if detail["type"] == "missing":
        return f"{place}: missing; it has no default"
    reason = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return f"{place}: {reason}"
    return f"{place}: {shown(detail['input'])}: {reason[0].lower()}{reason[1:]}"
