"""Check every answer: trim, extract, compare with the gold, average the statistics.

Reads rollouts and problems; writes graded, and the verdict of each distinct pair.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl

from rft.grading.agreement import agreement
from rft.grading.endings import endings
from rft.grading.grade import grade, grading_settings, judge, keys_of, verdict_rows
from rft.grading.method import Judges
from rft.grading.verifiers import finds, judging, needs_golds, open_verifier
from rft.measuring.cut_answers import alarm, cut_at_limit
from rft.measuring.shares import share_of
from rft.prompt import open_prompter
from rft.recipe import Grade
from rft.recipe.parts import contents
from rft.runs.folder import Run
from rft.runs.models import base_model
from rft.runs.stages import Job, Stage

PLACEHOLDERS = (pl.col("num_placeholders") > 0).alias("placeholders")


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what a verdict depends on."""
    return grading_settings(run.recipe) | contents(run.recipe.parts, "statistics")


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
                rollouts,
                keys,
                verifier=verifier,
                trim=prompts.trim,
                form=prompts.form,
                by=judging(run.recipe.grade),
            ),
            verifier,
        )


def work(job: Job) -> None:
    """Grade the rollouts of a round, some problems at a time."""
    run, seen, labels = job.run, 0, list[pl.DataFrame]()
    verdicts, paths, ends, looked_at = Counter[str](), Counter[str](), Counter[str](), []
    with grading(run, job.say) as (graded_of, verifier), job.writer("graded") as table:
        for rollouts in whole_problems(run.batches("rollouts", job.round)):
            graded = graded_of(rollouts)
            table.add(graded)
            seen += len(rollouts)
            verdicts.update(graded["verdict"])
            paths.update(graded["verdict_path"].drop_nulls())
            ends.update(endings(rollouts, graded))
            labels.append(labels_in(graded))
            looked_at.append(graded.select("problem_id", "verdict", "finish_reason", PLACEHOLDERS))
            job.stop.check()
        if not needs_golds(run.recipe.grade):
            tell_of_labels(job, pl.concat(labels), looked_at, verifier)
        if run.recipe.grade.judge == "judge":
            tell_of_agreement(job, verifier)
        judged = verdict_rows(verifier.judged, verifier_name=verifier.name)
    assert table.rows == seen, "rollouts != graded"
    job.write("verdicts", judged)
    job.counts |= {"in": seen, "graded": table.rows, "verdict": dict(sorted(verdicts.items()))}
    job.notes |= {"paths": dict(sorted(paths.items())), "endings": dict(ends)}
    rows = pl.concat(looked_at)
    job.notes["placeholders"] = int(rows["placeholders"].sum())
    problems = run.problems(["problem_id", "difficulty"])
    cut = job.notes["cut_at_limit"] = cut_at_limit(rows, problems)
    if warning := alarm(cut, run.recipe.sample.max_tokens):
        job.say(f"  {warning}")


def labels_in(graded: pl.DataFrame) -> pl.DataFrame:
    """Give an answer that was taken as right of each problem that has one."""
    right = graded.filter(pl.col("verdict") == "correct").select("problem_id", "answer")
    return right.unique("problem_id", keep="first", maintain_order=True)


def tell_of_labels(
    job: Job, labels: pl.DataFrame, looked_at: list[pl.DataFrame], verifier: Judges
) -> None:
    """Note and say of how many problems a majority made a label, and what known golds say to it."""
    keys = keys_of(job.run.problems(["problem_id", "gold", "question"]))
    known = [row for row in labels.iter_rows() if keys[row[0]].golds]
    names, answers = [row[0] for row in known], [row[1] for row in known]
    agree = sum(each.verdict == "correct" for each in judge(names, answers, keys, verifier))
    asked = pl.concat(rows.select("problem_id") for rows in looked_at)["problem_id"].n_unique()
    told: dict[str, float] = {
        "problems": asked,
        "labelled": len(labels),
        "with_gold": len(known),
        "agree": agree,
    }
    line = f"  pseudo-labels by majority, no gold: {len(labels):,} of {asked:,} problems have one"
    if known:
        share = share_of(agree, len(known))
        told |= {"low": share.low, "high": share.high}
        line += (
            f"; of {len(known):,} whose gold is known all the same {agree:,} agree with it "
            f"({100 * share.value:.1f}% [{100 * share.low:.1f}, {100 * share.high:.1f}])"
        )
    job.notes["majority"] = told
    job.say(line)


def tell_of_agreement(job: Job, verifier: Judges) -> None:
    """Note and say how far a model that judges agrees with `math`, on what it was asked about."""
    asked = {pair: each for pair, each in verifier.judged.items() if each.path == "judge"}
    with open_verifier(Grade(deadline=job.run.recipe.grade.deadline)) as other:
        found = agreement(asked, other.verdicts(asked))
    job.notes["agreement"] = found
    if found is None:
        job.say("  judge: none of what it was asked could be decided by math as well")
        return
    share, kappa = found["agree"] / found["pairs"], found["kappa"]
    job.say(
        f"  judge: on {found['pairs']:,} pairs that math decides too it agrees in "
        f"{100 * share:.1f}% [{100 * found['low']:.1f}, {100 * found['high']:.1f}], kappa "
        f"{'undefined, as there is one verdict only' if kappa is None else f'{kappa:.2f}'}"
    )


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
