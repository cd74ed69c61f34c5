"""What every section of a recipe is made of: strict, frozen, and without unknown keys."""

from typing import Annotated, Literal

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
