"""What is sampled: by which settings, from which model, whose answers, under which names."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from rft.engines import Finished, Request, Sampling, engine_identity
from rft.prompt import Prompter
from rft.recipe import Evaluate, Grpo, Recipe, Sample, Until
from rft.runs import tables
from rft.runs.folder import Run
from rft.runs.models import ModelRef
from rft.runs.stages import Stage
from rft.seeds import derive, digest


def sampling_settings(recipe: Recipe, section: Sample | Grpo | Evaluate) -> dict[str, Any]:
    """Give the settings that, with the model's content, are the sampling key."""
    return {
        "seed": recipe.seed,
        "prompt": recipe.prompt.model_dump(mode="json"),
        "engine": engine_identity(recipe),
        "temperature": section.temperature,
        "top_p": section.top_p,
        "max_tokens": section.max_tokens,
    }


def sampling_key(recipe: Recipe, section: Sample | Grpo | Evaluate, model: ModelRef) -> str:
    """Hash what decides a rollout's text: never how many are asked for, nor of which problems."""
    return digest(canonical(sampling_settings(recipe, section)), model.digest)


def canonical(value: Any) -> str:
    """Write settings in one canonical way."""
    return json.dumps(value, sort_keys=True)


def as_sampling(recipe: Recipe, section: Sample | Grpo | Evaluate) -> Sampling:
    """Give the engine's view of a sampling section."""
    wanted = recipe.sample.statistics
    return Sampling(
        temperature=section.temperature,
        top_p=section.top_p,
        max_tokens=section.max_tokens,
        entropy=wanted.entropy,
        branching=wanted.branching,
        mass=wanted.mass,
    )


@dataclass(frozen=True)
class Asked:
    """A problem as it is put to the model, and how many answers are wanted at most."""

    problem_id: str
    round: int
    prompt: str
    prompt_ids: tuple[int, ...]
    n: int
    name: Callable[[int], str]
    """From an answer's index to its rollout_id."""
    seed: Callable[[int], int]
    benchmark: str | None = None

    @property
    def place(self) -> str:
        """Tell the problem from the same one in another benchmark."""
        return f"{self.benchmark or ''} {self.problem_id}".lstrip()

    def request(self, index: int) -> Request:
        """Ask for the answer of an index."""
        return Request(
            rollout_id=self.name(index),
            problem_id=self.problem_id,
            round=self.round,
            sample_index=index,
            prompt=self.prompt,
            prompt_ids=self.prompt_ids,
            seed=self.seed(index),
            benchmark=self.benchmark,
        )


@dataclass(frozen=True)
class Plan:
    """All that a stage samples, and with what."""

    run: Run
    stage: str
    round: int
    model: ModelRef
    prompts: Prompter
    section: Sample | Grpo | Evaluate
    asked: Sequence[Asked]
    probes: Sequence[Request] = ()
    """What the preflight samples: as the run measures if with a benchmark, else as it learns."""
    until: Until | None = None

    @cached_property
    def key(self) -> str:
        """Hash what decides the text of these rollouts."""
        return sampling_key(self.run.recipe, self.section, self.model)

    @property
    def sampling(self) -> Sampling:
        """Give the engine's view of the settings."""
        return as_sampling(self.run.recipe, self.section)

    @property
    def longest(self) -> int:
        """Count the tokens of the longest prompt with the longest completion."""
        longest = max((len(each.prompt_ids) for each in self.asked), default=0)
        return longest + self.section.max_tokens

    @property
    def room(self) -> int:
        """Count the tokens that an engine must be able to hold, the preflight's probes included."""
        recipe = self.run.recipe
        limits = {True: recipe.learns_from.max_tokens, False: recipe.evaluate.max_tokens}
        probes = (len(each.prompt_ids) + limits[each.benchmark is None] for each in self.probes)
        return max([self.longest, *probes])

    @property
    def together(self) -> bool:
        """Say whether tokens depend, in their last bits, on which requests share a batch."""
        return self.run.recipe.engine.traits.together

    def engine_seed(self, worker: str, attempt: int) -> int:
        """Derive the seed of an engine that draws for all its requests from one stream."""
        return derive(self.run.recipe.seed, "engine", self.stage, self.round, worker, attempt)


@dataclass(frozen=True, kw_only=True)
class SamplingStage(Stage):
    """A stage that samples: its workers, which are processes of their own, need its plan too."""

    plan: Callable[[Run, int], Plan]
    """Say what is sampled in a round."""


def rollout_rows(finished: Iterable[Finished], plan: Plan) -> pl.DataFrame:
    """Turn an engine's output into rows of the rollouts table."""
    mass = plan.sampling.mass
    rows = [
        {
            "rollout_id": done.request.rollout_id,
            "problem_id": done.request.problem_id,
            "round": done.request.round,
            "sample_index": done.request.sample_index,
            "prompt": done.request.prompt,
            "completion": done.completion,
            "finish_reason": done.finish_reason,
            "num_prompt_tokens": len(done.request.prompt_ids),
            "num_tokens": done.length,
            "token_ids": done.token_ids,
            "logprobs": done.logprobs,
            "entropies": done.entropies,
            "branching": done.branching,
            "stats_origin": done.stats_origin,
            "stats_mass": None if done.branching is None else mass,
            "model": plan.model.digest,
            "sampling": plan.key,
            "seed": done.seed,
        }
        for done in finished
    ]
    return pl.DataFrame(rows, schema=tables.empty("rollouts").schema)


def has_statistics(sampling: Sampling) -> pl.Expr:
    """Say whether a rollout has the statistics that are asked for, at the mass asked for."""
    enough = pl.lit(True)
    if sampling.entropy:
        enough &= pl.col("entropies").is_not_null()
    if sampling.branching:
        enough &= pl.col("branching").is_not_null()
        enough &= (pl.col("stats_mass") - sampling.mass).abs() < 1e-6
    return enough.fill_null(False)
