"""The recipe: every setting of a run as one frozen tree that refuses what cannot work."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from rft.recipe.compare import Compare
from rft.recipe.engine import EngineSettings
from rft.recipe.evaluate import Evaluate, Gate
from rft.recipe.grpo import Grpo
from rft.recipe.limits import Limits
from rft.recipe.parts import Parts
from rft.recipe.prepare import Prepare
from rft.recipe.sample import Model, Prompt, Sample
from rft.recipe.section import (
    Amount,
    Auto,
    Count,
    Method,
    Name,
    Open,
    Section,
    Text,
    empty_is_nothing,
    refuse_equal_samples,
)
from rft.recipe.selection import Select
from rft.recipe.sft import Sft

Rules = Annotated[dict[str, Open], BeforeValidator(empty_is_nothing)]


class Grade(Section):
    """How answers are checked."""

    verifier: Method = {"math": {}}  # noqa: RUF012  pydantic copies it
    """Who says what is right: math, exact, choice, code, judge, majority or given."""
    deadline: Amount = 5.0
    """Seconds for one (gold, answer) pair, or one test of `code`; the verdict is then `timeout`."""
    verdicts: Name | None = None
    """A Parquet file in which runs share what `math` or `judge` found out; it only saves time."""

    @property
    def judge(self) -> str:
        """Name the verifier."""
        return next(iter(self.verifier))


class Score(Section):
    """The forward pass that computes the statistics which rank, where sampling recorded none."""

    micro_batch: Count | Auto = "auto"
    """Rows per forward pass; auto fits them into 16k tokens, and fewer where memory is short."""


class Keep(Section):
    """What stays on disk."""

    models: Literal["all", "adopted", "last"] = "adopted"
    """All models; the last adopted and the last made; or the last adopted only."""
    optimizer: bool = False
    """Keep the last training checkpoint beside each model."""


class Recipe(Section):
    """Every setting of a run."""

    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    """The seed that all others derive from."""
    rounds: Annotated[int, Field(ge=0, le=9_999)] = 1
    """Rounds; 0 measures the base only."""
    parts: Parts = Field(default_factory=dict)
    """Code of one's own: a list of files beside the recipe (mine.py) and of packages that bring
    rules, orders, statistics, verifiers, readers, templates, engines, plug-ins or objectives."""
    model: Model
    """Where the run starts."""
    prompt: Prompt = Prompt()
    """How questions are put."""
    prepare: Prepare
    """Where problems come from."""
    engine: EngineSettings = EngineSettings()
    """What samples."""
    sample: Sample
    """How many answers are drawn each round."""
    grade: Grade = Grade()
    """How answers are checked."""
    filter: Rules
    """Rules in the order in which they see the survivors: name -> parameters."""
    score: Score = Score()
    """How missing statistics are computed."""
    select: Select
    """What is trained on."""
    sft: Sft
    """How it is trained on."""
    grpo: Grpo | None = None
    """How the model is trained online instead, by `rft grpo`; null in a recipe of rounds."""
    evaluate: Evaluate
    """How models are measured."""
    gate: Gate | None = None
    """When a new model is adopted; null is always."""
    compare: Compare | None = None
    """The arms that `rft compare` makes of this recipe; null in the recipe of a run."""
    keep: Keep = Keep()
    """What stays on disk."""
    track: Literal["none", "trackio", "wandb", "tensorboard"] = "none"
    """Where the curves of the run go: those of training, and a point for each round."""
    stop: Limits | None = None
    """When the run ends by itself; null is when its rounds are done."""
    notify: Text | None = None
    """A shell command that gets each event of the run as a line of JSON on its standard input."""

    @property
    def learns_from(self) -> Sample | Grpo:
        """Give the section that says how the answers are drawn that are learnt from."""
        return self.grpo or self.sample

    @property
    def trains(self) -> Sft | Grpo:
        """Give the section that says how the model is trained."""
        return self.grpo or self.sft

    @property
    def maker(self) -> str:
        """Name the stage that makes a model, which is the name of that section."""
        return "grpo" if self.grpo else "sft"

    @property
    def splits(self) -> tuple[str, ...]:
        """List the splits that are read: train only to learn from, or to hold dev out of."""
        return ("train",) * bool(self.rounds or self.prepare.holdout) + ("dev", "test")

    @property
    def searches(self) -> bool:
        """Say whether each round's weights are blended as is best on the dev split."""
        blend = None if self.grpo else self.sft.blend
        return blend is not None and blend.search is not None

    @model_validator(mode="after")
    def _online_training_is_one_round(self) -> Self:
        if self.grpo is not None and self.rounds > 1:
            raise ValueError(
                f"rounds is {self.rounds}, and online training (grpo) makes one model; set "
                "rounds: 1, or grpo: null"
            )
        if self.grpo is not None and self.prepare.refresh == "round":
            raise ValueError(
                "prepare.refresh is round, and online training (grpo) has a single one; set it to "
                "never"
            )
        if self.grpo is not None and not self.engine.traits.draws:
            raise ValueError(
                f"engine.kind is {self.engine.kind}, and what online training (grpo) makes was "
                "never recorded; set engine.kind: transformers"
            )
        if self.grpo is not None and self.prompt.stop:
            raise ValueError(
                f"prompt.stop is {list(self.prompt.stop)}, and online training (grpo) ends answers "
                "at tokens only; set prompt.stop: []"
            )
        return self

    @model_validator(mode="after")
    def _decisions_have_problems(self) -> Self:
        """Refuse a gate that nothing would decide."""
        if self.prepare.dev is None:
            if self.gate:
                raise ValueError(
                    "gate decides on the dev split, and prepare.dev is null; set gate to null, or "
                    "add dev problems such as prepare.dev: {holdout: 300}"
                )
            return self
        refuse_equal_samples(self.evaluate.temperature, "evaluate.dev_n", self.evaluate.dev_n)
        for metric, k in self.gate.metrics.items() if self.gate else ():
            if k is not None and k > self.evaluate.dev_n:
                raise ValueError(
                    f"gate.metric has {metric} and evaluate.dev_n is {self.evaluate.dev_n}, "
                    "but Pass@k needs at least k samples; raise evaluate.dev_n"
                )
            if k is None and not self.sample.statistics.entropy:
                raise ValueError(
                    "gate.metric has entropy and sample.statistics.entropy is false, so that none "
                    "is recorded; set it to true"
                )
        return self

    @model_validator(mode="after")
    def _plateau_can_be_seen(self) -> Self:
        plateau = self.stop.plateau if self.stop else None
        if plateau is None:
            return self
        if self.prepare.dev is None:
            raise ValueError(
                "stop.plateau looks at the dev split, and prepare.dev is null; set stop.plateau to "
                "null, or add dev problems such as prepare.dev: {holdout: 300}"
            )
        if plateau.k > self.evaluate.dev_n:
            raise ValueError(
                f"stop.plateau.metric is {plateau.metric} and evaluate.dev_n is "
                f"{self.evaluate.dev_n}, but Pass@k needs at least k samples; raise evaluate.dev_n"
            )
        return self

    @model_validator(mode="after")
    def _blends_can_be_measured(self) -> Self:
        if not self.searches:
            return self
        blend = self.sft.blend
        assert blend is not None
        if self.prepare.dev is None:
            raise ValueError(
                "sft.blend.search chooses on the dev split, and prepare.dev is null; set "
                "sft.blend to a number, or add dev problems such as prepare.dev: {holdout: 300}"
            )
        if blend.k > self.evaluate.dev_n:
            raise ValueError(
                f"sft.blend.on is {blend.on} and evaluate.dev_n is {self.evaluate.dev_n}, but "
                "Pass@k needs at least k samples; raise evaluate.dev_n"
            )
        if not self.engine.traits.draws:
            raise ValueError(
                f"engine.kind is {self.engine.kind}, and what the candidates of sft.blend.search "
                "answer was never recorded; set sft.blend to a number"
            )
        return self

    @model_validator(mode="after")
    def _benchmarks_are_known(self) -> Self:
        """Match evaluate's benchmark names with those of prepare.test."""
        known = list(self.prepare.benchmarks("test"))
        named = {"evaluate.reference": list(self.evaluate.reference)}
        if isinstance(self.evaluate.n, dict):
            named["evaluate.n"] = list(self.evaluate.n)
            for name in known:
                if name not in self.evaluate.n:
                    raise ValueError(
                        f"evaluate.n lacks the benchmark {name} of prepare.test; add it"
                    )
        for key, names in named.items():
            for name in names:
                if name not in known:
                    raise ValueError(
                        f"{key}.{name}: prepare.test has no benchmark {name!r}; "
                        f"it has {', '.join(known)}"
                    )
        return self

    @model_validator(mode="after")
    def _claims_can_be_measured(self) -> Self:
        most = max(map(self.evaluate.samples, self.prepare.benchmarks("test")), default=0)
        for name, claim in self.compare.claims.items() if self.compare else ():
            if claim.k > most:
                raise ValueError(
                    f"compare.claims.{name} is about {claim.metric}, and evaluate.n is {most}, "
                    "which are too few samples for it; raise evaluate.n"
                )
        return self

    @model_validator(mode="after")
    def _prompts_have_room(self) -> Self:
        """Refuse completions that fill the engine's whole context."""
        longest = self.engine.max_model_len
        learns = "grpo" if self.grpo else "sample"
        for key, tokens in (
            (f"{learns}.max_tokens", self.learns_from.max_tokens),
            ("evaluate.max_tokens", self.evaluate.max_tokens),
        ):
            if longest is not None and tokens >= longest:
                raise ValueError(
                    f"{key} is {tokens} and engine.max_model_len is {longest}, which leaves no "
                    f"room for the prompt; lower {key} or raise engine.max_model_len"
                )
        return self
