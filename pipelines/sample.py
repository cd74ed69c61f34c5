"""Sample answers to a round's problems from the last adopted model.

Reads problems and the model; writes rollouts.
"""

from functools import cache
from typing import Any

from rft.engines import Engine, Request
from rft.models import model_before
from rft.preflight import preflight
from rft.prompt import Prompter, load_tokenizer, prompter
from rft.sampling import (
    as_sampling,
    collect,
    open_engine,
    problems_of_round,
    sampling_key,
    sampling_settings,
)
from rft.seeds import derive, digest
from rft.stages import Job, Stage
from rft.store import Run


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what the set of rollouts depends on, problems and model aside."""
    sample = run.recipe.sample
    return sampling_settings(run.recipe, sample) | {
        "n": sample.n,
        "problems": sample.problems,
        "statistics": sample.statistics.model_dump(mode="json"),
    }


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the problems and of the model."""
    return {
        "problems": run.output_digest("prepare", 0, "problems"),
        "model": model_before(run, round).digest,
    }


def work(job: Job) -> None:
    """Sample n answers to each problem of the round."""
    run, model = job.run, model_before(job.run, job.round)
    prompts = prompter(load_tokenizer(model.path, **model.options), run.recipe.prompt)
    key = sampling_key(run.recipe, run.recipe.sample, model)
    wanted = requests(run, job.round, prompts, key)

    @cache
    def engine() -> Engine:
        return open_engine(run, model, prompts)

    preflight(job, model, prompts, engine, wanted)
    rollouts = collect(
        job,
        wanted,
        as_sampling(run.recipe, run.recipe.sample),
        model=model,
        key=key,
        engine=engine,
    )
    job.write("rollouts", rollouts)
    reasons = dict(sorted(rollouts["finish_reason"].value_counts().iter_rows()))
    job.counts |= {
        "in": rollouts["problem_id"].n_unique(),
        "rollouts": len(rollouts),
        "finish_reason": reasons,
    }
    job.notes["seeds"] = {"run": run.recipe.seed}


def requests(run: Run, round: int, prompts: Prompter, key: str) -> list[Request]:
    """List the rollouts that the round asks for, each with a name and a seed of its own."""
    recipe = run.recipe
    problems = run.read("problems", 0, ["problem_id", "question", "split"])
    questions = {
        name: question for name, question, split in problems.iter_rows() if split == "train"
    }
    chosen = problems_of_round(sorted(questions), recipe.sample.problems, round, recipe.seed)
    wanted = []
    for name in chosen:
        text = prompts.render(questions[name])
        ids = tuple(prompts.encode(text))
        wanted += [
            Request(
                rollout_id=digest("rollout", name, round, index, key),
                problem_id=name,
                round=round,
                sample_index=index,
                prompt=text,
                prompt_ids=ids,
                seed=derive(recipe.seed, "sample", round, name, index),
            )
            for index in range(recipe.sample.n)
        ]
    return wanted


STAGE = Stage("sample", settings, inputs, work, grows=frozenset({"n", "problems"}))
