"""Check every answer: trim, extract, compare with the gold, average the statistics.

Reads rollouts and problems; writes graded, and the verdict of each distinct pair.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl

from rft.grading.grade import grade, verdict_rows
from rft.grading.verifier import Verifier, verifier_name
from rft.measuring.cut_answers import alarm, cut_at_limit
from rft.prompt import load_tokenizer, prompter
from rft.runs.folder import Run
from rft.runs.models import base_model
from rft.runs.stages import Job, Stage


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what a verdict depends on."""
    return {"grade": run.recipe.grade.model_dump(mode="json")}


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the rollouts and of the golds."""
    return {
        "problems": run.output_digest("prepare", 0, "problems"),
        "rollouts": run.output_digest("sample", round, "rollouts"),
    }


@contextmanager
def grading(run: Run) -> Iterator[tuple[Callable[[pl.DataFrame], pl.DataFrame], Verifier]]:
    """Give a function that grades rollouts of the run, and the verifier that it asks."""
    golds = dict(run.read("problems", 0, ["problem_id", "gold"]).iter_rows())
    # The base's tokenizer is that of every round's model, and is never removed.
    model = base_model(run)
    prompts = prompter(load_tokenizer(model.path, **model.options), run.recipe.prompt)
    with Verifier(deadline=run.recipe.grade.deadline) as verifier:
        yield (
            lambda rollouts: grade(rollouts, golds, verifier=verifier, trim=prompts.trim),
            verifier,
        )


def work(job: Job) -> None:
    """Grade the rollouts of a round."""
    rollouts = job.run.read("rollouts", job.round)
    with grading(job.run) as (graded_of, verifier):
        graded = graded_of(rollouts)
        judged = verdict_rows(verifier.judged, verifier_name=verifier_name())
    assert len(graded) == len(rollouts), "rollouts != graded"
    job.write("graded", graded)
    job.write("verdicts", judged)
    job.counts |= {
        "in": len(rollouts),
        "graded": len(graded),
        "verdict": dict(sorted(graded["verdict"].value_counts().iter_rows())),
    }
    problems = job.run.read("problems", 0, ["problem_id", "difficulty"])
    cut = job.notes["cut_at_limit"] = cut_at_limit(graded, problems)
    if warning := alarm(cut, job.run.recipe.sample.max_tokens):
        job.say(f"  {warning}")


STAGE = Stage("grade", settings, inputs, work)
