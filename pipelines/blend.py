"""Choose on dev how far a round's weights go from the anchor's to the trained: the best delta.

Reads problems, the trained model and the anchor; writes what each candidate solved, and the choice,
into the manifest. Only where the recipe has `sft.blend.search`.
"""

from pathlib import Path
from typing import Any

import polars as pl

from rft.grading.grade import grade, grading_settings, keys_of
from rft.grading.method import Judges
from rft.grading.verifiers import finds, open_verifier
from rft.measuring.pass_at_k import Interval, pass_interval
from rft.model_folders.content import read_mark
from rft.processes.devices import visible_gpus
from rft.prompt import Prompter, open_prompter
from rft.recipe import Blend
from rft.runs.folder import NotReady, Run
from rft.runs.models import new_model_folder
from rft.runs.stages import Job
from rft.sampling.collect import collect
from rft.sampling.plan import Asked, Plan, SamplingStage, sampling_key, sampling_settings
from rft.seeds import derive, digest
from rft.training.blending import anchor_of, trained_at, write_blend

# Pass@k of equal counts differs by no more than rounding.
DIGITS = 9


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what the choice depends on, models and problems aside."""
    recipe = run.recipe
    return sampling_settings(recipe, recipe.evaluate) | {
        "dev_n": recipe.evaluate.dev_n,
        **grading_settings(recipe),
        "blend": searched(run).model_dump(mode="json", exclude_none=True),
    }


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the problems, the trained model, and the anchor."""
    return {
        "problems": run.output_digest("prepare", 0, "problems"),
        "trained": run.output_digest("train", round, "trained"),
        "anchor": anchor_of(run, round, searched(run)).digest,
    }


def searched(run: Run) -> Blend:
    """Give the recipe's blend, which names candidates."""
    how = run.recipe.sft.blend
    assert how is not None, "the commands refuse a recipe without sft.blend.search"
    return how


def candidate_folder(run: Run, round: int) -> Path:
    """Name the folder of the candidate that is being measured: with the stage's rollouts."""
    return run.work("blend", round) / "candidate"


def plan(run: Run, round: int) -> Plan:
    """Ask the candidate that lies in its folder the dev problems."""
    recipe, folder = run.recipe, candidate_folder(run, round)
    mark = read_mark(folder)
    if mark is None:
        raise NotReady(f"{run.path}: round {round} has no candidate to measure; run `blend`")
    model = trained_at(run, folder, mark["digest"])
    prompts = open_prompter(model, recipe.prompt, finds(recipe.grade))
    key = sampling_key(recipe, recipe.evaluate, model)
    rows = run.read("problems", 0).filter(split="dev").sort("problem_id").to_dicts()
    asked = [ask(run, round, row, prompts, key, mark["delta"]) for row in rows]
    return Plan(run, "blend", round, model, prompts, recipe.evaluate, asked)


def ask(
    run: Run, round: int, row: dict[str, Any], prompts: Prompter, key: str, delta: float
) -> Asked:
    """Put a problem to a candidate.

    By the same random numbers as to the others, and by others than `evaluate` draws by: the gate
    must not see the luck by which a candidate was chosen.
    """
    text, problem = prompts.render(row["question"]), row["problem_id"]
    return Asked(
        problem_id=problem,
        round=round,
        prompt=text,
        prompt_ids=tuple(prompts.encode(text)),
        n=run.recipe.evaluate.dev_n,
        name=lambda index: digest("blend", problem, index, round, key),
        seed=lambda index: derive(run.recipe.seed, "blend", problem, index),
        # That it is done with for one candidate says nothing of the next.
        benchmark=f"dev/{delta:g}",
    )


def work(job: Job) -> None:
    """Measure each candidate, and choose."""
    run, how = job.run, searched(job.run)
    assert how.search is not None
    k, tokens, now, candidates = how.k, 0, 0, []
    with open_verifier(run.recipe.grade, job.say) as verifier:
        for delta in how.search:
            wanted, answers = measure(job, how, delta, verifier)
            seen = pass_interval(answers, k=k, seed=derive(run.recipe.seed, "blend", job.round))
            candidates.append(noted(delta, wanted.model.digest, seen))
            tokens += job.notes["tokens"]
            now += job.notes["tokens_sampled_now"]
            job.say(f"  delta {delta:g}: {how.on} {100 * seen.value:.1f}% on dev")
    chosen = best(candidates)
    job.counts |= {"in": answers["problem_id"].n_unique(), "candidates": len(candidates)}
    job.notes |= {
        "tokens": tokens,
        "tokens_sampled_now": now,
        "model": chosen["model"],
        "metric": how.on,
        "candidates": candidates,
        "delta": chosen["delta"],
    }
    job.say(f"  chosen: delta {chosen['delta']:g}")


def measure(job: Job, how: Blend, delta: float, verifier: Judges) -> tuple[Plan, pl.DataFrame]:
    """Sample a candidate's answers to the dev problems, as far as they are not there, and grade."""
    run, folder = job.run, candidate_folder(job.run, job.round)
    lies = read_mark(folder) if folder.is_dir() else None
    if lies is None or (lies.get("key"), lies.get("delta")) != (job.key, delta):
        anchor = anchor_of(run, job.round, how)
        digest_of = run.output_digest("train", job.round, "trained")
        trained = trained_at(run, run.folder("trained", job.round), digest_of)
        with new_model_folder(folder, key=job.key, delta=delta) as scratch:
            write_blend(scratch, anchor, trained, delta)
    wanted = plan(run, job.round)
    traits = run.recipe.engine.traits
    # Such an engine gives its memory back with its process only, and the next one needs it.
    apart = traits.local and (traits.needs_gpu or visible_gpus() > 0)
    rollouts = collect(job, wanted, apart=apart)
    keys = keys_of(run.read("problems", 0, ["problem_id", "gold", "question"]))
    prompts = wanted.prompts
    graded = grade(rollouts, keys, verifier=verifier, trim=prompts.trim, form=prompts.form)
    assert len(graded) == len(rollouts), "rollouts != graded answers"
    return wanted, graded.with_columns(benchmark=pl.lit("dev"))


def noted(delta: float, model: str, seen: Interval) -> dict[str, Any]:
    """Write down what a candidate is, and what it solved."""
    told = {"value": seen.value, "low": seen.low, "high": seen.high}
    return {"delta": delta, "model": model, **told}


def best(candidates: list[dict[str, Any]]) -> dict[str, Any]:
    """Choose the candidate with the highest value: of equal ones the most of what was trained."""
    return max(candidates, key=lambda each: (round(each["value"], DIGITS), each["delta"]))


STAGE = SamplingStage("blend", settings, inputs, work, plan=plan)
