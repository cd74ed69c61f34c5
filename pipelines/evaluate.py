"""Measure a model on the dev and test problems; dev decides, test is only reported.

Reads problems and model r; writes evaluations and eval_rollouts of round r (the base: 0). What an
earlier evaluation sampled in the same way is graded again, not sampled again.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from rft.ending import ends_before
from rft.grading.answers import Form, last_answer_of
from rft.grading.grade import grade, grading_settings, judge, keys_of
from rft.grading.judgement import AnswerKey
from rft.grading.lenient import lenient_verdicts
from rft.grading.method import Judges
from rft.grading.verifiers import finds, open_verifier
from rft.prompt import Prompter, open_prompter
from rft.runs import tables
from rft.runs.folder import Run
from rft.runs.models import adopted, base_model, is_there, last_round, made_model
from rft.runs.stages import Job, changed_settings
from rft.sampling.collect import collect
from rft.sampling.plan import (
    Asked,
    Plan,
    SamplingStage,
    sampling_key,
    sampling_settings,
)
from rft.sampling.preflight import probes_of
from rft.seeds import derive, digest

# What was sampled, with every token, so that it can be graded again.
ROLLOUTS = "eval_rollouts"


def settings(run: Run, round: int) -> dict[str, Any]:
    """List what the measurement depends on; k and the gate only read it."""
    recipe = run.recipe
    return sampling_settings(recipe, recipe.evaluate) | {
        "n": recipe.evaluate.n,
        "dev_n": recipe.evaluate.dev_n,
        "splits": splits(run, round),
        **grading_settings(recipe),
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
    if run.manifest("gate" if run.recipe.gate else "evaluate", last) is None:
        return None
    return adopted(run, last) if last == run.recipe.rounds or ends_before(run, last + 1) else None


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the problems and of the model."""
    return {
        "problems": run.output_digest("prepare", 0, "problems"),
        "model": made_model(run, round).digest,
    }


def only_grades(run: Run, round: int) -> bool:
    """Say whether every answer is there already, so that the model is not asked."""
    made = run.manifest("evaluate", round)
    sampled = made["outputs"].get(ROLLOUTS) if made else None
    # Of estimated statistics some may be missing, and such answers are sampled again.
    if not made or not sampled or run.recipe.engine.traits.statistics != "exact":
        return False
    same = changed_settings(made["settings"], settings(run, round)) <= GRADING
    return (
        same
        and made["inputs"] == inputs(run, round)
        and run.outputs_intact({"outputs": {ROLLOUTS: sampled}})
    )


def plan(run: Run, round: int) -> Plan:
    """Ask the problems of the splits that are measured."""
    recipe, model = run.recipe, made_model(run, round)
    # The base's tokenizer trims as that of a model does that `keep.models` has removed.
    teller = model if is_there(run, round) else base_model(run)
    prompts = open_prompter(teller, recipe.prompt, finds(recipe.grade))
    key = sampling_key(recipe, recipe.evaluate, model)
    problems = run.read("problems", 0)
    measured = splits(run, round)
    asked = [
        ask(run, round, row, prompts, key)
        for row in problems.sort("split", "benchmark", "problem_id").iter_rows(named=True)
        if row["split"] in measured
    ]
    tried = probes_of(run, problems, prompts)
    return Plan(run, "evaluate", round, model, prompts, recipe.evaluate, asked, tried)


def ask(run: Run, round: int, row: dict[str, Any], prompts: Prompter, key: str) -> Asked:
    """Put a problem to the model.

    A seed depends on problem and index but not on the round: two models are compared on the same
    random numbers.
    """
    recipe = run.recipe
    place = (row["split"], row["benchmark"], row["problem_id"])
    text = prompts.render(row["question"])
    on_dev = row["split"] == "dev"
    return Asked(
        problem_id=row["problem_id"],
        round=round,
        prompt=text,
        prompt_ids=tuple(prompts.encode(text)),
        n=recipe.evaluate.dev_n if on_dev else recipe.evaluate.samples(row["benchmark"]),
        name=lambda index: digest("evaluate", *place, index, round, key),
        seed=lambda index: derive(recipe.seed, "evaluate", *place, index),
        benchmark=f"{row['split']}/{row['benchmark']}",
    )


def work(job: Job) -> None:
    """Sample what is not there yet, and grade and write down every answer."""
    run = job.run
    wanted = plan(run, job.round)
    rollouts = collect(job, wanted)
    keys = keys_of(run.read("problems", 0, ["problem_id", "gold", "question"]))
    with open_verifier(run.recipe.grade, job.say) as verifier:
        prompts = wanted.prompts
        graded = grade(rollouts, keys, verifier=verifier, trim=prompts.trim, form=prompts.form)
        others = other_verdicts(rollouts, keys, verifier, prompts.form)
    measured = (
        graded.join(places(wanted), on="rollout_id", how="left", validate="1:1")
        .join(
            rollouts.select("rollout_id", "completion", "seed", "model"),
            on="rollout_id",
            validate="1:1",
        )
        .join(others, on="rollout_id", validate="1:1")
        .sort("split", "benchmark", "problem_id", "sample_index")
    )
    assert len(measured) == len(rollouts), "rollouts != evaluated answers"
    job.write(ROLLOUTS, rollouts)
    job.write("evaluations", measured.select(tables.empty("evaluations").columns))
    verdicts = dict(sorted(measured["verdict"].value_counts().iter_rows()))
    job.counts |= {"in": len(wanted.asked), "answers": len(measured)}
    job.counts["verdict"] = verdicts
    job.notes["seeds"] = {"run": run.recipe.seed}


def places(plan: Plan) -> pl.DataFrame:
    """Tell to which split and benchmark each answer belongs."""
    rows = [
        (each.name(index), *(each.benchmark or "").split("/", 1))
        for each in plan.asked
        for index in range(each.n)
    ]
    names = ["rollout_id", "split", "benchmark"]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def other_verdicts(
    rollouts: pl.DataFrame, keys: Mapping[str, AnswerKey], verifier: Judges, form: Form
) -> pl.DataFrame:
    """Judge each completion by its last box too, as most published numbers do, and leniently."""
    problems, texts = list(rollouts["problem_id"]), list(rollouts["completion"])
    last = judge(problems, [last_answer_of(text, form) for text in texts], keys, verifier)
    return rollouts.select(
        "rollout_id",
        pl.Series("verdict_last_box", [each.verdict for each in last], pl.String),
        pl.Series("verdict_lenient", lenient_verdicts(problems, texts, keys, verifier, form)),
    )


# By these alone, all answers are those that were sampled.
GRADING = frozenset({"grade", "reading"})
# Whatever is there of the answers stays useful when these settings change.
GROWS = GRADING | {"n", "dev_n", "splits"}

STAGE = SamplingStage("evaluate", settings, inputs, work, GROWS, ROLLOUTS, plan=plan)
