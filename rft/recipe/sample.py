"""The recipe's `model`, `prompt` and `sample` sections: who answers what, and how."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from rft.errors import shown
from rft.recipe.section import (
    Count,
    Few,
    Inside,
    Name,
    Open,
    Prose,
    Section,
    Temperature,
    Text,
    Texts,
    TokenCount,
    refuse_equal_samples,
)


class Model(Section):
    """The model that the run starts from."""

    path: Name
    """A folder, a Hub id, bundled:NAME, a run folder (its last adopted model), or RUN@3."""
    revision: Name | None = None
    """Commit, tag or branch of a Hub id."""
    trust_remote_code: bool = False
    """Run the Python code that comes with the model."""
    allow_pickle: bool = False
    """Load weights from pickles where there are no others, which may run code too."""


class Example(Section):
    """One solved problem to show in the prompt."""

    question: Text
    """The problem, put into the template like any other."""
    answer: Text
    """The whole worked answer, as the model should write it."""


TEMPLATES: dict[str, str] = {
    "boxed": "{question}\nPut your final answer within \\boxed{{}}.",
    "step_by_step": "{question}\nPlease reason step by step, and put your final answer within "
    "\\boxed{{}}.",
    "bare": "{question}",
}
"""Templates by name, which a recipe may give in the place of the text."""


def a_template(given: object) -> object:
    """Put the text of a template in the place of its name."""
    return TEMPLATES.get(given, given) if isinstance(given, str) else given


class Prompt(Section):
    """How a question becomes the text that the model continues."""

    style: Literal["chat", "raw"] = "chat"
    """Use the model's chat template, or plain text (base models)."""
    system: Prose | None = None
    """The system message."""
    template: Annotated[Text, BeforeValidator(a_template)] = TEMPLATES["boxed"]
    """The user's message: {question} once, and {{ }} for braces; or boxed, step_by_step, bare."""
    few_shot: Annotated[tuple[Example, ...], Field(strict=False)] | None = None
    """Solved examples to show before the question."""
    stop: Texts = ()
    """Texts that end a completion too."""
    end: Name = "auto"
    """The token that closes an answer; auto finds it in the chat template or tokenizer."""
    chat_kwargs: Open = Field(default_factory=dict)
    """Further arguments of the chat template, such as enable_thinking."""

    @model_validator(mode="after")
    def _template_asks(self) -> Self:
        if self.template.count("{question}") != 1:
            raise ValueError(
                f"template must hold {{question}} exactly once; got {shown(self.template)}"
            )
        return self


class Statistics(Section):
    """Which per-token statistics sampling records."""

    entropy: bool = True
    """Entropy of the next-token distribution, in nats."""
    branching: bool = True
    """Number of tokens in the top `mass` of probability."""
    mass: Inside = 0.95
    """The probability mass that branching counts."""


class Until(Section):
    """Sampling in waves until a problem is solved often enough."""

    accepted: Few
    """Correct samples wanted for each problem."""
    max: Few
    """The most samples to spend on one problem."""
    wave: Few
    """Samples drawn for each unfinished problem before looking again."""

    @model_validator(mode="after")
    def _waves_can_reach(self) -> Self:
        if self.max < max(self.accepted, self.wave):
            raise ValueError(
                f"max is {self.max}, less than accepted ({self.accepted}) or wave ({self.wave}); "
                f"raise max"
            )
        return self


class Sample(Section):
    """How the training problems are answered, each round."""

    problems: Count
    """Problems per round; if shuffled, without repetition until all were used."""
    order: Literal["shuffled", "adaptive"] = "shuffled"
    """Which problems: any, or first those that moved on longest ago and were solved least."""
    n: Few
    """Samples per problem; of no account with until."""
    until: Until | None = None
    """Sample in waves until a problem is solved often enough, in place of n."""
    temperature: Temperature = 1.0
    """Softmax temperature; 0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus mass; 1 is no cut."""
    max_tokens: TokenCount
    """The longest completion."""
    statistics: Statistics = Statistics()
    """What is recorded for every token."""

    @model_validator(mode="after")
    def _draws_differ(self) -> Self:
        if self.until is not None:
            refuse_equal_samples(self.temperature, "until.max", self.until.max)
        else:
            refuse_equal_samples(self.temperature, "n", self.n)
        return self
