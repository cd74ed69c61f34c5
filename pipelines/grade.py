"""Check every answer: trim, extract, compare with the gold, average the statistics.

Reads rollouts and problems; writes graded, and the verdict of each distinct pair.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from rft.grading.grade import grade, verdict_rows
from rft.grading.verifier import Verifier, verifier_name
from rft.measuring.cut_answers import alarm, cut_at_limit
from rft.problems.foreign_rows import IDENTITY, adopt, pad, refuse_taken
from rft.prompt import load_tokenizer, prompter
from rft.recipe import Grade
from rft.runs.folder import Run
from rft.runs.models import base_model
from rft.runs.schemas import TABLES
from rft.runs.stages import Job, Stage

# What grading takes over from foreign rows; the rest of the graded columns are its own.
GIVEN = (*IDENTITY, "completion", "finish_reason", "num_tokens", "stats_origin")


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
    found = job.notes["cut_at_limit"] = cut_at_limit(graded, problems)
    if warning := alarm(found, job.run.recipe.sample.max_tokens):
        job.say(f"  {warning}")


def grade_file(rows: pl.DataFrame, path: Path, grade_settings: Grade) -> pl.DataFrame:
    """Grade anyone's rows; their other columns pass through."""
    ours = [name for name in TABLES["graded"].names if name not in GIVEN]
    refuse_taken(rows, ours, "grade", path)
    rollouts, golds = adopt(rows, path)
    # Without the tokenizer their token ids cannot be trimmed, nor statistics be averaged over them.
    plain = pad(rollouts.select(name for name in rollouts.columns if name in GIVEN), "rollouts")
    with Verifier(deadline=grade_settings.deadline) as verifier:
        graded = grade(plain, golds, verifier=verifier, trim=None)
    beside = rollouts.select(name for name in rollouts.columns if name not in graded.columns)
    return pl.concat([graded, beside], how="horizontal")


STAGE = Stage("grade", settings, inputs, work)
