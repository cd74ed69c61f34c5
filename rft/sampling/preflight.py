"""Before the first spend: show prompt and target, probe a few rollouts, forecast the rest."""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import polars as pl

from rft.engines import Engine, Finished, Fixed, Request
from rft.errors import RFTError
from rft.estimates.forecast import Forecast, Probes, forecast
from rft.estimates.model_size import shape_of
from rft.grading.answers import answer_box
from rft.processes import devices
from rft.prompt import Prompter
from rft.runs.atomic import atomic_text
from rft.runs.folder import Run, key_of, now
from rft.runs.models import base_model
from rft.runs.stages import Job
from rft.runs.tables import pad
from rft.sampling.plan import Plan, as_sampling, rollout_rows, sampling_settings
from rft.seeds import derive, digest

HARD = "\\boxed{x^2 + \\frac{1}{2}}"
PROBES, MOST_PROBES = 8, 64
EXAMPLE = "So the answer is $\\boxed{4}$."


def preflight(job: Job, plan: Plan, engine: Callable[[], Engine]) -> Forecast | None:
    """Refuse a run whose samples neither stop nor close a box, and forecast what it will take.

    Done once per sampling settings; None where it was done before, or nothing will be learnt from.
    """
    run, recipe, prompts = job.run, job.run.recipe, plan.prompts
    if not recipe.engine.traits.draws or not plan.probes or is_current(run):
        return None
    job.say(shown(prompts, plan.probes[0], online=recipe.grpo is not None))
    # What engines compile at their first tokens is not sampling.
    warm = PROBES if len(plan.probes) > PROBES else min(1, len(plan.probes) - 1)
    finished = answers(job, engine(), plan.probes[:warm])
    began = time.monotonic()
    timed = answers(job, engine(), plan.probes[warm:])
    speed = sum(lengths(timed)) / max(time.monotonic() - began, 1e-9)
    finished += timed
    stopped = sum(done.finish_reason == "stop" for done in finished)
    boxed = sum(answer_box(done.completion, prompts.form) is not None for done in finished)
    judge(finished, recipe.learns_from.max_tokens, prompts, job.say)
    job.say(
        f"preflight: of {len(finished)} probes {stopped} stopped and {boxed} closed a box, "
        f"at {speed:,.0f} tokens/s"
    )
    if recipe.rounds and recipe.grpo is None:
        probes = learnt_from(job, plan, finished, speed)
        ahead = foreseen(run, probes)
        refuse_too_much(ahead, shutil.disk_usage(run.path).free)
        told = {"probes": asdict(probes), "forecast": asdict(ahead)}
    else:
        ahead, told = None, {}
    manifest = {
        "stage": "preflight",
        "round": 0,
        "key": key_of_preflight(run),
        "settings": sampling_settings(recipe, recipe.learns_from),
        "inputs": {"model": plan.model.digest},
        "outputs": {},
        "counts": {"in": len(finished), "stopped": stopped, "boxed": boxed},
        **told,
        "finished": now(),
    }
    atomic_text(run.manifest_path("preflight", 0), json.dumps(manifest, indent=1) + "\n")
    return ahead


def key_of_preflight(run: Run) -> str:
    """Hash what a preflight depends on."""
    settings = sampling_settings(run.recipe, run.recipe.learns_from)
    return key_of("preflight", settings, {"model": base_model(run).digest})


def is_current(run: Run) -> bool:
    """Say whether the preflight of today's settings was done."""
    done = run.manifest("preflight", 0)
    return done is not None and done["key"] == key_of_preflight(run)


def answers(job: Job, engine: Engine, probes: Sequence[Request]) -> list[Finished]:
    """Sample probes as the run samples to learn."""
    sampling = as_sampling(job.run.recipe, job.run.recipe.learns_from)
    units = Fixed(engine.units(probes))
    return [done for unit in engine.sample(units, sampling, check=job.stop.check) for done in unit]


def probes_of(run: Run, problems: pl.DataFrame, prompts: Prompter) -> list[Request]:
    """Ask some problems to learn from, or others where nothing is trained on.

    Eight answers tell whether anything is wrong; a long run is worth up to 64, which tell more of
    what it will take. How long a problem is sampled depends on itself: for that each has four.
    """
    sample, each, count = run.recipe.sample, 1, PROBES
    if run.recipe.grpo is None:
        most = sample.until.max if sample.until else sample.n
        count = min(MOST_PROBES, max(PROBES, sample.problems * most // MOST_PROBES))
        each = 4 if sample.until and count > PROBES else 1
    some = problems.sort(pl.col("split") != "train", "problem_id").head(count // each)
    asked = []
    for name, question in some.select("problem_id", "question").iter_rows():
        text = prompts.render(question)
        ids = tuple(prompts.encode(text))
        for index in range(each):
            seed = derive(run.recipe.seed, "probe", name, index)
            asked.append(Request(digest("probe", name, index), name, 0, index, text, ids, seed))
    return asked


def lengths(finished: Sequence[Finished]) -> list[int]:
    """Count the tokens of each rollout."""
    return [done.length or 0 for done in finished]


def learnt_from(job: Job, plan: Plan, finished: Sequence[Finished], speed: float) -> Probes:
    """Grade the probes as the run will, and note what a forecast needs of them."""
    assert job.accept is not None, "the command line gives sampling stages what grades for them"
    rows = rollout_rows(finished, plan)
    # An answer that takes algebra starts the verifier's processes, which is not grading.
    hard = rows.head(1).with_columns(completion=pl.lit(HARD))
    job.accept(pad(hard.drop("token_ids", "logprobs", "entropies", "branching"), "rollouts"))
    began = time.monotonic()
    names = set(job.accept(rows))
    grading = (time.monotonic() - began) / len(rows)
    by_problem: dict[str, list[Finished]] = {}
    for done in finished:
        by_problem.setdefault(done.request.problem_id, []).append(done)
    groups = by_problem.values()
    return Probes(
        tokens=[lengths(each) for each in groups],
        tokens_per_second=speed,
        accepted=[[done.request.rollout_id in names for done in each] for each in groups],
        grading_seconds=grading,
        prompt_tokens=sum(len(done.request.prompt_ids) for done in finished) / len(finished),
        matrix_speed=matrix_speed(),
    )


def foreseen(run: Run, probes: Probes, *, engines: int | None = None) -> Forecast:
    """Predict from probes what a run will take with the recipe in force, here or on engines."""
    problems = run.read("problems", 0, ["split", "benchmark"])
    evaluate = run.recipe.evaluate
    measured = {"dev": 0, "test": 0}
    for split, benchmark in problems.filter(pl.col("split") != "train").iter_rows():
        measured[split] += evaluate.dev_n if split == "dev" else evaluate.samples(benchmark)
    count = len(problems.filter(pl.col("split") == "train"))
    return forecast(
        run.recipe,
        probes,
        problems=count,
        measured=measured,
        model=shape_of(Path(base_model(run).path)),
        engines=engines or devices.count(run.recipe.engine),
    )


def recorded(run: Run) -> Forecast:
    """Predict from the probes of a run's preflight, which may have had another recipe."""
    done = run.manifest("preflight", 0)
    assert done is not None, "no preflight was done"
    return foreseen(run, Probes(**done["probes"]))


def matrix_speed() -> float:
    """Measure a device's operations per second in matrix products, where training will run."""
    import torch

    where = devices.device()
    kind = torch.bfloat16 if where == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    size, best = (4096 if where == "cuda" else 512), float("inf")
    square = torch.ones(size, size, dtype=kind, device=where)
    for _ in range(5):
        began = time.monotonic()
        float((square @ square)[0, 0])  # reading a number waits for it
        best = min(best, time.monotonic() - began)
    return 2 * size**3 / best


def refuse_too_much(ahead: Forecast, free: int) -> None:
    """Refuse what cannot fit on the disk."""
    if free < ahead.disk_gb * 1e9:
        raise RFTError(
            f"preflight: the run needs about {ahead.disk_gb:.1f} GB of disk and {free / 1e9:.1f} "
            "GB are free; make room, lower sample.n, or set keep.models: last"
        )


def shown(prompts: Prompter, request: Request, *, online: bool) -> str:
    """Write one prompt, and one SFT target if there will be any, with every token visible."""
    row = prompts.target(request.prompt_ids, prompts.encode(EXAMPLE))
    learnt = [
        token for token, mask in zip(row["input_ids"], row["completion_mask"], strict=True) if mask
    ]
    prompt = json.dumps(request.prompt, ensure_ascii=False)
    line = f"prompt ({len(request.prompt_ids)} tokens): {prompt}"
    if online:
        return f"{line}\nan answer ends with {prompts.end!r}"
    target = json.dumps(prompts.decode(learnt), ensure_ascii=False)
    return f"{line}\ntarget, as SFT learns it after the prompt: {target}"


def judge(
    finished: Sequence[Finished], max_tokens: int, prompts: Prompter, say: Callable[[str], None]
) -> None:
    """Refuse when fewer than half of the probes stop or box, warn when fewer than half stop."""
    half, end = len(finished) / 2, prompts.end
    stopped = sum(done.finish_reason == "stop" for done in finished)
    sound = sum(
        done.finish_reason == "stop" or answer_box(done.completion, prompts.form) is not None
        for done in finished
    )
    if sound < half:
        raise RFTError(
            f"preflight: of {len(finished)} probe rollouts only {sound} stop at {end!r} or close a "
            f"box within sample.max_tokens={max_tokens}; check prompt.style, prompt.end and "
            f"prompt.template against the model, or raise max_tokens. One of them ends: "
            f"{finished[0].completion[-80:]!r}"
        )
    if stopped < half:
        say(
            f"warning: only {stopped} of {len(finished)} probe rollouts stop at {end!r} within "
            f"{max_tokens} tokens; the others are cut at the limit"
        )
