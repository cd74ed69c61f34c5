"""What the tests of scoring share: the bundled model and its tokenizer."""

from typing import Any

import pytest

from pipelines import score as stage
from rft.prompt import Prompter, load_tokenizer, prompter
from rft.recipe.loading import load_recipe
from rft.runs.models import ModelRef
from rft.token_stats import forward
from tests.scored_run import TINY


@pytest.fixture(scope="module")
def prompts() -> Prompter:
    return prompter(load_tokenizer(TINY.path), load_recipe("smoke").prompt)


@pytest.fixture(scope="module")
def model() -> Any:
    return forward.load(TINY)


@pytest.fixture
def no_model(monkeypatch) -> None:
    """Let the test fail when a model is loaded."""

    def refuse(_: ModelRef) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(stage, "load", refuse)
