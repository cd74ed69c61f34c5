"""Before the first spend: show prompt and target, probe a few rollouts, forecast the rest."""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import polars as pl

from rft.engines import Engine, Finished, Fixed, Request, engine_identity
from rft.errors import RFTError
from rft.estimates.forecast import Forecast, Probes, Speed, forecast
from rft.estimates.model_size import shape_of
from rft.grading.answers import answer_box
from rft.processes import devices
from rft.prompt import Prompter
from rft.recipe import Evaluate, Grpo, Recipe, Sample
from rft.runs.folder import Run, key_of, now
from rft.runs.models import base_model
from rft.runs.stages import Accept, Job
from rft.runs.tables import pad
from rft.sampling.plan import Plan, as_sampling, rollout_rows, sampling_settings
from rft.seeds import derive, digest

HARD = "\\boxed{x^2 + \\frac{1}{2}}"
# Of what is learnt from, and of what is measured, where that is sampled in another way.
PROBES, MOST_PROBES, MEASURED_PROBES = 8, 64, 16
EXAMPLE = {"box": "So the answer is $\\boxed{4}$.", "code block": "```python\nprint(4)\n```"}


def preflight(job: Job, plan: Plan, engine: Callable[[], Engine]) -> Forecast | None:
    """Refuse a run whose samples neither stop nor close a box, and forecast what it will take.

    Done once per sampling settings; None where it was done before, or nothing will be learnt from.
    """
    run, recipe, prompts = job.run, job.run.recipe, plan.prompts
    if not recipe.engine.traits.draws or not plan.probes or is_current(run):
        return None
    asked = [each for each in plan.probes if each.benchmark is None]
    to_measure = [each for each in plan.probes if each.benchmark is not None]
    for line in shown(prompts, asked[0], online=recipe.grpo is not None):
        job.say(line)
    # What engines compile at their first tokens is not sampling.
    warm = PROBES if len(asked) > PROBES else min(1, len(asked) - 1)
    finished = answers(job, engine(), asked[:warm], recipe.learns_from)
    began = time.monotonic()
    timed = answers(job, engine(), asked[warm:], recipe.learns_from)
    speed = sum(lengths(timed)) / max(time.monotonic() - began, 1e-9)
    finished += timed
    stopped = sum(done.finish_reason == "stop" for done in finished)
    boxed = sum(answer_box(done.completion, prompts.form) is not None for done in finished)
    judge(finished, recipe.learns_from.max_tokens, prompts, job.say)
    job.say(
        f"preflight: of {len(finished)} probes {stopped} stopped and {boxed} closed "
        f"a {prompts.finds}, at {speed:,.0f} tokens/s"
    )
    measured: list[Finished] = []
    if is_forecast(recipe):
        measured = answers(job, engine(), to_measure, recipe.evaluate)
        probes = learnt_from(job, plan, finished, measured, speed=speed, timed=len(timed))
        ahead = foreseen(run, probes)
        refuse_too_much(ahead, shutil.disk_usage(run.path).free)
        told = {"probes": asdict(probes), "forecast": asdict(ahead)}
    else:
        ahead, told = None, {}
    manifest = {
        "stage": "preflight",
        "round": 0,
        "key": key_of_preflight(run),
        "settings": settings_of_preflight(recipe),
        "inputs": {"model": plan.model.digest},
        "outputs": {},
        "counts": {"in": len(finished), "stopped": stopped, "boxed": boxed},
        "tokens": sum(lengths(finished)) + sum(lengths(measured)),
        **told,
        "finished": now(),
    }
    run.write_manifest("preflight", 0, manifest)
    return ahead


def is_forecast(recipe: Recipe) -> bool:
    """Say whether a preflight forecasts the run: rounds, of which there are some."""
    return recipe.rounds > 0 and recipe.grpo is None


def settings_of_preflight(recipe: Recipe) -> dict[str, Any]:
    """List what a preflight depends on, the model aside."""
    settings = sampling_settings(recipe, recipe.learns_from)
    if is_forecast(recipe):
        settings["evaluate"] = way(recipe.evaluate)
    return settings


def way(section: Sample | Grpo | Evaluate) -> dict[str, float]:
    """List what of a section decides how long answers are."""
    names = ("temperature", "top_p", "max_tokens")
    return {name: getattr(section, name) for name in names}


def key_of_preflight(run: Run) -> str:
    """Hash what a preflight depends on."""
    return key_of("preflight", settings_of_preflight(run.recipe), {"model": base_model(run).digest})


def is_current(run: Run) -> bool:
    """Say whether the preflight of today's settings was done."""
    done = run.manifest("preflight", 0)
    return done is not None and done["key"] == key_of_preflight(run)


def answers(
    job: Job, engine: Engine, probes: Sequence[Request], section: Sample | Grpo | Evaluate
) -> list[Finished]:
    """Sample probes as the run samples by a section of its recipe."""
    sampling = as_sampling(job.run.recipe, section)
    units = Fixed(engine.units(probes))
    return [done for unit in engine.sample(units, sampling, check=job.stop.check) for done in unit]


def probes_of(run: Run, problems: pl.DataFrame, prompts: Prompter) -> list[Request]:
    """Ask some problems to learn from, or others where nothing is trained on.

    Eight answers tell whether anything is wrong; a long run is worth up to 64, which tell more of
    what it will take. How long a problem is sampled depends on itself: for that each has four. Some
    that are measured are asked as well, where that is done in another way.
    """
    recipe, sample, each, count = run.recipe, run.recipe.sample, 1, PROBES
    if recipe.grpo is None:
        most = sample.until.max if sample.until else sample.n
        count = min(MOST_PROBES, max(PROBES, sample.problems * most // MOST_PROBES))
        each = 4 if sample.until and count > PROBES else 1
    names = ["problem_id", "question", "split", "benchmark"]
    some = problems.select(names).sort(pl.col("split") != "train", "problem_id")
    asked = []

    def ask(rows: pl.DataFrame, each: int, *, measured: bool) -> None:
        for name, question, split, benchmark in rows.iter_rows():
            text = prompts.render(question)
            ids = tuple(prompts.encode(text))
            place = f"{split}/{benchmark}" if measured else None
            about = ("probe", place, name) if measured else ("probe", name)
            for index in range(each):
                seed = derive(recipe.seed, *about, index)
                rollout = digest(*about, index)
                asked.append(Request(rollout, name, 0, index, text, ids, seed, place))

    ask(some.head(count // each), each, measured=False)
    if is_forecast(recipe) and way(sample) != way(recipe.evaluate):
        of_measured = some.filter(pl.col("split") != "train").sort("problem_id", "benchmark")
        ask(of_measured.head(min(count, MEASURED_PROBES)), 1, measured=True)
    return asked


def lengths(finished: Sequence[Finished]) -> list[int]:
    """Count the tokens of each rollout."""
    return [done.length or 0 for done in finished]


def learnt_from(
    job: Job,
    plan: Plan,
    finished: Sequence[Finished],
    measured: Sequence[Finished],
    *,
    speed: float,
    timed: int,
) -> Probes:
    """Grade the probes as the run will, and note what a forecast needs of them."""
    assert job.accept is not None, "the command line gives sampling stages what grades for them"
    rows = rollout_rows(finished, plan)
    # An answer that takes algebra starts the verifier's processes, which is not grading.
    hard = rows.head(1).with_columns(completion=pl.lit(HARD))
    job.accept(pad(hard.drop("token_ids", "logprobs", "entropies", "branching"), "rollouts"))
    # A call takes its time whatever it grades, and of a few rows that is nearly all of it.
    once, _ = timed_call(job.accept, rows.head(1))
    whole, names = timed_call(job.accept, rows)
    grading = max(whole - once, whole / 10) / max(1, len(rows) - 1)
    by_problem: dict[str, list[Finished]] = {}
    for done in finished:
        by_problem.setdefault(done.request.problem_id, []).append(done)
    groups = by_problem.values()
    return Probes(
        tokens=[lengths(each) for each in groups],
        responses=[[trimmed(plan.prompts, done) for done in each] for each in groups],
        accepted=[[done.request.rollout_id in names for done in each] for each in groups],
        evaluated=lengths(measured),
        tokens_per_second=speed,
        timed=timed,
        grading_seconds=grading,
        prompt_tokens=sum(len(done.request.prompt_ids) for done in finished) / len(finished),
        matrix_speed=matrix_speed(),
        on_gpu=devices.device() == "cuda",
    )


def timed_call(accept: Accept, rows: pl.DataFrame) -> tuple[float, set[str]]:
    """Give how many seconds it took to find which rollouts are accepted, and these."""
    began = time.monotonic()
    names = set(accept(rows))
    return time.monotonic() - began, names


def trimmed(prompts: Prompter, done: Finished) -> int:
    """Count the tokens of an answer that would be learnt."""
    ids = prompts.encode(done.completion) if done.token_ids is None else done.token_ids
    return prompts.trim(ids, done.completion)[0]


def foreseen(run: Run, probes: Probes, speed: Speed | None = None) -> Forecast:
    """Predict what a run will take with the recipe in force, at the probes' speed if no other."""
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
        speed=speed or speed_of(probes, devices.count(run.recipe.engine)),
    )


def speed_of(probes: Probes, engines: int) -> Speed:
    """Give the speed of so many engines, each as fast as the one that the probes had."""
    several = f" on one of {engines} engines" if engines > 1 else ""
    source = f"timed on {probes.timed} answers{several}"
    return Speed(engines * probes.tokens_per_second, source, rough=True)


def speed_so_far(run: Run) -> Speed | None:
    """Give the speed of the last stage of a run that sampled, if its engine is still the recipe's.

    It had as many answers at once as the run has, which the probes had not.
    """
    for round in range(run.recipe.rounds, -1, -1):
        for name in ("evaluate", "sample"):
            made = run.manifest(name, round) or {}
            reached = made.get("tokens_per_second")
            if reached and made["settings"]["engine"] == engine_identity(run.recipe):
                where = f"{name} of round {round}" if round else "evaluate of the base"
                return Speed(reached, f"as in {where}", rough=False)
    return None


def recorded(run: Run) -> Forecast:
    """Predict from the probes of a run's preflight, which may have had another recipe."""
    probes = probes_noted(run)
    assert probes is not None, "a preflight of today's settings notes today's probes"
    return foreseen(run, probes, speed_so_far(run))


def probes_noted(run: Run) -> Probes | None:
    """Read the probes of a run's preflight; None where there are none, or of an older version."""
    noted = (run.manifest("preflight", 0) or {}).get("probes", {})
    known = {each.name for each in fields(Probes)}
    needed = {each.name for each in fields(Probes) if each.default is MISSING}
    return Probes(**noted) if needed <= set(noted) <= known else None


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


def shown(prompts: Prompter, request: Request, *, online: bool) -> list[str]:
    """Write one prompt, and one SFT target if there will be any, with every token visible."""
    row = prompts.target(request.prompt_ids, prompts.encode(EXAMPLE[prompts.finds]))
    learnt = [
        token for token, mask in zip(row["input_ids"], row["completion_mask"], strict=True) if mask
    ]
    prompt = json.dumps(request.prompt, ensure_ascii=False)
    line = f"prompt ({len(request.prompt_ids)} tokens): {prompt}"
    if online:
        return [line, f"an answer ends with {prompts.end!r}"]
    target = json.dumps(prompts.decode(learnt), ensure_ascii=False)
    return [line, f"target, as SFT learns it after the prompt: {target}"]


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
            f"{prompts.finds} within sample.max_tokens={max_tokens}; check prompt.style, "
            f"prompt.end and prompt.template against the model, or raise max_tokens. One of them "
            f"ends: {finished[0].completion[-80:]!r}"
        )
    if stopped < half:
        say(
            f"warning: only {stopped} of {len(finished)} probe rollouts stop at {end!r} within "
            f"{max_tokens} tokens; the others are cut at the limit"
        )
