"""The recipe's `engine` section, and the table of engines: one row says all that others ask."""

from dataclasses import dataclass
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from rft.errors import shown
from rft.recipe.section import Auto, Few, Name, Open, Section, TokenCount, a_row

# Engine arguments that have a place of their own in the recipe.
ENGINE_SETTINGS = {
    "model": "model.path",
    "revision": "model.revision",
    "trust_remote_code": "model.trust_remote_code",
    "max_model_len": "engine.max_model_len",
    "seed": "seed",
}
# Arguments of any engine that decide its numbers, and so its tokens.
NUMBERS = ("dtype", "quantization", "kv_cache_dtype", "hf_overrides")


@dataclass(frozen=True)
class EngineKind:
    """What others ask about a kind of engine; the engine itself is rft/engines/KIND.py."""

    called: str
    """Its name in a sentence."""
    statistics: Literal["exact", "estimated", "recorded"]
    """What its per-token statistics are; any but exact ones may be missing when rows are ranked."""
    package: str | None = None
    """The package it needs, beside what every installation has."""
    extra: str = ""
    """The extra of ours that brings the package."""
    parts: tuple[str, ...] = ()
    """What it uses of the package, which `rft doctor` tries to import."""
    keys: tuple[str, ...] = ()
    """The keys of the section that are for it alone, or for it and a few others."""
    needs: tuple[str, ...] = ()
    """Those of its keys that it cannot do without."""
    identity_args: tuple[str, ...] = NUMBERS
    """Which of engine.args decide the tokens; all others are about memory and speed."""
    identity_keys: tuple[str, ...] = ()
    """Which of its keys decide the tokens: if any, `identity` in its file says how."""
    local: bool = False
    """Whether it loads the model and computes on this machine."""
    place: str = ""
    """Where it computes otherwise, as a template over the section's keys."""
    together: bool = False
    """Whether tokens depend, in their last bits, on which requests share a batch and on nothing
    else: then batches are formed the same way again after a kill."""
    draws: bool = True
    """Whether its answers are new, so that a model made a moment ago can be asked."""
    needs_gpu: bool = False
    """Whether it needs an accelerator, unless its package is a build for the CPU."""
    claims: float | None = None
    """The share of a GPU's memory that it takes at start, if gpu_memory_utilization is not set."""
    module: str = ""
    """Where it is opened; empty is rft/engines/KIND.py."""
    halves: bool = False
    """Whether `dtype: auto` is bfloat16 on GPUs, float16 where one has none; there it refuses
    bfloat16 in place of emulating it."""


ENGINES: dict[str, EngineKind] = {
    "transformers": EngineKind("transformers", "exact", local=True, together=True),
    "vllm": EngineKind(
        "vLLM",
        "exact",
        package="vllm",
        extra="vllm",
        parts=("EngineArgs", "LLMEngine"),
        keys=("runner",),
        local=True,
        needs_gpu=True,
        claims=0.92,
        halves=True,
    ),
    "server": EngineKind(
        "the server",
        "estimated",
        package="openai",
        extra="server",
        parts=("AsyncOpenAI",),
        keys=("url", "served_model"),
        needs=("url",),
        identity_args=(*NUMBERS, "top_logprobs"),
        identity_keys=("served_model",),
        place="server at {url}",
    ),
    "replay": EngineKind(
        "the replay",
        "recorded",
        keys=("path",),
        needs=("path",),
        identity_keys=("path",),
        place="replay of {path}",
        draws=False,
    ),
}


def an_engine(name: object) -> object:
    """Refuse what is no row of the table of engines."""
    return a_row("engine", name, ENGINES)


NameOfEngine = Annotated[str, BeforeValidator(an_engine)]


class EngineSettings(Section):
    """What samples, for `sample` and `evaluate` alike."""

    kind: NameOfEngine = "transformers"
    """In this process, vLLM, an OpenAI-compatible server, or recorded rollouts."""
    workers: Few | Auto = "auto"
    """How many engines; auto is one per GPU or tensor-parallel group."""
    max_model_len: TokenCount | None = None
    """The longest prompt plus completion, in tokens; null is what the stage needs."""
    runner: Literal["v1", "v2"] | None = None
    """vLLM's model runner; null chooses the one whose statistics are known to be right."""
    url: Name | None = None
    """The server's address, up to and with /v1."""
    served_model: Name | None = None
    """The model's name on the server; null is model.path."""
    path: Name | None = None
    """The recorded rollouts, a Parquet file or folder, for kind: replay."""
    args: Open = Field(default_factory=dict)
    """Further arguments of the engine, such as vLLM's gpu_memory_utilization."""

    @property
    def traits(self) -> EngineKind:
        """Give the kind's row of the table."""
        return ENGINES[self.kind]

    @model_validator(mode="after")
    def _settings_are_this_kinds(self) -> Self:
        for name in sorted({key for kind in ENGINES.values() for key in kind.keys}):
            value = getattr(self, name)
            kinds = [kind for kind, traits in ENGINES.items() if name in traits.keys]
            if value is not None and self.kind not in kinds:
                raise ValueError(
                    f"{name} is {shown(value)}, for kind: {' or '.join(kinds)} only, and kind is "
                    f"{self.kind}; remove {name} or change kind"
                )
            if value is None and name in self.traits.needs:
                raise ValueError(f"kind: {self.kind} needs {name}; add it")
        if self.url and (wrong := wrong_with(self.url)):
            raise ValueError(wrong)
        for name in self.args:
            if name in ENGINE_SETTINGS:
                raise ValueError(f"args.{name} has a key of its own; set {ENGINE_SETTINGS[name]}")
        return self


def wrong_with(url: str) -> str | None:
    """Say what is wrong with a server's address, without showing it: people put keys into them.

    A secret in it would be copied into the run folder, every manifest and every export.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good, parts = False, urlsplit("")
    if "@" in url:
        return (
            "url holds a user or password, which would be written into the run; put a key into "
            "the environment variable OPENAI_API_KEY, or name one with engine.args.api_key_env"
        )
    if not good or not (url.isascii() and url.isprintable()):
        return "url begins with http:// or https:// and a host, as in http://localhost:8000/v1"
    if parts.query or parts.fragment:
        return "url goes up to and with /v1, and has neither ? nor # in it"
    return None
