"""Engines turn requests into finished rollouts; one small protocol, chosen by `engine.kind`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


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


class Engine(Protocol):
    """What the sampling stages ask of an engine."""

    def units(self, requests: Sequence[Request]) -> list[list[Request]]:
        """Split requests into the smallest sets that are sampled, and lost to a kill, together."""
        ...

    def sample(
        self, unit: Sequence[Request], sampling: Sampling, *, check: Callable[[], None]
    ) -> list[Finished]:
        """Sample one unit; `check` is called often and raises when the work has to stop."""
        ...
