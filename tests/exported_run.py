"""Runs with every table and no model behind them, and what an export of them holds."""

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from pipelines.perform import STAGES
from pipelines.readers.export import export_run
from rft.measuring.pass_rates import pass_rates
from rft.processes.stopping import Stop
from rft.recipe.loading import load_recipe
from rft.runs import tables
from rft.runs.folder import Run, save_recipe
from rft.runs.models import new_model_folder
from rft.runs.schemas import TABLES
from rft.runs.stages import Job, Stage, perform
from rft.selection.composition import composition
from rft.selection.narrow import narrow

HOSTILE = "---\nlicense: stolen\n---\n```` </script><b>| {braces} %s \x00\x1b[31m \\boxed{4}"
SAMPLES = ("correct", "correct", "wrong", "no_answer")


def make_run(
    folder: Path, *more: str, rounds: int = 2, noise: bool = True, gate: str = "null"
) -> Run:
    """Make a run of four problems without any model: the tables, committed by the real stages."""
    dev = "prepare.dev={source: bundled:arithmetic, split: dev}"
    recipe = load_recipe("smoke", [f"rounds={rounds}", dev, f"gate={gate}", *more])
    run = Run(folder, recipe)
    folder.mkdir(parents=True)
    begin(run)
    commit(run, "prepare", 0, {"problems": problems(), "set_aside": tables.empty("set_aside")})
    commit(run, "evaluate", 0, {"evaluations": evaluations(0)})
    for round in range(1, rounds + 1):
        whole = graded(round)
        kept = whole.filter(pl.col("verdict") != "no_answer")
        rejected = whole.filter(pl.col("verdict") == "no_answer")
        commit(run, "sample", round, {"rollouts": rollouts(round)})
        commit(run, "grade", round, {"graded": whole})
        commit(
            run, "filter", round, {"kept": kept, "rejected": with_(rejected, rejected_by="no_box")}
        )
        chosen = kept if noise else kept.filter(pl.col("verdict") == "correct")
        role = pl.when(pl.col("verdict") == "wrong").then(pl.lit("noise"))
        chosen = chosen.with_columns(role=role.otherwise(pl.lit("positive")))
        chosen = with_(chosen, ranked_by="branching").with_columns(
            rank=pl.int_range(pl.len(), dtype=pl.Int32).over("role")
        )
        others = kept.join(chosen, on="rollout_id", how="anti").with_columns(
            role=pl.lit("noise"),
            reason=pl.lit("noise not wanted"),
            place=pl.lit(None, pl.Int32),
            share=pl.lit(None, pl.Int32),
        )
        chosen, others = (
            rows.with_columns(
                *(pl.lit(None, pl.Int32).alias(name) for name in ("stratum", "turn")),
                distance=pl.lit(None, pl.Float32),
            )
            for rows in (chosen, others)
        )
        commit(run, "select", round, {"selected": chosen, "passed_over": others})
        commit(run, "sft", round, {})
        commit(run, "evaluate", round, {"evaluations": evaluations(round)})
    return run


def begin(run: Run) -> None:
    """Begin a run as the command does, but with one and the same id when it is made again."""
    save_recipe(run)
    first = {"event": "recipe", "new": True, "id": str(run.path)}
    (run.path / "events.jsonl").write_text(json.dumps(first) + "\n")


def make_online(folder: Path, *overrides: str, trained: bool = True) -> Run:
    """Make a run of online training without any model."""
    small = ["prepare.dev=null", "gate=null", "grpo.steps=3", "grpo.problems=4", "grpo.n=2"]
    run = Run(folder, load_recipe("grpo-quickstart", [*small, *overrides]))
    folder.mkdir(parents=True)
    begin(run)
    commit(run, "prepare", 0, {"problems": problems(), "set_aside": tables.empty("set_aside")})
    commit(run, "evaluate", 0, {"evaluations": evaluations(0)})
    if trained:
        commit(run, "grpo", 1, {"dynamics": dynamics(run)})
        commit(run, "evaluate", 1, {"evaluations": evaluations(1)})
    return run


def dynamics(run: Run) -> pl.DataFrame:
    """Make the table of three steps, in the first of which no plug-in was active."""
    assert run.recipe.grpo is not None
    touched = [{"plugin": name, "share": 0.25} for name in run.recipe.grpo.plugins]
    never_null = [field.name for field in TABLES["dynamics"] if not field.nullable]
    rows = [
        {"step": step, "reward": 0.5, "touched": touched if step > 1 else []} for step in (1, 2, 3)
    ]
    return rows_of("dynamics", [dict.fromkeys(never_null, 1) | row for row in rows])


def with_(frame: pl.DataFrame, **values: str) -> pl.DataFrame:
    return frame.with_columns(**{name: pl.lit(value) for name, value in values.items()})


def rows_of(table: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = tables.empty(table).schema
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def problems() -> pl.DataFrame:
    splits = ["train"] * 4 + ["dev"] * 2 + ["test"] * 2
    return rows_of(
        "problems",
        [
            {"problem_id": f"p{n}", "question": f"What is {n} + 1?", "gold": [str(n + 1)]}
            | {"source": "bundled:arithmetic", "split": split, "benchmark": split}
            for n, split in enumerate(splits)
        ],
    )


def samples(round: int) -> list[dict[str, Any]]:
    return [
        {
            "rollout_id": f"{round}-p{problem}-{index}",
            "problem_id": f"p{problem}",
            "round": round,
            "sample_index": index,
            "verdict": verdict,
            "finish_reason": "stop",
            "num_tokens": 3,
            "mean_entropy": 0.5,
        }
        for problem in range(4)
        for index, verdict in enumerate(SAMPLES)
    ]


def rollouts(round: int) -> pl.DataFrame:
    about = {"prompt": "What?\n", "completion": f"{HOSTILE} and more", "sampling": "s"}
    lists = {"token_ids": [1, 2, 3], "logprobs": [-0.5] * 3, "entropies": [0.5] * 3}
    return rows_of(
        "rollouts",
        [row | about | lists | {"model": f"m{round - 1}", "seed": 7} for row in samples(round)],
    )


def graded(round: int) -> pl.DataFrame:
    about = {"response": HOSTILE, "answer": "4", "num_boxed": 1, "redundancy": 0.0}
    return rows_of("graded", [row | about for row in samples(round)])


def evaluations(round: int) -> pl.DataFrame:
    return rows_of(
        "evaluations",
        [
            {"round": round, "split": split, "benchmark": split, "problem_id": f"p{problem}"}
            | {"sample_index": index, "completion": HOSTILE, "finish_reason": "stop"}
            | {"verdict": "correct" if index < round else "wrong", "model": f"m{round}"}
            | {"answer": "4"}
            for split, some in (("dev", (4, 5)), ("test", (6, 7)))
            for problem in some
            for index in range(4)
        ],
    )


COUNTS: dict[str, dict[str, Any]] = {
    "sample": {"in": 4, "rollouts": 16},
    "grade": {"verdict": {"correct": 8, "no_answer": 4, "wrong": 4}},
    "filter": {"in": 16, "kept": 12, "rejected": {"no_box": 4}},
    "grpo": {"in": 24, "trained": 21, "dropped": {"unverified": 3}},
    "gate": {"adopted": False},
}
NOTES: dict[str, dict[str, Any]] = {
    "sample": {"tokens": 48},
    "sft": {"roles": {"positive": 8, "noise": 4}},
    "grpo": {"steps": 3, "tokens": 99, "options": {"loss_type": "dapo"}},
}


def commit(run: Run, stage: str, round: int, outputs: dict[str, pl.DataFrame]) -> None:
    """Let the code that ends every stage put tables and manifest into place."""

    def work(job: Job) -> None:
        for table, frame in outputs.items():
            job.write(table, frame)
        job.notes |= {"model": f"m{round - 1}"} | NOTES.get(stage, {})
        job.counts |= COUNTS.get(stage, {})
        if stage == "select":
            job.counts["selected"] = dict(outputs["selected"]["role"].value_counts().iter_rows())
            kept, rates = run.read("kept", round), pass_rates([run.read("graded", round)])
            taken = kept["rollout_id"].is_in(outputs["selected"]["rollout_id"].to_list())
            job.notes["composition"] = composition(
                narrow(kept, run.recipe.select), taken, rates, run.recipe.select
            )
        elif stage == run.recipe.maker:
            folder = job.work / "out" / "model"
            with new_model_folder(folder, round=round, end="<|im_end|>") as scratch:
                (scratch / "model.safetensors").write_bytes(b"weights")
                (scratch / "config.json").write_text(f'{{"round": {round}}}')
            job.outputs["model"] = folder

    settings = STAGES["grpo"].settings(run, round) if stage == "grpo" else {}
    given = inputs(run, stage, round)
    made = Stage(stage, lambda _run, _round: settings, lambda _run, _round: given, work)
    perform(Job(run, made, round, Stop(), lambda _line: None))


def inputs(run: Run, stage: str, round: int) -> dict[str, str]:
    if stage == "grade":
        return {"rollouts": run.output_digest("sample", round, "rollouts")}
    if stage == "evaluate" and round:
        return {"model": run.output_digest(run.recipe.maker, round, "model")}
    if stage == "grpo":
        return {"problems": run.output_digest("prepare", 0, "problems"), "model": "m0"}
    return {}


def export(run: Run, to: Path, **options: Any) -> list[str]:
    said: list[str] = []
    export_run(run, to=to, say=said.append, **options)
    return said


def load(folder: Path, config: str | None, cache: Path) -> Any:
    from datasets import load_dataset

    return load_dataset(str(folder), config, cache_dir=str(cache))


def card_of(folder: Path) -> tuple[dict[str, Any], str]:
    """Read a card as the Hub does."""
    from huggingface_hub import DatasetCard

    text = (folder / "README.md").read_text()
    card = DatasetCard(text)
    assert yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n")) == card.data.to_dict()
    return card.data.to_dict(), card.text


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
