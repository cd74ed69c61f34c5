"""What the cards say of a run of rounds: rejection-sampling fine-tuning."""

from pathlib import Path
from typing import Any

import polars as pl

from pipelines.readers.cards.markdown import code, fenced, markdown, share, short, tally
from pipelines.readers.cards.page import Kind, Manifest, Manifests, digest_of, fate, of_stage
from pipelines.readers.composition import composition_notes, composition_rows, takes_any
from pipelines.readers.names_of_files import named
from rft.recipe import Select
from rft.runs import tables
from rft.runs.folder import Run

WORDS = {
    "what": """\
{rows} answers to {problems} problems, written by {author} in rejection-sampling fine-tuning \
(RFT): many were sampled, sifted by rules and {checked}, and these were \
picked to fine-tune the model on. {noise}""",
    "opening": """\
sft = load_dataset({opens}, "sft", split="train"){place}
right = sft.filter(lambda row: row["verdict"] == "correct")""",
    "reading": """\
From a row of `sft`, `rollout_id` leads to its judgement in `graded` and to the whole sample with \
its seed in `rollouts`, `problem_id` to its problem; `model` is the digest of the model that wrote \
it. `gold` lists the accepted answers. `rank` is the place within round and role by `{by}`, 0 the \
first. {statistics}""",
    "training": """\
To train on `sft`, tokenise `prompt`, `completion` and the end token without adding special \
tokens, and learn the completion and its end only; in TRL: \
`SFTConfig(eos_token={end!r}, completion_only_loss=True, max_length={max_length})`. Here the \
sampled `token_ids` themselves were learnt, from which a tokenised text may differ now and then.\
{cut}

The first row, its `prompt` and its `completion`:

{example}

""",
    "origin": """\
{base} after rejection-sampling fine-tuning (RFT) on answers of its own: sampled, sifted by rules \
and {checked}. The training of round {number} took {taught}.""",
    "course": """\
## Rounds

{rounds}{composition}""",
}


def facts(run: Run, made: Manifests, folder: Path) -> dict[str, Any]:
    """Collect what is said of the selected samples."""
    recipe = run.recipe
    sft = pl.concat(map(tables.read_file, tables.parts(folder / "sft")))
    first, unchecked = sft.row(0, named=True), any(map(takes_any, of_stage(made, "select")))
    several = len({each["model"] for each in of_stage(made, "sample")}) > 1
    return {
        "checked": checked(made),
        "author": code(named(recipe.model.path)) + " and models made from it" * several,
        "rows": f"{len(sft):,}",
        "problems": f"{sft['problem_id'].n_unique():,}",
        "noise": chosen_words(sft, unchecked),
        "cut": " Answers that were cut off before one stood in a box (`finish_reason` in "
        "`rollouts`) were learnt without an end."
        if unchecked
        else "",
        "by": order_of(recipe.select),
        "max_length": recipe.sft.max_length,
        "example": f"{fenced(first['prompt'])}\n\n{fenced(first['completion'])}",
        "rounds": round_table(run, made),
        "composition": composition_tables(made),
        "lineage": lineage_table(made),
    }


def checked(made: Manifests) -> str:
    """Say what the answers were checked against."""
    if any(each.get("majority") for each in of_stage(made, "grade")):
        return (
            "judged by the majority of a problem's own answers (pseudo-labels by majority, no gold)"
        )
    return "checked against the known answers"


def chosen_words(sft: pl.DataFrame, unchecked: bool) -> str:
    """Say which of the selected samples are wrong, and why they are there."""
    if unchecked:
        wrong = len(sft.filter(pl.col("verdict") != "correct"))
        return (
            "**Chosen whatever their verdict (`select.verdicts: any`): "
            f"{share(wrong, len(sft))} of them were not judged `correct`**, as the column "
            "`verdict` says; leave them out, as below, unless that is what you want."
        )
    if noise := len(sft.filter(pl.col("role") == "noise")):
        return (
            f"**Wrong on purpose: {share(noise, len(sft))} of them, marked `role=noise`**, to "
            "keep the model exploring; leave them out, as below, unless that is what you want."
        )
    return "None of them is wrong on purpose, which `role=noise` would mark."


def order_of(select: Select) -> str:
    """Name the settings by which samples are ranked."""
    named = {"by": select.by, "noise_by": select.noise_by}
    named |= {"strata": select.strata} if select.strata else {}
    named |= {"within": select.within} if select.within else {}
    named |= {"diverse": "true"} if select.diverse else {}
    return "select." + ", ".join(f"{key}: {value}" for key, value in named.items())


def selected_any(made: Manifests) -> bool:
    """Say whether any round selected any sample."""
    return any(sum(each["counts"]["selected"].values()) for each in of_stage(made, "select"))


def taught(manifest: Manifest) -> str:
    """Count the samples that a model learnt from."""
    roles = manifest["roles"]
    total = sum(roles.values())
    if unjudged := manifest.get("not_correct"):
        return f"{total:,} of them, {share(unjudged, total)} not judged correct"
    return f"{total:,} of them, {share(roles.get('noise', 0), total)} wrong on purpose"


def round_table(run: Run, made: Manifests) -> str:
    """Count what became of each round's samples."""
    lines = []
    for each in of_stage(made, "sample"):
        grade, sift, select = (
            made.get((each["round"], stage), {}).get("counts", {})
            for stage in ("grade", "filter", "select")
        )
        lines.append(
            [
                each["round"],
                f"{each['counts']['in']:,}",
                f"{each['counts']['rollouts']:,} ({each['tokens']:,} tokens)",
                tally(grade.get("verdict")),
                tally(sift.get("rejected")),
                f"{sift['kept']:,}" if sift else "-",
                tally(select.get("selected")),
                fate(run, made, each["round"]),
            ]
        )
    return markdown(
        "round, problems, sampled, judged, rejected by rules, kept, selected, model", lines
    )


def composition_tables(made: Manifests) -> str:
    """Write what each round selected against what it could have, where that was measured."""
    parts = []
    for chosen in of_stage(made, "select"):
        if rows := composition_rows(chosen):
            head, *lines = rows
            parts.append(markdown(", ".join(head), lines))
            notes = composition_notes(chosen).values()
            parts += [f"{text[0].upper()}{text[1:]}." for text in notes]
    if not parts:
        return ""
    intro = (
        "What was selected against what could have been; mean (median) over samples, a pass rate "
        "over all samples of its problem in the round:"
    )
    return "\n\n" + "\n\n".join([intro, *parts])


def lineage_table(made: Manifests) -> str:
    """Name by digest what each round read and made."""
    lines = [
        [
            each["round"],
            short(each["model"]),
            digest_of(made, each["round"], "sample", "rollouts"),
            digest_of(made, each["round"], "select", "selected"),
            digest_of(made, each["round"], "sft", "model"),
        ]
        for each in of_stage(made, "sample")
    ]
    return markdown("round, sampled from, rollouts, selected, new model", lines)


ROUNDS = Kind(
    method="rejection-sampling fine-tuning",
    tags=("sft", "rejection-sampling"),
    configs=("sft", "rollouts", "graded", "problems", "evaluations"),
    product="selected sample",
    learnt=selected_any,
    words=WORDS,
    untold=frozenset({"prompt", "score", "keep", "track"}),
    facts=facts,
    taught=taught,
)
