"""Measure a model on the dev and test problems; dev decides, test is only reported.

Reads problems and model r; writes evaluations of round r (the base: 0).
"""

from functools import cache
from typing import Any

import polars as pl

from rft import tables
from rft.answers import last_answer_of
from rft.engines import Engine, Request
from rft.grading import grade, verdicts_of
from rft.models import adopted, last_round, made_model
from rft.preflight import preflight
from rft.prompt import Prompter, load_tokenizer, prompter
from rft.sampling import as_sampling, collect, open_engine, sampling_key, sampling_settings
from rft.seeds import derive, digest
from rft.stages import Job, Stage
from rft.store import Run
from rft.verifier import Verifier


def settings(run: Run, round: int) -> dict[str, Any]:
    """List what the measurement depends on; k and the gate only read it."""
    recipe = run.recipe
    return sampling_settings(recipe, recipe.evaluate) | {
        "n": recipe.evaluate.n,
        "dev_n": recipe.evaluate.dev_n,
        "splits": splits(run, round),
        "grade": recipe.grade.model_dump(mode="json"),
        "statistics": recipe.sample.statistics.model_dump(mode="json"),
    }


def splits(run: Run, round: int) -> list[str]:
    """List the splits measured after a round."""
    recipe = run.recipe
    wanted = ["dev"] if recipe.prepare.dev is not None else []
    if recipe.evaluate.test == "every_round" or round in (0, recipe.rounds, ended_with(run)):
        return [*wanted, "test"]
    # A later end does not make what was measured at an earlier one outdated.
    done = run.manifest("evaluate", round)
    return [*wanted, "test"] if done and "test" in done["settings"]["splits"] else wanted


def ended_with(run: Run) -> int | None:
    """Give the model that the run leaves behind, once its last gate has spoken."""
    last = last_round(run)
    if run.recipe.gate is None or run.manifest("gate", last) is None:
        return None
    final = adopted(run, last)
    return final if last == run.recipe.rounds or final <= last - 2 else None


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the problems and of the model."""
    return {
        "problems": run.output_digest("prepare", 0, "problems"),
        "model": made_model(run, round).digest,
    }


def work(job: Job) -> None:
    """Sample, grade and write down every answer."""
    run, model = job.run, made_model(job.run, job.round)
    prompts = prompter(load_tokenizer(model.path, **model.options), run.recipe.prompt)
    key = sampling_key(run.recipe, run.recipe.evaluate, model)
    problems = run.read("problems", 0)
    asked, about = requests(run, job.round, problems, prompts, key)

    @cache
    def engine() -> Engine:
        return open_engine(run, model, prompts)

    preflight(job, model, prompts, engine, probes(problems, prompts))
    rollouts = collect(
        job,
        asked,
        as_sampling(run.recipe, run.recipe.evaluate),
        model=model,
        key=key,
        engine=engine,
    )
    with Verifier(deadline=run.recipe.grade.deadline) as verifier:
        golds = dict(problems.select("problem_id", "gold").iter_rows())
        graded = grade(rollouts, golds, verifier=verifier, trim=prompts.trim)
        last = verdicts_of_last_box(rollouts, golds, verifier)
    measured = (
        graded.join(about, on="rollout_id", how="left", validate="1:1")
        .join(
            rollouts.select("rollout_id", "completion", "seed", "model"),
            on="rollout_id",
            validate="1:1",
        )
        .join(last, on="rollout_id", validate="1:1")
        .sort("split", "benchmark", "problem_id", "sample_index")
    )
    assert len(measured) == len(rollouts), "rollouts != evaluated answers"
    job.write("evaluations", measured.select(tables.empty("evaluations").columns))
    verdicts = dict(sorted(measured["verdict"].value_counts().iter_rows()))
    job.counts |= {"in": len(problems.filter(pl.col("split") != "train")), "answers": len(measured)}
    job.counts["verdict"] = verdicts
    job.notes["seeds"] = {"run": run.recipe.seed}


def requests(
    run: Run, round: int, problems: pl.DataFrame, prompts: Prompter, key: str
) -> tuple[list[Request], pl.DataFrame]:
    """List the answers asked for, and to which split and benchmark each belongs.

    A seed depends on problem and index but not on the round: two models are compared on the same
    random numbers.
    """
    evaluate, wanted, about = run.recipe.evaluate, [], []
    for row in problems.sort("split", "benchmark", "problem_id").iter_rows(named=True):
        if row["split"] not in splits(run, round):
            continue
        benchmark = row["benchmark"]
        text = prompts.render(row["question"])
        ids = tuple(prompts.encode(text))
        for index in range(
            evaluate.dev_n if row["split"] == "dev" else evaluate.samples(benchmark)
        ):
            place = (row["split"], benchmark, row["problem_id"], index)
            name = digest("evaluate", *place, round, key)
            wanted.append(
                Request(
                    rollout_id=name,
                    problem_id=row["problem_id"],
                    round=round,
                    sample_index=index,
                    prompt=text,
                    prompt_ids=ids,
                    seed=derive(run.recipe.seed, "evaluate", *place),
                    benchmark=f"{row['split']}/{benchmark}",
                )
            )
            about.append((name, row["split"], benchmark))
    names = ["rollout_id", "split", "benchmark"]
    return wanted, pl.DataFrame(about, schema=dict.fromkeys(names, pl.String), orient="row")


def probes(problems: pl.DataFrame, prompts: Prompter) -> list[Request]:
    """Ask a few training problems for the preflight, or others where nothing is trained on."""
    some = problems.sort(pl.col("split") != "train", "problem_id").head(8)
    asked = []
    for name, question in some.select("problem_id", "question").iter_rows():
        text = prompts.render(question)
        ids = tuple(prompts.encode(text))
        asked.append(Request(f"probe-{name}", name, 0, 0, text, ids, derive("probe", name)))
    return asked


def verdicts_of_last_box(
    rollouts: pl.DataFrame, golds: dict[str, list[str]], verifier: Verifier
) -> pl.DataFrame:
    """Judge the last box of each completion too, as most published numbers do."""
    answers = [last_answer_of(text) for text in rollouts["completion"]]
    verdicts = verdicts_of(list(rollouts["problem_id"]), answers, golds, verifier)
    return rollouts.select("rollout_id", pl.Series("verdict_last_box", verdicts, pl.String))


STAGE = Stage("evaluate", settings, inputs, work)
