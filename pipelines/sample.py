"""Sample answers to a round's problems from the last adopted model.

Reads problems and the model, and under `order: adaptive` what earlier rounds graded; writes
rollouts.
"""

from collections import Counter
from typing import Any

import polars as pl

from rft.grading.grade import grading_settings
from rft.grading.verifiers import finds
from rft.problems.order import Solved, adaptive_problems, problems_of_round
from rft.prompt import Prompter, open_prompter
from rft.recipe.parts import contents
from rft.runs.folder import Run
from rft.runs.models import model_before
from rft.runs.stages import Job
from rft.sampling.collect import collected
from rft.sampling.plan import (
    Asked,
    Plan,
    SamplingStage,
    sampling_key,
    sampling_settings,
)
from rft.sampling.preflight import probes_of
from rft.seeds import derive, digest


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what the set of rollouts depends on, problems and model aside."""
    recipe, sample = run.recipe, run.recipe.sample
    wanted = sampling_settings(recipe, sample) | {
        "n": sample.n,
        "problems": sample.problems,
        "statistics": sample.statistics.model_dump(mode="json"),
    }
    if sample.order != "shuffled":  # runs of before there was a choice have no such setting
        wanted |= {"order": sample.order}
    if sample.until is None:
        return wanted
    # How many are drawn depends on which are accepted, and so on grading and rules.
    # The rules as a list: their order matters, and keys are sorted.
    accepts = [grading_settings(recipe), list(recipe.filter.items())]
    accepts += contents(recipe.parts, "rules", recipe.filter).values()
    return wanted | {"n": None, "until": sample.until.model_dump(mode="json"), "accepts": accepts}


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the problems, of the model, and of what the order of problems reads."""
    digests = {
        "problems": run.problems_digest(round),
        "model": model_before(run, round).digest,
    }
    if run.recipe.sample.order == "adaptive":
        for number in range(1, round):
            digests[f"graded {number}"] = run.output_digest("grade", number, "graded")
    return digests


def plan(run: Run, round: int) -> Plan:
    """Ask each problem of the round, every answer with a name and a seed of its own."""
    recipe, model = run.recipe, model_before(run, round)
    prompts = open_prompter(model, recipe.prompt, finds(recipe.grade))
    key = sampling_key(recipe, recipe.sample, model)
    problems = run.problems(["problem_id", "question", "split", "benchmark"], upto=round)
    train = problems.filter(pl.col("split") == "train")
    questions = dict(train.select("problem_id", "question").iter_rows())
    until = recipe.sample.until
    asked = [
        ask(
            run, round, name, questions[name], until.max if until else recipe.sample.n, prompts, key
        )
        for name in problems_for(run, round)
    ]
    probes = probes_of(run, problems, prompts)
    return Plan(run, "sample", round, model, prompts, recipe.sample, asked, probes, until)


def problems_for(run: Run, round: int) -> list[str]:
    """Pick the problems of a round: the same ones for every worker, however often it begins."""
    recipe = run.recipe
    arrivals = {number: to_learn_from(run, number) for number in run.refreshed(round)}
    ids = to_learn_from(run, 0)
    if recipe.sample.order == "adaptive":
        ids += [name for new in arrivals.values() for name in new]
        earlier = (solved_in(run, number) for number in range(1, round))
        return adaptive_problems(ids, recipe.sample.problems, recipe.seed, earlier)
    return problems_of_round(ids, recipe.sample.problems, round, recipe.seed, arrivals)


def solved_in(run: Run, round: int) -> Solved:
    """Count the right answers and all answers of each problem of a round."""
    graded = run.read("graded", round, ["problem_id", "verdict"])
    counts = graded.group_by("problem_id").agg(
        right=(pl.col("verdict") == "correct").sum(), answers=pl.len()
    )
    return {name: (right, answers) for name, right, answers in counts.iter_rows()}


def to_learn_from(run: Run, number: int) -> list[str]:
    """List the training problems that came at the beginning, or in a round."""
    problems = run.read("problems", number, ["problem_id", "split"])
    return sorted(problems.filter(pl.col("split") == "train")["problem_id"])


def ask(
    run: Run, round: int, name: str, question: str, n: int, prompts: Prompter, key: str
) -> Asked:
    """Put a problem to the model."""
    text = prompts.render(question)
    return Asked(
        problem_id=name,
        round=round,
        prompt=text,
        prompt_ids=tuple(prompts.encode(text)),
        n=n,
        name=lambda index: digest("rollout", name, round, index, key),
        seed=lambda index: derive(run.recipe.seed, "sample", round, name, index),
    )


def work(job: Job) -> None:
    """Sample n answers to each problem of the round, or as many as `until` takes."""
    reasons, problems = Counter[str](), set[str]()
    with job.writer("rollouts") as table:
        for rows in collected(job, plan(job.run, job.round)):
            table.add(rows)
            reasons.update(rows["finish_reason"])
            problems.update(rows["problem_id"])
    job.counts |= {
        "in": len(problems),
        "rollouts": table.rows,
        "finish_reason": dict(sorted(reasons.items())),
    }
    job.notes["seeds"] = {"run": job.run.recipe.seed}


# Whatever is there of these answers stays useful when these settings change.
GROWS = frozenset({"n", "problems", "until", "accepts"})

STAGE = SamplingStage("sample", settings, inputs, work, GROWS, "rollouts", plan=plan)
