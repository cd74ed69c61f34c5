"""Compute exact statistics where sampling recorded none: a forward of the policy over the tokens.

Reads kept, rollouts and the model that sampled them; writes scored. It is walked where `select`
ranks by a statistic that rollouts may lack, and scores the rows that it ranks.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rft.errors import RFTError
from rft.grading.answers import first_box
from rft.problems.foreign_rows import QUESTIONS, identify, need, refuse_taken, text_column, typed
from rft.progress import Progress
from rft.prompt import Prompter, load_tokenizer, prompter
from rft.recipe import Recipe
from rft.runs import tables
from rft.runs.atomic import atomic_text
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
    found = pl.concat(
        tables.read_file(path, ["rollout_id", "prompt", "token_ids", "model"]).join(
            names, on="rollout_id", validate="1:1"
        )
        for path in tables.parts(run.folder("rollouts", round))
    ).sort("rollout_id")
    encoded = {text: prompts.encode(text) for text in set(found["prompt"])}
    responses = [
        prompts.encode(response) if ids is None else ids[:count]
        for response, ids, count in found.select(
            "response", "token_ids", "num_response_tokens"
        ).iter_rows()
    ]
    return found.select(
        "rollout_id",
        "model",
        pl.Series("prompt_ids", [encoded[text] for text in found["prompt"]], IDS),
        pl.Series("response_ids", responses, IDS),
    )


def collect(job: Job, rows: pl.DataFrame, model: ModelRef) -> pl.DataFrame:
    """Score what is not scored yet; what is finished lies in the work folder after a kill."""
    mass = job.run.recipe.sample.statistics.mass
    about = {"model": model.digest, "mass": mass, "precision": PRECISION}
    _same_work(job, json.dumps(about))
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


def _same_work(job: Job, about: str) -> None:
    """Put away what another model, or other settings, left unfinished."""
    mark = job.work / "key"
    if not mark.is_file() or mark.read_text() != about:
        job.run.put_away([job.work])
        atomic_text(mark, about)


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
        places += tables.parts(job.run.folder("scored", job.round))
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
                waiting.append({"rollout_id": names[place], "token_ids": ids, **_row(scores, mass)})
                progress.advance(len(ids), len(ids))
            if time.monotonic() - flushed >= SECONDS:
                flush()
    finally:
        flush()


def _row(scores: Scores, mass: float) -> dict[str, Any]:
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


def score_file(
    rows: pl.DataFrame, path: Path, recipe: Recipe, model: ModelRef, say: Callable[[str], None]
) -> pl.DataFrame:
    """Score anyone's rows under a model: their columns, and the means over the response's tokens.

    As in `grade`, the text is cut after its first box, unless it was cut before.
    """
    made = ("num_response_tokens", *MEANS, "stats_origin", "stats_mass")
    # Grading leaves them empty where it had no statistics; what is filled is not ours to replace.
    filled = [name for name in rows.columns if rows[name].null_count() < len(rows)]
    refuse_taken(rows.select(filled), made, "score", path)
    if text_column(rows) is None:
        need(rows, ["completion"], path)
    rows = identify(rows, path)
    prompts = prompter(load_tokenizer(model.path, **model.options), recipe.prompt)
    before = prompts_of(rows, path, prompts)
    after = responses_of(rows, path, prompts)
    limit = longest(model)
    places = [
        place
        for place, (prompt, response) in enumerate(zip(before, after, strict=True))
        if response is not None and len(prompt) + len(response) <= limit + 1
    ]
    if long := len(after) - after.count(None) - len(places):
        say(f"{long} of {len(rows)} rows: over the model's {limit} tokens, so without statistics")
    pairs = [(before[place], after[place] or []) for place in places]
    found: dict[int, dict[str, Any]] = {}
    if any(response for _, response in pairs):
        mass = recipe.sample.statistics.mass
        progress = Progress("score, tokens", sum(len(response) for _, response in pairs))
        for batch in score_batches(
            load(model), pairs, mass=mass, micro_batch=recipe.score.micro_batch
        ):
            for place, scores in batch.items():
                # Not the lists: they would fill the memory.
                row = _row(scores, mass)
                found[places[place]] = {name: row[name] for name in made}
                progress.advance(len(scores.entropies), len(scores.entropies))
        progress.close()
    counts = [None if response is None else len(response) for response in after]
    schema = {name: kind for name, kind in tables.empty("scored").schema.items() if name in made}
    nothing = dict.fromkeys(made)
    table = [
        found.get(place, nothing) | {"num_response_tokens": count}
        for place, count in enumerate(counts)
    ]
    # A row without tokens has neither means nor an origin of them.
    frame = pl.DataFrame(table, schema=schema).with_columns(
        pl.when(pl.col("num_response_tokens") > 0).then(name).alias(name)
        for name in ("stats_origin", "stats_mass")
    )
    named = [] if "model" in rows.columns else [pl.lit(model.digest).alias("model")]
    return rows.with_columns(*frame.get_columns(), *named)


def prompts_of(rows: pl.DataFrame, path: Path, prompts: Prompter) -> list[list[int]]:
    """Give each row's prompt as tokens: as it is rendered, or else of the question."""
    name = next((name for name in ("prompt", *QUESTIONS) if name in rows.columns), None)
    if name is None:
        raise RFTError(
            f"{path}: no column 'prompt' (rendered) or 'question' (it has "
            f"{', '.join(rows.columns)}); `--column question=NAME` says where it is"
        )
    if rows.schema[name] != pl.String:
        raise RFTError(
            f"{path}: column {name!r} holds {rows.schema[name]}, not text; give the rendered text "
            "as prompt, or the bare problem as question"
        )
    encoded: dict[str | None, list[int]] = {}
    for text in rows[name].unique():
        rendered = text if name == "prompt" or not text else prompts.render(text)
        encoded[text] = prompts.encode(rendered or "")
    texts = rows[name].to_list()
    for number, text in enumerate(texts, 1):
        if not encoded[text]:
            raise RFTError(f"{path}: row {number} has an empty {name}; every row needs one")
    return [encoded[text] for text in texts]


def responses_of(rows: pl.DataFrame, path: Path, prompts: Prompter) -> list[list[int] | None]:
    """Give each row's response as tokens; None where it has no text."""
    said = "response" if "response" in rows.columns else "completion"
    # Only a grader, which cuts, writes both.
    cut = said == "response" and "num_boxed" in rows.columns
    columns = {name: pl.col(name) for name in (said, "completion") if name in rows.columns}
    frame = rows.select(
        columns[said].cast(pl.String).alias("said"),
        columns.get("completion", pl.lit(None)).cast(pl.String).alias("completion"),
        (
            typed(rows.select("token_ids"), "rollouts", path)["token_ids"]
            if "token_ids" in rows.columns
            else pl.lit(None, IDS).alias("token_ids")
        ),
    )
    return [
        None if text is None else tokens_as(prompts, text, completion, ids, cut=cut)
        for text, completion, ids in frame.iter_rows()
    ]


def tokens_as(
    prompts: Prompter,
    said: str,
    completion: str | None,
    token_ids: list[int | None] | None,
    *,
    cut: bool,
) -> list[int]:
    """Give a response's tokens: those given where they spell its text, or else its own."""
    size = len(prompts.tokenizer)
    ids = [token for token in token_ids or [] if token is not None and 0 <= token < size]
    if ids and len(ids) == len(token_ids or []):
        spelled = prompts.decode(ids)
        if spelled == said and cut:
            return ids
        if spelled in (said, completion):
            count, text = prompts.trim(ids, spelled)
            if not cut or text == said:
                return ids[:count]
    box = None if cut else first_box(said)
    return prompts.encode(said if box is None else said[: box.end])


STAGE = Stage("score", settings, inputs, work)
