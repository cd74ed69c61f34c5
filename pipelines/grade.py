"""Check every answer: trim, extract, compare with the gold, average the statistics.

Reads rollouts and problems; writes graded, and the verdict of each distinct pair.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl

from rft.grading.grade import grade, grading_settings, keys_of, path_counts, verdict_rows
from rft.grading.verifiers import Judges, open_verifier
from rft.measuring.cut_answers import alarm, cut_at_limit
from rft.prompt import open_prompter
from rft.runs.folder import Run
from rft.runs.models import base_model
from rft.runs.stages import Job, Stage


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what a verdict depends on."""
    return grading_settings(run.recipe)


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the rollouts and of the golds."""
    return {
        "problems": run.problems_digest(round),
        "rollouts": run.output_digest("sample", round, "rollouts"),
    }


@contextmanager
def grading(
    run: Run, say: Callable[[str], None] = lambda _line: None
) -> Iterator[tuple[Callable[[pl.DataFrame], pl.DataFrame], Judges]]:
    """Give a function that grades rollouts of the run, and the verifier that it asks."""
    keys = keys_of(run.problems(["problem_id", "gold", "question"]))
    # The base's tokenizer is that of every round's model, and is never removed.
    model = base_model(run)
    prompts = open_prompter(model, run.recipe.prompt)
    with open_verifier(run.recipe.grade, say) as verifier:
        yield (
            lambda rollouts: grade(
                rollouts, keys, verifier=verifier, trim=prompts.trim, form=prompts.form
            ),
            verifier,
        )


def work(job: Job) -> None:
    """Grade the rollouts of a round."""
    rollouts = job.run.read("rollouts", job.round)
    with grading(job.run, job.say) as (graded_of, verifier):
        graded = graded_of(rollouts)
        judged = verdict_rows(verifier.judged, verifier_name=verifier.name)
    assert len(graded) == len(rollouts), "rollouts != graded"
    job.write("graded", graded)
    job.write("verdicts", judged)
    job.counts |= {
        "in": len(rollouts),
        "graded": len(graded),
        "verdict": dict(sorted(graded["verdict"].value_counts().iter_rows())),
    }
    job.notes["paths"] = path_counts(graded)
    job.notes["placeholders"] = len(graded.filter(pl.col("num_placeholders") > 0))
    problems = job.run.problems(["problem_id", "difficulty"])
    cut = job.notes["cut_at_limit"] = cut_at_limit(graded, problems)
    if warning := alarm(cut, job.run.recipe.sample.max_tokens):
        job.say(f"  {warning}")


STAGE = Stage("grade", settings, inputs, work)
