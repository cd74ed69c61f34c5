"""Engines turn requests into finished rollouts; one small protocol, chosen by `engine.kind`.

An engine of kind K is a file, rft/engines/K.py with `open_for(demand, seed)`, and a row, K in
rft/recipe/engine.py. A row with identity keys has the file say what they come to, by `identity`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from rft.errors import RFTError
from rft.prompt import Prompter
from rft.recipe import Recipe
from rft.recipe.engine import ENGINES
from rft.recipe.parts import contents
from rft.runs.folder import Run
from rft.runs.models import ModelRef


@dataclass(frozen=True)
class Request:
    """One rollout to sample: whose, from which tokens, with which seed."""

    rollout_id: str
    problem_id: str
    round: int
    sample_index: int
    prompt: str
    prompt_ids: tuple[int, ...]
    seed: int
    benchmark: str | None = None
    """What the answer measures; None where it is to be learnt from."""


@dataclass(frozen=True)
class Sampling:
    """How to sample, the same for every request of a stage."""

    temperature: float
    top_p: float
    max_tokens: int
    entropy: bool
    branching: bool
    mass: float


@dataclass(frozen=True)
class Finished:
    """One sampled completion; its lists are as long as its tokens, or absent."""

    request: Request
    completion: str
    finish_reason: str
    token_ids: list[int] | None
    logprobs: list[float] | None
    entropies: list[float] | None
    branching: list[int] | None
    stats_origin: str | None
    seed: int | None = None
    """What the tokens were drawn with: the request's seed where the engine can use it."""
    num_tokens: int | None = None
    """How many tokens there were, where an engine counts them without giving them."""

    @property
    def length(self) -> int | None:
        """Count the tokens; None where nobody knows."""
        return self.num_tokens if self.token_ids is None else len(self.token_ids)


class Feed(Protocol):
    """Where an engine gets its work; new work may appear while it is at it."""

    def take(self, *, wait: bool) -> Sequence[Request] | None:
        """Give the next unit of requests, or None when there is none now.

        With `wait`, for an engine that has nothing else to do, None means that all is done.
        """
        ...


class Engine(Protocol):
    """What the sampling stages ask of an engine."""

    def units(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Split requests into the smallest sets that are sampled, and lost to a kill, together."""
        ...

    def sample(
        self, feed: Feed, sampling: Sampling, *, check: Callable[[], None]
    ) -> Iterator[list[Finished]]:
        """Sample what the feed gives and yield whole units as they finish.

        `check` is called often and raises when the work has to stop.
        """
        ...

    def figures(self) -> dict[str, Any]:
        """Tell what the engine measured of itself, for the record: versions, shares, limits."""
        ...


class Demand(Protocol):
    """What an engine is opened for, which a plan of what will be sampled tells."""

    @property
    def run(self) -> Run:
        """Give the run, with its recipe and the models that it made."""
        ...

    @property
    def stage(self) -> str:
        """Name the stage, as the recipe does."""
        ...

    @property
    def model(self) -> ModelRef:
        """Give the model to sample from."""
        ...

    @property
    def prompts(self) -> Prompter:
        """Give what renders prompts and knows the token that ends an answer."""
        ...

    @property
    def sampling(self) -> Sampling:
        """Say how it will be sampled."""
        ...

    @property
    def longest(self) -> int:
        """Count the tokens of the longest prompt with the longest completion."""
        ...

    @property
    def room(self) -> int:
        """Count the tokens that the engine must be able to hold, probes included."""
        ...


class Fixed:
    """A feed of units that are known beforehand."""

    def __init__(self, units: Sequence[Sequence[Request]]):
        self.units = iter(units)

    def take(self, *, wait: bool) -> Sequence[Request] | None:  # noqa: ARG002  one protocol
        """Give the next unit."""
        return next(self.units, None)


def open_engine(demand: Demand, seed: int) -> Engine:
    """Load the recipe's engine with the model that is to be sampled."""
    engine: Engine = file_of(demand.run.recipe.engine.kind).open_for(demand, seed)
    return engine


def engine_identity(recipe: Recipe) -> dict[str, Any]:
    """Give the engine settings on which the sampled tokens depend."""
    engine, traits = recipe.engine, recipe.engine.traits
    own = {name: engine.args[name] for name in traits.identity_args if name in engine.args}
    if traits.identity_keys:
        own |= file_of(engine.kind).identity(recipe)
    return {"kind": engine.kind, **own, **contents(recipe.parts, "engines", [engine.kind])}


def file_of(kind: str) -> Any:
    """Import the file of an engine."""
    return import_module(ENGINES[kind].module or f"rft.engines.{kind}")


def refuse_missing(kind: str, asked: str = "", otherwise: str = "") -> None:
    """Say at once that an engine's package is not installed, before anything is begun."""
    traits = ENGINES[kind]
    if traits.package and find_spec(traits.package) is None:
        raise RFTError(
            f"{asked or f'engine.kind: {kind}'}, but {traits.package} is not installed here; "
            f"pip install 'rft-rounds[{traits.extra}]', or set "
            f"{otherwise or 'engine.kind: transformers'}"
        )
