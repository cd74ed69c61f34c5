"""Read the problems once, and set aside by name the ones that cannot be used.

Reads the recipe's sources; writes problems and set_aside.
"""

import unicodedata
from typing import Any

import polars as pl

from rft.errors import RFTError
from rft.grading.verifiers import Judges, open_verifier
from rft.licences import licence_of, model_front, stated
from rft.problems.sources import problems, read_source, source_digest
from rft.prompt import Prompter, load_tokenizer, prompter
from rft.recipe import Prepare, Recipe
from rft.runs import tables
from rft.runs.folder import Run
from rft.runs.models import ModelRef, base_model
from rft.runs.schemas import SPLITS
from rft.runs.stages import Job, Stage
from rft.seeds import derive


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what the problems depend on."""
    recipe = run.recipe
    return {
        "seed": recipe.seed,
        "prepare": what_is_read(recipe.prepare),
        "prompt": recipe.prompt.model_dump(mode="json"),
        "verifier": recipe.grade.verifier,
        "longest_completion": longest_completion(recipe),
        "max_model_len": recipe.engine.max_model_len,
    }


def what_is_read(prepare: Prepare) -> dict[str, Any]:
    """Give the section without what changes no problem: when to look again, and the licences."""
    told = prepare.model_dump(mode="json", exclude={"refresh"})
    for split in SPLITS:
        given = told[split]
        sources = given.values() if isinstance(getattr(prepare, split), dict) else [given]
        for source in sources:
            if source is not None:
                source.pop("license", None)
    return told


def inputs(run: Run, _round: int) -> dict[str, str]:
    """Give the digests of the sources, and of the model whose tokenizer measures prompts."""
    digests = {"model": base_model(run).digest}
    done = run.manifest("prepare", 0)
    for split in splits(run.recipe):
        for name, source in run.recipe.prepare.benchmarks(split).items():
            key = f"{split}/{name}"
            try:
                digests[key] = source_digest(source)
            except RFTError:
                # Once read, a source may go away: the run carries its problems.
                if done is None or key not in done["inputs"]:
                    raise
                digests[key] = done["inputs"][key]
    return digests


def splits(recipe: Recipe) -> tuple[str, ...]:
    """List the splits that the run reads: train only to learn from, or to hold dev out of."""
    return SPLITS if recipe.rounds or recipe.prepare.holdout else SPLITS[1:]


def longest_completion(recipe: Recipe) -> int:
    """Give the most tokens that a prompt must leave room for."""
    return max(recipe.learns_from.max_tokens, recipe.evaluate.max_tokens)


def work(job: Job) -> None:
    """Read, check and split the problems."""
    run = job.run
    rows = [row for split in reversed(splits(run.recipe)) for row in read_split(run.recipe, split)]
    model = base_model(run)
    prompts = prompter(load_tokenizer(model.path, **model.options), run.recipe.prompt)
    room = window(run.recipe, model) - longest_completion(run.recipe)
    mark_repeated(rows)
    mark_long(rows, prompts, room)
    with open_verifier(run.recipe.grade) as verifier:
        mark_bad_golds(rows, verifier)
    hold_out(rows, run.recipe)
    frame = pl.DataFrame(rows, schema=tables.empty("set_aside").schema)
    usable = frame.filter(pl.col("reason").is_null()).drop("reason")
    aside = frame.filter(pl.col("reason").is_not_null())
    assert len(usable) + len(aside) == len(rows), "problems in != usable + set aside"
    refuse_empty(run.recipe, usable, aside)
    if run.recipe.grpo and run.recipe.rounds:
        run.recipe.grpo.refuse_few(len(usable.filter(pl.col("split") == "train")))
    job.write("problems", usable)
    job.write("set_aside", aside)
    by_split = dict(sorted(usable["split"].value_counts().iter_rows()))
    reasons = dict(sorted(aside["reason"].value_counts().iter_rows()))
    job.counts |= {"in": len(rows), "problems": by_split, "set_aside": reasons}
    job.notes["licences"] = licences(run)
    kept = ", ".join(f"{by_split[split]} {split}" for split in SPLITS if split in by_split)
    job.say(f"problems: {kept}" + "".join(f"; set aside {n}: {why}" for why, n in reasons.items()))


def read_split(recipe: Recipe, split: str) -> list[dict[str, Any]]:
    """Read all sources of a split."""
    rows = []
    for name, source in recipe.prepare.benchmarks(split).items():
        rows += [
            row | {"split": split, "benchmark": name}
            for row in problems(read_source(source), source)
        ]
    return rows


def licences(run: Run) -> dict[str, str | None]:
    """Give the licence of each source that is read, and of the model; null is not stated."""
    sources = {
        f"{split}/{name}": licence_of(source)
        for split in splits(run.recipe)
        for name, source in run.recipe.prepare.benchmarks(split).items()
    }
    return sources | {"model": stated(model_front(run))}


def window(recipe: Recipe, model: ModelRef) -> int:
    """Give the longest prompt plus completion, in tokens."""
    if recipe.engine.max_model_len is not None:
        return recipe.engine.max_model_len
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model.path, **model.options)
    return int(getattr(config.get_text_config(), "max_position_embeddings", 1 << 30))


def mark_repeated(rows: list[dict[str, Any]]) -> None:
    """Set aside what is there twice; a training problem that is in dev or test too is dropped.

    The rows of test come first, then dev's: what is measured keeps its problem.
    """
    seen: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        split, benchmark = where = (row["split"], row["benchmark"])
        # By the question alone: with its gold spelled otherwise it is the same problem.
        places = seen.setdefault(unicodedata.normalize("NFC", row["question"]), [])
        # Two benchmarks may share a problem, and both are measured on it.
        shared = split != "train" and all(place[0] == split for place in places)
        if places and (where in places or not shared):
            first = places[0][0]
            row["reason"] = row["reason"] or (
                f"repeated in {split}" if first == split else f"also in {first}"
            )
        else:
            places.append((split, benchmark))


def mark_long(rows: list[dict[str, Any]], prompts: Prompter, room: int) -> None:
    """Set aside problems whose prompt leaves no room for a completion."""
    for row in rows:
        if row["reason"] is None and len(prompts.encode(prompts.render(row["question"]))) > room:
            row["reason"] = "prompt too long"


def mark_bad_golds(rows: list[dict[str, Any]], verifier: Judges) -> None:
    """Set aside problems none of whose golds can be read: only an equal text would match."""
    usable = [row for row in rows if row["reason"] is None]
    bad = verifier.bad_golds(gold for row in usable for gold in row["gold"])
    for row in usable:
        if all(gold in bad for gold in row["gold"]):
            row["reason"] = "gold cannot be read"


def hold_out(rows: list[dict[str, Any]], recipe: Recipe) -> None:
    """Take the dev split out of the usable training problems, by seed."""
    wanted = recipe.prepare.holdout
    if wanted is None:
        return
    usable = [row for row in rows if row["split"] == "train" and row["reason"] is None]
    if len(usable) <= wanted:
        raise RFTError(
            f"prepare.dev.holdout: {wanted} of {len(usable)} usable training problems would leave "
            "none to train on; hold out fewer"
        )
    usable.sort(key=lambda row: derive(recipe.seed, "holdout", row["problem_id"]))
    for row in usable[:wanted]:
        row["split"] = "dev"
        row["benchmark"] = "dev"


def refuse_empty(recipe: Recipe, usable: pl.DataFrame, aside: pl.DataFrame) -> None:
    """Refuse a split that has sources but no usable problem."""
    present = set(usable["split"])
    for split in splits(recipe):
        if split not in present and recipe.prepare.benchmarks(split):
            here = aside.filter(pl.col("split") == split)["reason"].value_counts().iter_rows()
            reasons = "; ".join(f"{count}: {reason}" for reason, count in sorted(here))
            raise RFTError(
                f"prepare.{split}: no usable problem left ({reasons or 'no rows'}); "
                "mend the source, its columns or its gold_reader"
            )


STAGE = Stage("prepare", settings, inputs, work)
