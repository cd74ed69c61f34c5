"""Every setting of a run, strict: a module for each section, and how recipes are loaded."""

from rft.recipe.compare import Claim, Compare
from rft.recipe.engine import EngineSettings
from rft.recipe.evaluate import Evaluate, Gate
from rft.recipe.grpo import Grpo, Length, Reward
from rft.recipe.prepare import Columns, Holdout, Prepare, Source
from rft.recipe.recipe import Grade, Keep, Recipe, Score
from rft.recipe.sample import Example, Model, Prompt, Sample, Statistics, Until
from rft.recipe.selection import Select
from rft.recipe.sft import Blend, Lora, Sft

__all__ = [
    "Blend",
    "Claim",
    "Columns",
    "Compare",
    "EngineSettings",
    "Evaluate",
    "Example",
    "Gate",
    "Grade",
    "Grpo",
    "Holdout",
    "Keep",
    "Length",
    "Lora",
    "Model",
    "Prepare",
    "Prompt",
    "Recipe",
    "Reward",
    "Sample",
    "Score",
    "Select",
    "Sft",
    "Source",
    "Statistics",
    "Until",
]
