"""What every section of a recipe is made of: strict, frozen, and without unknown keys."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class Section(BaseModel):
    """A part of the recipe."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


Text = Annotated[str, Field(min_length=1)]
# YAML knows lists only; a tuple keeps the frozen recipe from being changed in place.
Texts = Annotated[tuple[Text, ...], Field(strict=False)]
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Inside = Annotated[float, Field(gt=0, lt=1)]
Auto = Literal["auto"]
# JSON only: settings are hashed into keys, stored, and compared across runs.
Open = dict[str, JsonValue]


def refuse_equal_samples(temperature: float, name: str, n: int) -> None:
    """Refuse to draw several samples greedily: they would all be the same."""
    if temperature == 0 and n > 1:
        raise ValueError(
            f"temperature is 0 and {name} is {n}, which would draw the same sample {n} times; "
            f"set {name} to 1 or raise the temperature"
        )


def empty_is_nothing(given: Any) -> Any:
    """Read `name:` with nothing after it, which YAML makes null, as one without parameters."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {name: {} if value is None else value for name, value in given.items()}
    return given
