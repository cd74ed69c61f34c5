"""Compute exact statistics where sampling recorded none: a forward of the policy over the tokens.

Reads kept, rollouts and the model that sampled them; writes scored. It is walked where `select`
ranks by a statistic that rollouts may lack, and scores the rows that it ranks.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from rft.processes.progress import Progress
from rft.prompt import Prompter, load_tokenizer, prompter
from rft.runs import tables
from rft.runs.folder import Run
from rft.runs.models import ModelRef, model_before
from rft.runs.stages import Job, Stage
from rft.seeds import digest
from rft.selection.ranking import ranked_by
from rft.token_stats.forward import Scores, load, longest, score_batches

# Exact, and of one definition; `topk` is an estimate from the most likely tokens.
EXACT = ("engine", "scored")
MEANS = ("mean_entropy", "mean_branching", "mean_nll")
# What the model computes in changes what comes out; which of these it is, the device decides.
PRECISION = {"cpu": "float32", "cuda": "as stored"}
# Batches are written when this much time has gone, which is what a kill can cost, and one batch.
SECONDS = 30.0
IDS = pl.List(pl.Int32)


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what the rows and their values depend on; how many go at once is not of it."""
    return {
        "ranked": ranked_by(run.recipe.select),
        "mass": run.recipe.sample.statistics.mass,
        "precision": PRECISION,
    }


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the kept rollouts, their tokens, and the model that sampled them."""
    return {
        "kept": run.output_digest("filter", round, "kept"),
        "rollouts": run.output_digest("sample", round, "rollouts"),
        "model": model_before(run, round).digest,
    }


def work(job: Job) -> None:
    """Score the rows of a round that lack exact statistics."""
    run, recipe = job.run, job.run.recipe
    columns = ["rollout_id", "verdict", "response", "num_response_tokens", "stats_origin", *MEANS]
    kept = run.read("kept", job.round, columns)
    todo, exact = without_exact(kept, ranked_by(recipe.select))
    model = model_before(run, job.round)
    job.notes["model"] = model.digest
    scored = tables.empty("scored")
    if len(todo):
        prompts = prompter(load_tokenizer(model.path, **model.options), recipe.prompt)
        rows = tokens_of(run, job.round, todo, prompts)
        assert set(rows["model"]) == {model.digest}, "rollouts of another model than the round's"
        scored = collect(job, rows, model)
    assert scored["rollout_id"].is_unique().all(), "a rollout is there twice"
    assert set(scored["rollout_id"]) == set(todo["rollout_id"]), "scored != what lacked statistics"
    job.write("scored", scored)
    counts = {
        "scored": scored["stats_origin"].count(),
        "longer_than_context": scored["stats_origin"].null_count(),
        "had_exact": exact,
        "not_ranked": len(kept) - len(todo) - exact,
    }
    assert sum(counts.values()) == len(kept), "kept != scored + the others"
    job.counts |= {"in": len(kept), **counts}
    parts = " + ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items() if n)
    job.say(f"  {len(kept)} kept = {parts or 0}")


def without_exact(kept: pl.DataFrame, ranked: Mapping[str, str]) -> tuple[pl.DataFrame, int]:
    """Find the rows to score, and count those that are ranked by what they have.

    Statistics of different origin do not rank together: where one row has to be scored, so are
    those whose statistics an engine recorded.
    """
    pool = kept.filter(pl.col("verdict").is_in(list(ranked)), pl.col("response") != "")
    value = pl.coalesce(
        pl.lit(None, pl.Float32),
        *(pl.when(pl.col("verdict") == name).then(column) for name, column in ranked.items()),
    )
    exact = pool.filter((pl.col("stats_origin").is_in(EXACT) & value.is_finite()).fill_null(False))
    if len(exact) < len(pool) or exact["stats_origin"].n_unique() > 1:
        exact = exact.filter(pl.col("stats_origin") == "scored")
    return pool.join(exact, on="rollout_id", how="anti"), len(exact)


def tokens_of(run: Run, round: int, todo: pl.DataFrame, prompts: Prompter) -> pl.DataFrame:
    """Give each row's prompt and response as tokens: those that were sampled, or its text's."""
    names = todo.select("rollout_id", "response", "num_response_tokens")
    rollouts = pl.concat(
        tables.read_file(path, ["rollout_id", "prompt", "token_ids", "model"]).join(
            names, on="rollout_id", validate="1:1"
        )
        for path in run.parts("rollouts", round)
    ).sort("rollout_id")
    encoded = {text: prompts.encode(text) for text in set(rollouts["prompt"])}
    responses = [
        prompts.encode(response) if ids is None else ids[:count]
        for response, ids, count in rollouts.select(
            "response", "token_ids", "num_response_tokens"
        ).iter_rows()
    ]
    return rollouts.select(
        "rollout_id",
        "model",
        pl.Series("prompt_ids", [encoded[text] for text in rollouts["prompt"]], IDS),
        pl.Series("response_ids", responses, IDS),
    )


def collect(job: Job, rows: pl.DataFrame, model: ModelRef) -> pl.DataFrame:
    """Score what is not scored yet; what is finished lies in the work folder after a kill."""
    mass = job.run.recipe.sample.statistics.mass
    about = {"model": model.digest, "mass": mass, "precision": PRECISION}
    job.claim(json.dumps(about))
    size = pl.col("prompt_ids").list.len() + pl.col("response_ids").list.len()
    fits = rows.filter(size <= longest(model) + 1)  # the last token is predicted, and not read
    done = _finished(job, fits, about)
    left = fits.join(done, on="rollout_id", how="anti", maintain_order="left")
    tokens, now = _count(fits), _count(left)
    job.notes |= {"tokens": tokens, "tokens_scored_now": now}
    if len(left):
        loaded = load(model)
        progress = Progress("score, tokens", tokens, tokens - now)
        _score(job, left, loaded, progress)
        progress.close()
        done = _finished(job, fits, about)
        job.notes |= {
            "tokens_per_second": round(now / progress.seconds()),
            "device": loaded.device.type,
            "dtype": str(loaded.dtype).removeprefix("torch."),
        }
    long = rows.join(fits, on="rollout_id", how="anti").select("rollout_id")
    return pl.concat([done, long], how="diagonal").sort("rollout_id")


def _count(rows: pl.DataFrame) -> int:
    return int(rows["response_ids"].list.len().sum())


def _finished(job: Job, rows: pl.DataFrame, about: Mapping[str, Any]) -> pl.DataFrame:
    """Read what this attempt, one before it, or an earlier selection has scored of these rows.

    A row counts only with the same tokens: of some engines, the same rollout sampled again differs.
    """
    places = sorted(job.work.glob("unit-*.parquet"))
    made = job.run.manifest("score", job.round)
    if made is not None and all(
        (made["settings"] | {"model": made["model"]})[name] == value
        for name, value in json.loads(json.dumps(about)).items()
    ):
        places += job.run.parts("scored", job.round)
    wanted = rows.select("rollout_id", "response_ids")
    frames = [
        tables.read_file(path)
        .join(wanted, on="rollout_id")
        .filter(pl.col("token_ids") == pl.col("response_ids"))
        .drop("response_ids")
        for path in places
    ]
    return pl.concat([tables.empty("scored"), *frames]).unique("rollout_id", keep="first")


def _score(job: Job, rows: pl.DataFrame, model: Any, progress: Progress) -> None:
    """Score rows and write them to the work folder as they are finished."""
    names = rows["rollout_id"].to_list()
    pairs = list(rows.select("prompt_ids", "response_ids").iter_rows())
    mass = job.run.recipe.sample.statistics.mass
    waiting: list[dict[str, Any]] = []
    flushed = time.monotonic()

    def flush() -> None:
        nonlocal flushed
        if waiting:
            unit = f"unit-{digest(*(row['rollout_id'] for row in waiting))}.parquet"
            frame = pl.DataFrame(waiting, schema=tables.empty("scored").schema)
            tables.write_file(job.work / unit, tables.conform(frame, "scored"))
        waiting.clear()
        flushed = time.monotonic()

    try:
        for batch in score_batches(
            model,
            pairs,
            mass=mass,
            micro_batch=job.run.recipe.score.micro_batch,
            check=job.stop.check,
        ):
            for place, scores in batch.items():
                ids = pairs[place][1]
                waiting.append(
                    {"rollout_id": names[place], "token_ids": ids, **score_row(scores, mass)}
                )
                progress.advance(len(ids), len(ids))
            if time.monotonic() - flushed >= SECONDS:
                flush()
    finally:
        flush()


def score_row(scores: Scores, mass: float) -> dict[str, Any]:
    """Make the statistics of a row of the table."""
    return {
        "num_response_tokens": len(scores.entropies),
        "logprobs": scores.logprobs,
        "entropies": scores.entropies,
        "branching": scores.branching,
        "mean_entropy": _mean(scores.entropies),
        "mean_branching": _mean(scores.branching),
        "mean_nll": _mean([-value for value in scores.logprobs]),
        "stats_origin": "scored",
        "stats_mass": mass,
    }


def _mean(values: Sequence[float]) -> float | None:
    """Average a list; of nothing, or of what is not finite, there is no mean."""
    mean = math.fsum(values) / len(values) if values else math.nan
    return mean if math.isfinite(mean) else None


# Anyone's rows ------------------------------------------------------------------------------------


STAGE = Stage("score", settings, inputs, work)
