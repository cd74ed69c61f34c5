"""Judge a sample of graded answers again, by other ways, for a round of a run or anyone's rows.

Reads graded, rollouts and problems; writes the audited rows, which nothing else reads.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from rft.errors import RFTError
from rft.grading.audit import audit, in_words
from rft.grading.grade import keys_of
from rft.grading.judgement import AnswerKey
from rft.problems.foreign_rows import rollouts_of, write_rows
from rft.recipe import Recipe
from rft.runs.folder import Run
from rft.seeds import derive


def audit_round(run: Run, round: int | None, number: int, say: Callable[[str], None]) -> None:
    """Audit the verdicts of a round, or of the last one that was graded."""
    rounds = range(1, run.recipe.rounds + 1)
    done = [each for each in rounds if run.manifest("grade", each)]
    if not done or (round is not None and round not in done):
        raise RFTError(f"{run.path}: no graded round to audit; `rft grade {run.path}` makes one")
    which = done[-1] if round is None else round
    problems = run.problems(["problem_id", "gold", "question"])
    completions = run.read("rollouts", which, ["rollout_id", "completion"])
    folder = run.path / "audit" / f"round-{which:04d}.parquet"
    graded = run.read("graded", which)
    told(graded, dict(completions.iter_rows()), keys_of(problems), run.recipe, number, folder, say)


def audit_rows(
    graded: pl.DataFrame,
    path: Path,
    recipe: Recipe,
    number: int,
    output: Path,
    say: Callable[[str], None],
) -> None:
    """Audit the verdicts of anyone's rows, which were just graded."""
    columns = ["problem_id", "gold", *(name for name in ("question", "problem") if name in graded)]
    _, keys = rollouts_of(graded.select("completion", *columns), path)
    completions = dict(graded.select("rollout_id", "completion").iter_rows())
    told(graded, completions, keys, recipe, number, output, say)


def told(
    graded: pl.DataFrame,
    completions: Mapping[str, str],
    keys: Mapping[str, AnswerKey],
    recipe: Recipe,
    number: int,
    output: Path,
    say: Callable[[str], None],
) -> None:
    """Audit, write the audited rows, and say how many verdicts differ."""
    if (judge := recipe.grade.judge) in ("code", "majority"):
        raise RFTError(
            f"--audit judges answers by golds in mathematics, and grade.verifier is {judge}; "
            "leave it out"
        )
    seed = derive(recipe.seed, "audit")
    deadline = recipe.grade.deadline
    audited = audit(graded, completions, keys, number=number, seed=seed, deadline=deadline)
    write_rows(output, audited)
    for line in in_words(audited):
        say(line)
    say(f"{len(audited)} audited -> {output}")
