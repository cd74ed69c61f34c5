"""The recipe's `compare` section: arms, seeds, and what is claimed of them before it is known."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, JsonValue, field_validator, model_validator

from rft.errors import suggestion
from rft.recipe.section import Name, Section, empty_is_nothing

# An arm's name is a folder's, and a column's in a table.
NAME_OF_ARM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")
BASE = "base"
# Settings that make no arm: the seed is another axis, and arms have no arms.
NOT_OF_AN_ARM = ("seed", "compare", "extends", "track", "notify")

Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Changes = dict[str, JsonValue]


ARMS: dict[str, Changes] = {}
"""Arms that parts bring: one of a recipe that has such a name and no settings has these."""


class Claim(Section):
    """What a comparison is to show, written down before it is made."""

    arm: Name
    """Of which arm it is claimed."""
    against: Name | None = None
    """The arm that it is held against, or `base`; null is the control."""
    metric: Name = "pass@1"
    """pass@K or maj@K, of the test problems; K samples of each are needed."""
    direction: Literal["higher", "lower"] = "higher"
    """Which way it differs."""

    @property
    def k(self) -> int:
        """Give the K of its metric."""
        return int(self.metric.partition("@")[2])

    @field_validator("metric")
    @classmethod
    def _metric_is_known(cls, metric: str) -> str:
        if not re.fullmatch(r"(pass|maj)@[1-9][0-9]{0,3}", metric):
            raise ValueError("a claim is about pass@K or maj@K, such as pass@64")
        return metric


class Compare(Section):
    """Several arms, each with several seeds, from one start."""

    seeds: Annotated[tuple[Seed, ...], Field(strict=False, min_length=1, max_length=1000)]
    """The seed of each run of an arm; runs of one seed share what they have in common."""
    control: Name
    """The arm that all others are compared with."""
    arms: Annotated[
        dict[str, Changes], BeforeValidator(empty_is_nothing), Field(min_length=2, max_length=100)
    ]
    """name -> what it has otherwise than the recipe: dotted keys, and their values."""
    claims: dict[Name, Claim] = Field(default_factory=dict)
    """name -> what would count as support, judged when it is done."""

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"it is {list(seeds)}; list each seed once")
        return seeds

    @field_validator("arms")
    @classmethod
    def _arms_can_be_made(cls, arms: dict[str, Changes]) -> dict[str, Changes]:
        arms = {name: changes or ARMS.get(name, {}) for name, changes in arms.items()}
        for name, changes in arms.items():
            if not NAME_OF_ARM.fullmatch(name) or name == BASE:
                raise ValueError(
                    f"an arm is called {name!r}; its name is that of a folder: letters, digits, "
                    f". _ + - (40 at most), and not {BASE}, which is what they all begin with"
                )
            for key in changes:
                if key.partition(".")[0] in NOT_OF_AN_ARM:
                    raise ValueError(f"the arm {name} sets {key}, which is no part of an arm")
        if len({name.lower() for name in arms}) < len(arms):
            raise ValueError("two arms differ in capital letters only; rename one")
        return arms

    @model_validator(mode="after")
    def _names_are_of_arms(self) -> Self:
        named = [("control", self.control)]
        for name, claim in self.claims.items():
            named.append((f"claims.{name}.arm", claim.arm))
            if claim.against not in (None, BASE):
                named.append((f"claims.{name}.against", str(claim.against)))
        for key, arm in named:
            if arm not in self.arms:
                advice = suggestion(arm, self.arms, otherwise=f"there are {', '.join(self.arms)}")
                raise ValueError(f"{key} is {arm!r}, which is no arm; {advice}")
        for name, claim in self.claims.items():
            if claim.arm == (claim.against or self.control):
                raise ValueError(f"claims.{name} holds {claim.arm} against itself")
        return self
