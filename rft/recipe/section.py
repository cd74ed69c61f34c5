"""What every section of a recipe is made of: strict, frozen, bounded, and without unknown keys."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
)
from pydantic_core import PydanticCustomError

from rft.errors import clipped


class Section(BaseModel):
    """A part of the recipe."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


def dumped(section: Section, later: Collection[str]) -> dict[str, Any]:
    """Dump a section for a stage's key: what came later only where it is not left at its default.

    So the outputs of runs that do not use such a key stay what they are.
    """
    fields = type(section).model_fields
    unused = {name for name in later if getattr(section, name) == fields[name].default}
    return section.model_dump(mode="json", exclude=unused)


def plain(name: str) -> str:
    """Refuse characters that are no part of any name, path or address, and act on terminals."""
    for character in name:
        if not character.isprintable():
            raise ValueError(
                f"{clipped(ascii(name))} holds the character U+{ord(character):04X}, which cannot "
                "be seen; remove it"
            )
    return name


def not_tiny(temperature: float) -> float:
    """Refuse a temperature by which logits grow beyond all numbers."""
    if 0 < temperature < LOWEST_TEMPERATURE:
        raise ValueError(
            f"it is {temperature:g}, and above 0 the lowest is {LOWEST_TEMPERATURE}; 0 is greedy"
        )
    return temperature


LOWEST_TEMPERATURE = 0.001

# The bounds of every setting: far above what anybody means, and below what hangs, fills the memory
# or is no number to some library below. Other types have bounds of their own where they stand.
Prose = Annotated[str, Field(max_length=100_000)]
Text = Annotated[Prose, Field(min_length=1)]
# Paths have 4,096 bytes at most, and everything else that has a name is shorter.
Name = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(plain)]
# YAML knows lists only; a tuple keeps the frozen recipe from being changed in place.
Texts = Annotated[tuple[Text, ...], Field(strict=False)]
Count = Annotated[int, Field(ge=1, le=10**9)]
# Of rounds, whose folders have four digits, of samples of one problem, of epochs.
Few = Annotated[int, Field(ge=1, le=9_999)]
# No context is longer by far.
TokenCount = Annotated[int, Field(ge=1, le=10**7)]
Amount = Annotated[float, Field(gt=0, le=10**6)]
# An amount, or none of it.
Weight = Annotated[float, Field(ge=0, le=10**6)]
Number = Annotated[float, Field(ge=-(10**6), le=10**6)]
# A number of steps that may be none.
Steps = Annotated[int, Field(ge=0, le=10**9)]
Temperature = Annotated[float, Field(ge=0, le=100), AfterValidator(not_tiny)]
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


def one_method(given: Any) -> Any:
    """Read `name` as `{name: {}}`, a method with its defaults."""
    return empty_is_nothing({given: None} if isinstance(given, str) else given)


def a_row(what: str, name: object, table: Collection[str]) -> object:
    """Refuse what is no row of a table."""
    if isinstance(name, str) and name in table:
        return name
    *most, last = (repr(each) for each in table)
    raise PydanticCustomError(
        "a_row", "Input should be {names}", {"what": what, "names": f"{', '.join(most)} or {last}"}
    )


def shortest(method: dict[str, Any]) -> Any:
    """Write a method with its defaults as its name alone."""
    ((name, parameters),) = method.items()
    return method if parameters else name


# One method by name, with its parameters: `math`, or `{code: {memory_mb: 512}}`.
Method = Annotated[
    dict[Name, Open],
    BeforeValidator(one_method),
    Field(min_length=1, max_length=1),
    PlainSerializer(shortest),
]
