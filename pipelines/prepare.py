"""Read the problems, and set aside by name the ones that cannot be used.

Reads the recipe's sources; writes problems, set_aside, and overlaps of what is learnt from with
what is measured on. That is done once, and under
`prepare.refresh: round` at the beginning of each later round too, for new problems to learn from:
dev and test stay as they are, or models of different rounds could not be compared.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rft.errors import RFTError
from rft.grading.method import Judges
from rft.grading.verifiers import needs_golds, open_verifier
from rft.licences import licence_of, model_front, stated
from rft.model_folders.loading import load_config, longest_text
from rft.problems.contamination import (
    counted,
    in_common,
    looked_for,
    mark_copies,
    mark_near_duplicates,
    overlaps,
)
from rft.problems.sources import at, problems, read_source, source_digest
from rft.prompt import Prompter, open_prompter
from rft.recipe import Prepare, Recipe, Source
from rft.recipe.parts import contents
from rft.recipe.prepare import AGAINST
from rft.recipe.section import shortest
from rft.runs import tables
from rft.runs.folder import Run
from rft.runs.models import ModelRef, base_model
from rft.runs.schemas import SPLITS
from rft.runs.stages import Job, Stage
from rft.runs.tables import file_digest
from rft.seeds import derive


def settings(run: Run, _round: int) -> dict[str, Any]:
    """List what the problems depend on."""
    recipe = run.recipe
    return {
        "seed": recipe.seed,
        "prepare": what_is_read(recipe.prepare),
        "prompt": recipe.prompt.model_dump(mode="json"),
        "verifier": shortest(recipe.grade.verifier),
        "longest_completion": longest_completion(recipe),
        "max_model_len": recipe.engine.max_model_len,
        **contents(recipe.parts, "verifiers", [recipe.grade.judge]),
        **contents_of_readers(recipe),
    }


def contents_of_readers(recipe: Recipe) -> dict[str, Any]:
    """Give the content of the parts whose gold readers the sources name."""
    used = re.findall(r'"gold_reader": "(\w+)"', recipe.prepare.model_dump_json(indent=1))
    told = contents(recipe.parts, "readers", used)
    return {"readers": told["parts"]} if told else {}


def what_is_read(prepare: Prepare) -> dict[str, Any]:
    """Give the section without what changes nothing: when to look again, and the licences."""
    told = prepare.model_dump(mode="json", exclude={"refresh", "decontaminate", "near_duplicates"})
    told |= looked_for(prepare)
    for split in SPLITS:
        given = told[split]
        sources = given.values() if isinstance(getattr(prepare, split), dict) else [given]
        for source in sources:
            if source is not None:
                source.pop("license", None)
    return told


def inputs(run: Run, round: int) -> dict[str, str]:
    """Give the digests of the sources, and of the model whose tokenizer measures prompts.

    Once read, a source may change or go away: the run carries its problems.
    """
    digests = {"model": base_model(run).digest}
    if round:
        digests["problems"] = run.problems_digest(round - 1)
    done = run.manifest("prepare", round)
    for split, name, source in wanted(run.recipe, round):
        key = f"{split}/{name}"
        noted = done["inputs"].get(key) if done else None
        digests[key] = noted or digest_now(source, needed=round == 0)
    return digests


def wanted(recipe: Recipe, round: int) -> Iterator[tuple[str, str, Source]]:
    """List the sources that are read at the beginning, or again in a later round."""
    for split in (*(recipe.splits if round == 0 else ("train",)), AGAINST):
        for name, source in recipe.prepare.benchmarks(split).items():
            yield split, name, source


def digest_now(source: Source, *, needed: bool) -> str:
    """Stand for what a source holds now; without it a run cannot begin, but a round can."""
    try:
        return source_digest(source)
    except RFTError:
        if needed:
            raise
        return "not read"


def changed_sources(run: Run) -> list[str]:
    """List the local files that are no longer what the run has read."""
    done = run.manifest("prepare", 0)
    changed = []
    for split, name, source in wanted(run.recipe, 0) if done else ():
        noted = done["inputs"].get(f"{split}/{name}") if done else None
        path = Path(source.source)
        if noted and path.is_file() and file_digest(path) != noted:
            changed.append(source.source)
    return list(dict.fromkeys(changed))


def longest_completion(recipe: Recipe) -> int:
    """Give the most tokens that a prompt must leave room for."""
    return max(recipe.learns_from.max_tokens, recipe.evaluate.max_tokens)


def work(job: Job) -> None:
    """Read, check and split the problems; in a later round, look for new ones."""
    if job.round:
        look_again(job)
        return
    run = job.run
    # Test first, then dev: what is measured keeps a problem that is in train as well.
    given = [each for each in sources(job) if each[0] != AGAINST]
    given.sort(key=lambda each: SPLITS.index(each[0]), reverse=True)
    rows = [
        row
        for split, name, source in given
        for row in read_benchmark(source, split, name, needs_gold=golds_needed(job, split))
    ]
    check(job, rows)
    own, others = may_be_copies(rows), looked_into(job)
    if run.recipe.prepare.holdout and run.recipe.prepare.decontaminate.do == "drop":
        look_for_copies(job, own, [*measured(rows), *others])  # what is dropped is not held out
    hold_out(rows, run.recipe)
    told = look_for_copies(job, own, [*measured(rows), *others])
    usable, aside = write(job, rows, told)
    refuse_empty(run.recipe, usable, aside)
    if run.recipe.grpo and run.recipe.rounds:
        run.recipe.grpo.refuse_few(len(usable.filter(pl.col("split") == "train")))
    job.counts["in"] = len(rows)
    kept = ", ".join(f"{count} {split}" for split, count in job.counts["problems"].items())
    job.say(f"problems: {kept}{set_aside(job)}")


def look_again(job: Job) -> None:
    """Read the training sources again, and take the problems that no round before has seen.

    A source that cannot be read now costs its new problems, not the round.
    """
    run, before = job.run, job.run.problems(upto=job.round - 1)
    rows, unread = [], {}
    for split, name, source in sources(job):
        if split == AGAINST:
            continue
        try:
            rows += read_benchmark(source, split, name, needs_gold=golds_needed(job, split))
        except RFTError as error:
            unread[f"{split}/{name}"] = str(error)
            job.say(f"warning: {error}; the round goes on with the problems that there are")
    seen = set(before["problem_id"])
    for number in (0, *run.refreshed(job.round - 1)):
        seen.update(run.read("set_aside", number, ["problem_id"])["problem_id"])
    new = [row for row in rows if row["problem_id"] not in seen]
    there = [row | {"reason": None} for row in before.to_dicts()]
    try:
        others = looked_into(job)
    except RFTError as error:
        unread[AGAINST] = str(error)
        job.say(f"warning: {error}; no new problem is taken before it can be looked into")
        new, others = [], []
    check(job, new, there)
    write(job, new, look_for_copies(job, may_be_copies(new), [*measured(there), *others]))
    job.counts |= {"in": len(rows), "known": len(rows) - len(new)}
    job.notes["unread"] = unread
    count = job.counts["problems"].get("train", 0)
    job.say(f"problems: {count} new among {len(rows)}{set_aside(job)}")


def looked_into(job: Job) -> list[dict[str, Any]]:
    """Read the benchmarks that are neither learnt from nor measured on, only looked into."""
    given = [each for each in sources(job) if each[0] == AGAINST]
    return [row for split, name, source in given for row in read_benchmark(source, split, name)]


def measured(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the problems that are measured on."""
    return [row for row in rows if row["split"] != "train"]


def may_be_copies(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the usable training problems that are looked at.

    Bundled problems are made of few sentences, and have them in common on purpose.
    """
    usable = [row for row in rows if row["split"] == "train" and row["reason"] is None]
    return [row for row in usable if not row["source"].startswith("bundled:")]


def look_for_copies(
    job: Job, rows: list[dict[str, Any]], others: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Tell what training problems have in common with what is measured on, and drop them if asked.

    What has been held out by now is no training problem.
    """
    how = job.run.recipe.prepare.decontaminate
    own = [row for row in rows if row["split"] == "train"]
    if how.do == "off" or not own:
        return []
    told, phrases = overlaps(own, others)
    mark_copies(own, told, how)
    job.notes["overlaps"] = counted(told, phrases)
    return told


def check(job: Job, rows: list[dict[str, Any]], before: Sequence[dict[str, Any]] = ()) -> None:
    """Set aside what cannot be asked, what cannot be judged, and what repeats another or nearly.

    Repeats come last: no problem makes way for one that cannot be used.
    """
    run = job.run
    model = base_model(run)
    prompts = open_prompter(model, run.recipe.prompt)
    mark_long(rows, prompts, window(run.recipe, model) - longest_completion(run.recipe))
    with open_verifier(run.recipe.grade) as verifier:
        mark_bad_golds(rows, verifier)
    mark_repeated([*before, *rows])
    if (threshold := run.recipe.prepare.near_duplicates) is not None:
        mark_near_duplicates([*before, *rows], threshold)


def write(
    job: Job, rows: list[dict[str, Any]], told: list[dict[str, Any]]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Write the problems, what is set aside, and what they have in common; and count them."""
    frame = pl.DataFrame(rows, schema=tables.empty("set_aside").schema)
    usable = frame.filter(pl.col("reason").is_null()).drop("reason")
    aside = frame.filter(pl.col("reason").is_not_null())
    assert len(usable) + len(aside) == len(rows), "problems in != usable + set aside"
    job.write("problems", usable)
    job.write("set_aside", aside)
    job.write("overlaps", pl.DataFrame(told, schema=tables.empty("overlaps").schema))
    by_split = dict(usable["split"].value_counts().iter_rows())
    job.counts["problems"] = {split: by_split[split] for split in SPLITS if split in by_split}
    job.counts["set_aside"] = dict(sorted(aside["reason"].value_counts().iter_rows()))
    job.notes["licences"] = licences(job)
    for place, shared in job.notes.get("overlaps", {}).items():
        if any(shared.values()):
            job.say(f"overlap: {in_common(shared, place)}")
    return usable, aside


def set_aside(job: Job) -> str:
    """Say how many problems were set aside, and why."""
    return "".join(f"; set aside {n}: {why}" for why, n in job.counts["set_aside"].items())


def sources(job: Job) -> Iterator[tuple[str, str, Source]]:
    """List what is read, by split and name, each at the commit that the manifest will name."""
    for split, name, source in wanted(job.run.recipe, job.round):
        yield split, name, at(source, job.inputs[f"{split}/{name}"])


def golds_needed(job: Job, split: str) -> bool:
    """Say whether a split needs golds: what is learnt from may be labelled instead."""
    return split != "train" or needs_golds(job.run.recipe.grade)


def read_benchmark(
    source: Source, split: str, name: str, *, needs_gold: bool = True
) -> list[dict[str, Any]]:
    """Read a source."""
    place = {"split": split, "benchmark": name}
    key = f"prepare.{split}" if name == split else f"prepare.{split}.{name}"
    return [
        row | place for row in problems(read_source(source, key), source, needs_gold=needs_gold)
    ]


def licences(job: Job) -> dict[str, str | None]:
    """Give the licence of each source that is read, and of the model; null is not stated."""
    given = (each for each in sources(job) if each[0] != AGAINST)
    told = {f"{split}/{name}": licence_of(source) for split, name, source in given}
    return told | {"model": stated(model_front(job.run))}


def window(recipe: Recipe, model: ModelRef) -> int:
    """Give the longest prompt plus completion, in tokens."""
    if recipe.engine.max_model_len is not None:
        return recipe.engine.max_model_len
    return longest_text(load_config(model)) or 1 << 30


def mark_repeated(rows: list[dict[str, Any]]) -> None:
    """Set aside what is there twice; a training problem that is in dev or test too is dropped.

    The rows of test come first, then dev's: what is measured keeps its problem. What is set aside
    already repeats nothing, and nothing repeats it.
    """
    seen: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        if row["reason"] is not None:
            continue
        split, benchmark = where = (row["split"], row["benchmark"])
        # By the question alone: with its gold spelled otherwise it is the same problem.
        places = seen.setdefault(unicodedata.normalize("NFC", row["question"]), [])
        # Two benchmarks may share a problem, and both are measured on it.
        shared = split != "train" and all(place[0] == split for place in places)
        if places and (where in places or not shared):
            first = places[0][0]
            row["reason"] = f"repeated in {split}" if first == split else f"also in {first}"
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
        if row["gold"] and all(gold in bad for gold in row["gold"]):
            row["reason"] = "gold cannot be read"


def hold_out(rows: list[dict[str, Any]], recipe: Recipe) -> None:
    """Take the dev split out of the usable training problems that have a gold, by seed."""
    wanted = recipe.prepare.holdout
    if wanted is None:
        return
    usable = [row for row in rows if row["split"] == "train" and row["reason"] is None]
    if len(usable) <= wanted:
        raise RFTError(
            f"prepare.dev.holdout: {wanted} of {len(usable)} usable training problems would leave "
            "none to train on; hold out fewer"
        )
    usable = [row for row in usable if row["gold"]]
    if len(usable) < wanted:
        raise RFTError(
            f"prepare.dev.holdout: {wanted} problems are to be measured on, and of the training "
            f"problems {len(usable)} have a gold; hold out fewer, or give dev a source of its own"
        )
    usable.sort(key=lambda row: derive(recipe.seed, "holdout", row["problem_id"]))
    for row in usable[:wanted]:
        row["split"] = "dev"
        row["benchmark"] = "dev"


def refuse_empty(recipe: Recipe, usable: pl.DataFrame, aside: pl.DataFrame) -> None:
    """Refuse a split that has sources but no usable problem."""
    present = set(usable["split"])
    for split in recipe.splits:
        if split not in present and recipe.prepare.benchmarks(split):
            here = aside.filter(pl.col("split") == split)["reason"].value_counts().iter_rows()
            reasons = "; ".join(f"{count}: {reason}" for reason, count in sorted(here))
            advice = "mend the source, its columns or its gold_reader"
            if "overlaps" in reasons or "nearly" in reasons:
                advice = "they share words with others, which decontaminate: report only tells of"
            if "prompt too long" in reasons:
                advice = (
                    f"answers of {longest_completion(recipe):,} tokens leave prompts no room in "
                    "the model's context, so lower max_tokens (evaluate, sample or grpo)"
                )
            raise RFTError(
                f"prepare.{split}: no usable problem left ({reasons or 'no rows'}); {advice}"
            )


STAGE = Stage("prepare", settings, inputs, work)
