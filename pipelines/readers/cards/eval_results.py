"""Scores in the Hub's own form, `.eval_results/*.yaml`, for benchmarks with a leaderboard there.

The form is https://huggingface.co/docs/hub/eval-results; what is not measured whole is left out.
"""

import re
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from pipelines.readers.cards.page import Manifests
from pipelines.readers.measured_on import MeasuredOn
from rft.measuring.pass_at_k import pass_interval, solved
from rft.problems.benchmarks import BENCHMARKS
from rft.recipe import Source
from rft.runs import tables
from rft.runs.atomic import atomic_text
from rft.runs.folder import Run
from rft.seeds import derive

# What makes a benchmark up -> the task's id in the data set's eval.yaml. The page above links that
# of gsm8k (its id as in evaleval's description of their converter) and prints that of AIME 2026.
TASKS = {(row.dataset, row.config, row.split): row.task for row in BENCHMARKS.values() if row.task}
COMMIT = re.compile(r"[0-9a-f]{40}")


def write_eval_results(
    run: Run, made: Manifests, number: int, *, data: Path, folder: Path, repo: str
) -> None:
    """Write a file for each benchmark of the Hub that model `number` was measured on, whole."""
    for name, source in run.recipe.prepare.benchmarks("test").items():
        place = (source.source.removeprefix("hub:"), source.config, source.split or "")
        task = TASKS.get(place) if source.source.startswith("hub:") else None
        answers = measured(data, number, name) if task and is_whole(run, name, source) else None
        if task and answers is not None:
            told = entry(run, made, number, name, source, task, answers, repo)
            text = yaml.safe_dump([told], sort_keys=False, allow_unicode=True, width=100)
            atomic_text(folder / ".eval_results" / f"{task.rpartition('/')[2]}.yaml", text)


def is_whole(run: Run, benchmark: str, source: Source) -> bool:
    """Say whether every problem of a benchmark is measured: none cut off, none set aside."""
    if source.limit is not None or not tables.parts(run.folder("set_aside", 0)):
        return False
    aside = run.read("set_aside", 0, ["split", "benchmark"])
    return aside.filter(split="test", benchmark=benchmark).is_empty()


def measured(data: Path, number: int, benchmark: str) -> pl.DataFrame | None:
    """Read a model's answers to a benchmark out of the exported tables, if it was measured."""
    columns = ["round", "split", "benchmark", "problem_id", "verdict"]
    paths = tables.parts(data / "evaluations")
    frames = [tables.read_file(path, columns) for path in paths]
    whole = pl.concat(frames).filter(round=number, split="test", benchmark=benchmark)
    return None if whole.is_empty() else whole


def entry(
    run: Run,
    made: Manifests,
    number: int,
    name: str,
    source: Source,
    task: str,
    answers: pl.DataFrame,
    repo: str,
) -> dict[str, Any]:
    """Make one result: Pass@1 in percent, and how it was measured."""
    from huggingface_hub import EvalResultEntry, constants, eval_result_entries_to_yaml

    recipe = run.recipe.evaluate
    full = MeasuredOn("test", name).name
    seed = derive(run.recipe.seed, "report", full, number, 1)
    score = pass_interval(answers, k=1, seed=seed)
    n = min(solved(answers)["n"])
    revision = source.revision or ""
    notes = (
        f"avg@{n}, 95% interval over problems [{100 * score.low:.1f}, {100 * score.high:.1f}], "
        f"temperature {recipe.temperature:g}, top-p {recipe.top_p:g}, at most "
        f"{recipe.max_tokens} tokens"
    )
    if revision and not COMMIT.fullmatch(revision):
        notes += f", revision {revision}"
    result = EvalResultEntry(
        dataset_id=source.source.removeprefix("hub:"),
        task_id=task,
        value=round(100 * score.value, 2),
        dataset_revision=revision if COMMIT.fullmatch(revision) else None,
        date=made[number, "evaluate"]["finished"],
        source_url=f"{constants.ENDPOINT}/datasets/{repo}" if repo else None,
        source_name="every answer with its verdict" if repo else None,
        notes=notes,
    )
    return dict(eval_result_entries_to_yaml([result])[0])
