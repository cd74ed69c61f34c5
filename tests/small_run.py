"""A small run folder without any model: heavy stages write given rows, light ones are real.

A token of its texts is a character, so that every count can be checked by eye.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.perform import STAGES
from rft.grading.answers import answer_box, answer_of, read
from rft.grading.endings import endings
from rft.grading.grade import redundancy
from rft.model_folders.content import MARK, whole_digest
from rft.processes.stopping import Stop
from rft.recipe.loading import load_recipe
from rft.runs import stages, tables
from rft.runs.folder import Run, save_recipe
from rft.runs.models import model_before
from rft.runs.stages import Job
from rft.seeds import digest

# (problem, completion, finish_reason, mean entropy); correct if the box holds the gold, "7".
Sample = tuple[str, str, str, float]

# (split, benchmark, problem) -> the completions of a model.
Answers = Mapping[tuple[str, str, str], Sequence[str]]

GOLD = "7"
RIGHT, WRONG = "so \\boxed{7}", "so \\boxed{8}"


def new_run(path: Path, *overrides: str) -> Run:
    """Begin a run of the smoke recipe."""
    run = Run(path, load_recipe("smoke", overrides))
    path.mkdir(parents=True, exist_ok=True)
    save_recipe(run)
    return run


def do(run: Run, stage: str, round: int, work: Callable[[Job], None] | None = None) -> None:
    """Do a stage, with other work if it is given."""
    real = STAGES[stage]
    job = Job(run, replace(real, work=work or real.work), round, Stop(), lambda _: None)
    if not stages.is_current(real, run, round):
        stages.perform(job)


def reseal(run: Run, table: str, round: int) -> None:
    """Have the manifest say that its stage wrote a table as it is now."""
    for made in run.manifests():
        if made["round"] == round and table in made["outputs"]:
            made["outputs"][table]["digest"] = tables.folder_digest(run.folder(table, round))
            run.write_manifest(made["stage"], round, made)


def solved(count: int, n: int) -> list[str]:
    """Make n completions of which the first ones are right."""
    return [RIGHT] * count + [WRONG] * (n - count)


def prepare(run: Run, *, train: Sequence[str] = ("p0", "p1"), answers: Answers) -> None:
    """Write the problems."""
    places = [("train", "train", name) for name in train] + list(answers)
    rows = [
        {
            "problem_id": name,
            "question": f"What is {name}?",
            "gold": [GOLD],
            "source": "made up",
            "split": split,
            "benchmark": benchmark,
        }
        for split, benchmark, name in places
    ]

    def work(job: Job) -> None:
        job.write("problems", frame("problems", rows))
        job.write("set_aside", tables.empty("set_aside"))
        splits = dict(sorted(pl.Series([place[0] for place in places]).value_counts().iter_rows()))
        job.counts |= {"in": len(rows), "problems": splits, "set_aside": {}}

    do(run, "prepare", 0, work)


def frame(table: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Make a table's frame of rows that lack the columns which are null."""
    return pl.DataFrame(rows, schema=tables.empty(table).schema)


def cut(completion: str) -> str:
    """Cut after the first box."""
    box = answer_box(completion)
    return completion if box is None else completion[: box.end]


def verdict_of(completion: str) -> str:
    """Judge a completion."""
    answer = answer_of(completion)
    return "no_answer" if not answer else "correct" if answer == GOLD else "wrong"


def sample(run: Run, round: int, samples: Sequence[Sample]) -> None:
    """Write the rollouts of a round."""
    model = model_before(run, round).digest
    rows = []
    for name, completion, finish, _ in samples:
        index = sum(row["problem_id"] == name for row in rows)
        rows.append(
            {
                "rollout_id": digest("rollout", name, round, index),
                "problem_id": name,
                "round": round,
                "sample_index": index,
                "prompt": f"Q: What is {name}?",
                "completion": completion,
                "finish_reason": finish,
                "num_prompt_tokens": 10,
                "num_tokens": len(completion),
                "stats_origin": "engine",
                "stats_mass": 0.95,
                "model": model,
                "sampling": "s",
                "seed": index,
            }
        )

    def work(job: Job) -> None:
        job.write("rollouts", frame("rollouts", rows))
        tokens = sum(row["num_tokens"] for row in rows)
        job.counts |= {"in": len({row["problem_id"] for row in rows}), "rollouts": len(rows)}
        job.notes |= {"tokens": tokens, "tokens_sampled_now": tokens, "tokens_per_second": 100}

    do(run, "sample", round, work)


def grade(run: Run, round: int, samples: Sequence[Sample]) -> None:
    """Write the graded rollouts of a round; its branching is 1 + entropy, its nll the entropy."""
    rollouts = run.read("rollouts", round).to_dicts()
    rows = [
        {name: row[name] for name in ("rollout_id", "problem_id", "round", "sample_index")}
        | {
            "response": cut(text),
            "num_response_tokens": len(cut(text)),
            "answer": answer_of(text),
            "verdict": verdict_of(text),
            "num_boxed": len(read(text).answers),
            "num_placeholders": len(read(text).placeholders),
            "finish_reason": finish,
            "num_tokens": len(text),
            "redundancy": redundancy(cut(text)),
            "mean_entropy": entropy,
            "mean_branching": None if entropy is None else 1 + entropy,
            "mean_nll": entropy,
            "stats_origin": "engine",
        }
        for row, (_, text, finish, entropy) in zip(rollouts, samples, strict=True)
    ]

    def work(job: Job) -> None:
        job.write("graded", frame("graded", rows))
        job.write("verdicts", tables.empty("verdicts"))
        job.counts |= {"in": len(rows), "graded": len(rows)}
        asked = run.read("rollouts", round)
        job.notes |= {"endings": dict(endings(asked, frame("graded", rows)))}

    do(run, "grade", round, work)


def digest_of_model(round: int) -> str:
    """Give the digest of the folder that stands for the model of a round."""
    return whole_digest({"round": hashlib.sha256(f"{round}".encode()).hexdigest()})


def sft(run: Run, round: int) -> None:
    """Make a model folder that holds no model."""

    def work(job: Job) -> None:
        folder = job.work / "out" / "model"
        folder.mkdir(parents=True)
        (folder / "round").write_text(f"{round}")
        (folder / MARK).write_text(json.dumps({"digest": digest_of_model(round)}))
        job.outputs["model"] = folder
        job.notes |= {"tokens": 50, "seeds": {"sft": 5}}

    do(run, "sft", round, work)


def evaluate(run: Run, round: int, answers: Answers) -> None:
    """Write the evaluation of a model."""
    rows = [
        {
            "round": round,
            "split": split,
            "benchmark": benchmark,
            "problem_id": name,
            "sample_index": index,
            "completion": text,
            "finish_reason": "stop" if answer_box(text) else "length",
            "num_tokens": len(text),
            "num_response_tokens": len(cut(text)),
            "answer": answer_of(text),
            "verdict": verdict_of(text),
            "verdict_last_box": verdict_of(text),
            "verdict_lenient": verdict_of(text),
            "model": digest_of_model(round),
        }
        for (split, benchmark, name), texts in answers.items()
        for index, text in enumerate(texts)
    ]

    def work(job: Job) -> None:
        job.write("evaluations", frame("evaluations", rows))
        tokens = sum(row["num_tokens"] for row in rows)
        job.notes |= {"tokens": tokens, "tokens_sampled_now": tokens, "tokens_per_second": 10}
        job.notes["model"] = digest_of_model(round)

    do(run, "evaluate", round, work)


def whole_round(run: Run, round: int, samples: Sequence[Sample], answers: Answers) -> None:
    """Do all stages of a round."""
    sample(run, round, samples)
    grade(run, round, samples)
    do(run, "filter", round)
    do(run, "select", round)
    sft(run, round)
    evaluate(run, round, answers)
    if run.recipe.gate is not None:
        do(run, "gate", round)
