"""Anyone's rollouts, in the formats in which other tools save them, made into rows of ours."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rft.foreign import inspect_ai, nemo_gym, openai_chat, rllm, verifiers_runs
from rft.foreign.chat import Adopted, Unfit


@dataclass(frozen=True)
class Format:
    """A format: which records look like it, and which rollouts one of them has."""

    fits: Callable[[Mapping[str, Any]], bool]
    rows: Callable[[Mapping[str, Any]], Iterator[Adopted | Unfit]]


# In the order in which they are tried: what is told apart by more comes first.
FORMATS = {
    "rllm": Format(rllm.fits, rllm.rows),
    "gym": Format(nemo_gym.fits, nemo_gym.rows),
    "inspect": Format(inspect_ai.fits, inspect_ai.rows),
    "verifiers": Format(verifiers_runs.fits, verifiers_runs.rows),
    "openai": Format(openai_chat.fits, openai_chat.rows),
}
