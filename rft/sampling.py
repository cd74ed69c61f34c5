"""Sampling that loses nothing: planned by key, finished unit by unit, put together at the end."""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from rft import tables
from rft.atomic import atomic_text
from rft.engines import Engine, Finished, Request, Sampling
from rft.errors import RFTError
from rft.models import ModelRef
from rft.progress import Progress
from rft.prompt import Prompter
from rft.recipe import Evaluate, Recipe, Sample
from rft.seeds import derive, digest
from rft.stages import Job
from rft.store import Run

# What decides an engine's tokens; every other argument is about memory and speed.
IDENTITY_ARGS = ("dtype", "quantization", "kv_cache_dtype", "hf_overrides")


def engine_identity(recipe: Recipe) -> dict[str, Any]:
    """Give the engine settings on which the sampled tokens depend."""
    engine = recipe.engine
    own = {name: engine.args[name] for name in IDENTITY_ARGS if name in engine.args}
    if engine.kind == "replay":
        assert engine.path is not None, "the recipe refuses replay without a path"
        own["recording"] = recording_digest(Path(engine.path))
    return {"kind": engine.kind, **own}


def recording_digest(path: Path) -> str:
    """Hash what a replay answers from."""
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    files = [file for file in files if not {"stale", "work"} & set(file.relative_to(path).parts)]
    if not files:
        raise RFTError(f"engine.path: {path}: no recorded rollouts (Parquet) here")
    return digest(*(file_digest_of(str(file), file.stat().st_mtime_ns) for file in files))


@cache
def file_digest_of(path: str, _modified: int) -> str:
    """Hash a file once per process, unless it changes."""
    return tables.file_digest(Path(path))


def sampling_settings(recipe: Recipe, section: Sample | Evaluate) -> dict[str, Any]:
    """Give the settings that, with the model's content, are the sampling key."""
    return {
        "seed": recipe.seed,
        "prompt": recipe.prompt.model_dump(mode="json"),
        "engine": engine_identity(recipe),
        "temperature": section.temperature,
        "top_p": section.top_p,
        "max_tokens": section.max_tokens,
    }


def sampling_key(recipe: Recipe, section: Sample | Evaluate, model: ModelRef) -> str:
    """Hash what decides a rollout's text: never how many are asked for, nor of which problems."""
    return digest(canonical(sampling_settings(recipe, section)), model.digest)


def canonical(value: Any) -> str:
    """Write settings in one canonical way."""
    return json.dumps(value, sort_keys=True)


def problems_of_round(ids: Sequence[str], per_round: int, round: int, seed: int) -> list[str]:
    """Pick a round's problems: seeded, and none comes again until all have been used."""
    count = min(per_round, len(ids))
    left: list[str] = []
    cycle = 0
    chosen: list[str] = []
    for _ in range(round):
        chosen = left[:count]
        left = left[count:]
        if len(chosen) < count:
            cycle += 1
            order = sorted(ids, key=lambda name: derive(seed, "problems", cycle, name))
            had = set(chosen)
            fresh = [name for name in order if name not in had]
            wanted = count - len(chosen)
            # Those of the new cycle that this round has had already stay at the cycle's end.
            left = fresh[wanted:] + [name for name in order if name in had]
            chosen += fresh[:wanted]
    return chosen


def as_sampling(recipe: Recipe, section: Sample | Evaluate) -> Sampling:
    """Give the engine's view of a sampling section."""
    wanted = recipe.sample.statistics
    return Sampling(
        temperature=section.temperature,
        top_p=section.top_p,
        max_tokens=section.max_tokens,
        entropy=wanted.entropy,
        branching=wanted.branching,
        mass=wanted.mass,
    )


def open_engine(run: Run, model: ModelRef, prompter: Prompter) -> Engine:
    """Load the recipe's engine with a model."""
    engine = run.recipe.engine
    if engine.kind == "replay":
        from rft.engines.replay import Replay

        assert engine.path is not None, "the recipe refuses replay without a path"
        return Replay(engine.path)
    from rft.engines.embedded import Transformers

    return Transformers(model.path, prompter, engine.args, **model.options)


def collect(
    job: Job,
    requests: Sequence[Request],
    sampling: Sampling,
    *,
    model: ModelRef,
    key: str,
    engine: Callable[[], Engine],
) -> pl.DataFrame:
    """Sample what is missing of the requests and return all their rollouts, sorted.

    Finished units lie in the stage's work folder, whence the next attempt goes on after a kill.
    """
    _renew(job, requests, sampling)
    pooled = tables.read_file(job.work / "pooled.parquet")
    known = set(pooled["rollout_id"])
    missing = [request for request in requests if request.rollout_id not in known]
    frames, tokens, began = [pooled], 0, Progress(job.stage.name, len(requests), len(known))
    units = engine().units(missing) if missing else []
    for number, unit in enumerate(units):
        path = job.work / f"unit-{number:05d}-{digest(*(r.rollout_id for r in unit))}.parquet"
        if not path.exists():
            job.stop.check()
            finished = engine().sample(unit, sampling, check=job.stop.check)
            rows = rollout_rows(finished, sampling, model=model, key=key)
            tables.write_file(path, tables.conform(rows, "rollouts"))
            sampled = int(rows["num_tokens"].sum())
            tokens += sampled
            began.advance(len(unit), sampled)
        else:
            began.advance(len(unit))
        frames.append(tables.read_file(path))
    began.close()
    rollouts = pl.concat(frames).sort("problem_id", "sample_index", "rollout_id")
    assert set(rollouts["rollout_id"]) == {r.rollout_id for r in requests}, "rollouts != plan"
    assert len(rollouts) == len(requests), "a rollout is there twice"
    job.notes |= {
        "tokens": int(rollouts["num_tokens"].sum() or 0),
        "tokens_sampled_now": tokens,
        "tokens_per_second": round(tokens / began.seconds()),
        "model": model.digest,
        "sampling": key,
    }
    return rollouts


def rollout_rows(
    finished: Iterable[Finished], sampling: Sampling, *, model: ModelRef, key: str
) -> pl.DataFrame:
    """Turn an engine's output into rows of the rollouts table."""
    rows = [
        {
            "rollout_id": done.request.rollout_id,
            "problem_id": done.request.problem_id,
            "round": done.request.round,
            "sample_index": done.request.sample_index,
            "prompt": done.request.prompt,
            "completion": done.completion,
            "finish_reason": done.finish_reason,
            "num_prompt_tokens": len(done.request.prompt_ids),
            "num_tokens": None if done.token_ids is None else len(done.token_ids),
            "token_ids": done.token_ids,
            "logprobs": done.logprobs,
            "entropies": done.entropies,
            "branching": done.branching,
            "stats_origin": done.stats_origin,
            "stats_mass": None if done.branching is None else sampling.mass,
            "model": model.digest,
            "sampling": key,
            "seed": done.request.seed,
        }
        for done in finished
    ]
    return pl.DataFrame(rows, schema=tables.empty("rollouts").schema)


def _renew(job: Job, requests: Sequence[Request], sampling: Sampling) -> None:
    """Start the work folder of this plan with every rollout that exists already.

    The pool is fixed once per plan, so what is left to sample, and in which batches, is the same
    after any kill. Other engine arguments may mean other batches: a new plan, from the same pool.
    """
    plan = f"{job.key} {canonical(job.run.recipe.engine.args)}"
    scratch = job.work.with_name(f".{job.work.name}.new")
    if _plan_of(job.work) == plan:
        return
    if _plan_of(scratch) == plan and not job.work.exists():
        scratch.rename(job.work)  # a kill came between the two steps below
        return
    ids = pl.DataFrame({"rollout_id": [request.rollout_id for request in requests]})
    frames = [tables.empty("rollouts")]
    sources = tables.parts(job.work)
    if job.stage.name == "sample":
        sources += tables.parts(job.run.folder("rollouts", job.round))
    for path in sources:
        frame = tables.read_file(path).join(ids, on="rollout_id", how="semi")
        frames.append(frame.filter(_has_statistics(sampling)))
    pooled = pl.concat(frames).unique("rollout_id", keep="first", maintain_order=True)
    shutil.rmtree(scratch, ignore_errors=True)
    tables.write_file(scratch / "pooled.parquet", tables.conform(pooled, "rollouts"))
    atomic_text(scratch / "key", plan)
    job.run.put_away([job.work])
    scratch.rename(job.work)


def _plan_of(work: Path) -> str | None:
    mark = work / "key"
    return mark.read_text() if mark.is_file() else None


def _has_statistics(sampling: Sampling) -> pl.Expr:
    """Say whether a rollout has the statistics that are asked for, at the mass asked for."""
    enough = pl.lit(True)
    if sampling.entropy:
        enough &= pl.col("entropies").is_not_null()
    if sampling.branching:
        enough &= pl.col("branching").is_not_null()
        enough &= (pl.col("stats_mass") - sampling.mass).abs() < 1e-6
    return enough.fill_null(False)
