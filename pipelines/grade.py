"""Check every answer: trim, extract, compare with the gold, average the statistics.

Reads rollouts and problems; writes graded, and the verdict of each distinct pair.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl

from rft.grading.grade import grade, grading_settings, keys_of, verdict_rows
from rft.grading.method import Judges
from rft.grading.verifiers import finds, open_verifier
from rft.measuring.cut_answers import alarm, cut_at_limit
from rft.prompt import open_prompter
from rft.runs.folder import Run
from rft.runs.models import base_model
from rft.runs.stages import Job, Stage

PLACEHOLDERS = (pl.col("num_placeholders") > 0).alias("placeholders")


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
    prompts = open_prompter(model, run.recipe.prompt, finds(run.recipe.grade))
    with open_verifier(run.recipe.grade, say) as verifier:
        yield (
            lambda rollouts: grade(
                rollouts, keys, verifier=verifier, trim=prompts.trim, form=prompts.form
            ),
            verifier,
        )


def work(job: Job) -> None:
    """Grade the rollouts of a round, some problems at a time."""
    run, seen = job.run, 0
    verdicts, paths, looked_at = Counter[str](), Counter[str](), []
    with grading(run, job.say) as (graded_of, verifier), job.writer("graded") as table:
        for rollouts in whole_problems(run.batches("rollouts", job.round)):
            graded = graded_of(rollouts)
            table.add(graded)
            seen += len(rollouts)
            verdicts.update(graded["verdict"])
            paths.update(graded["verdict_path"].drop_nulls())
            looked_at.append(graded.select("problem_id", "verdict", "finish_reason", PLACEHOLDERS))
            job.stop.check()
        judged = verdict_rows(verifier.judged, verifier_name=verifier.name)
    assert table.rows == seen, "rollouts != graded"
    job.write("verdicts", judged)
    job.counts |= {"in": seen, "graded": table.rows, "verdict": dict(sorted(verdicts.items()))}
    job.notes["paths"] = dict(sorted(paths.items()))
    rows = pl.concat(looked_at)
    job.notes["placeholders"] = int(rows["placeholders"].sum())
    problems = run.problems(["problem_id", "difficulty"])
    cut = job.notes["cut_at_limit"] = cut_at_limit(rows, problems)
    if warning := alarm(cut, run.recipe.sample.max_tokens):
        job.say(f"  {warning}")


def whole_problems(batches: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Cut rows of any size between problems: answers to one are numbered together.

    A problem's rows stand together in the table, which is sorted by them.
    """
    waiting, seen = pl.DataFrame(), set[str]()
    for batch in batches:
        rows = pl.concat([waiting, batch]) if len(waiting) else batch
        last = pl.col("problem_id") == pl.col("problem_id").last()
        whole, waiting = rows.filter(~last), rows.filter(last)
        if len(whole):
            names = set(whole["problem_id"])
            assert not names & seen, "the rows of a problem do not stand together"
            seen |= names
            yield whole
    yield waiting


STAGE = Stage("grade", settings, inputs, work)
