"""Write a run as a dataset folder that `datasets.load_dataset` opens without any code of ours.

Reads every finished table; writes them by config and split, with a card and what made them.
"""

import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from pipelines.readers.cards.online import ONLINE
from pipelines.readers.cards.page import (
    DATA_CARD,
    MODEL_CARD,
    Kind,
    Manifests,
    Rows,
    config_table,
    data_front,
    gather,
    license_words,
    model_front,
    page,
)
from pipelines.readers.cards.rounds import ROUNDS
from pipelines.readers.current import sound
from pipelines.run import walk
from rft.errors import RFTError
from rft.recipe.loading import dump
from rft.runs import tables
from rft.runs.atomic import atomic_text
from rft.runs.folder import Run
from rft.runs.models import adopted, last_round, made_model
from rft.runs.schemas import SPLITS

# Lists what an export wrote, so that the next one replaces that and nothing else.
MARK = "rft-export.json"
TOKEN_LISTS = ("token_ids", "logprobs", "entropies", "branching")
# fmt: off
SFT = [
    "prompt", "completion", "rollout_id", "problem_id", "round", "sample_index", "role", "rank",
    "verdict", "question", "gold", "answer", "mean_entropy", "mean_branching", "mean_nll",
    "difficulty", "source", "model",
]
# fmt: on
# Stages with a table that is a config as it is.
AS_IT_IS = {"prepare": "problems", "grpo": "dynamics", "evaluate": "evaluations"}
# The stage that makes models -> the kind of run.
KINDS = {"sft": ROUNDS, "grpo": ONLINE}
Say = Callable[[str], None]


def export_run(
    run: Run,
    *,
    to: Path,
    license_id: str | None = None,
    token_stats: bool = True,
    with_model: bool = False,
    say: Say,
) -> list[Path]:
    """Write the dataset folder and, where asked, the last adopted model into TO-model beside it."""
    license_id = license_id and license_id.lower()
    if license_id and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license_id):
        raise RFTError(f"--license {license_id!r}: write an identifier such as apache-2.0")
    kind = KINDS[run.recipe.maker]
    made = manifests(run)
    refuse_outdated(run, made)
    if not kind.learnt(made):
        raise RFTError(
            f"{run.path}: no {kind.product} to export; `rft {run.command} {run.path}` goes on"
        )
    number = last_adopted(run) if with_model else 0
    if with_model and number == 0:
        raise RFTError(f"{run.path}: no model was adopted yet; leave --model away")
    weights = made_model(run, number).path if with_model else None
    model_head = model_front(run, kind) if with_model else {}
    to = to.resolve()
    refuse_foreign(to, run)
    beside = to.with_name(f"{to.name}-model")
    if weights:
        refuse_foreign(beside, run)
    with new_folder(to, run) as folder:
        rows = write_tables(run, kind, made, folder, token_stats=token_stats, say=say)
        shutil.copytree(run.path / "manifest", folder / "run" / "manifest")
        # Not copied: an earlier version's recipe.yaml is read in a run folder only. Whom the run
        # told of itself is nobody's business, and the command may hold an address.
        recipe = run.recipe.model_copy(update={"notify": None})
        atomic_text(folder / "run" / "recipe.yaml", dump(recipe))
        facts = gather(run, kind, made, folder)
        options = " --model" * with_model + " --no-token-stats" * (not token_stats)
        options += f" --license {license_id}" if license_id else ""
        facts |= {
            "configs": config_table(rows, token_stats),
            "folder": json.dumps(to.name),
            "command": f"rft export {facts['out']} --to {shlex.quote(to.name)}{options}",
            "license": license_words(license_id),
        }
        front = ({"license": license_id} if license_id else {}) | data_front(
            run, kind, folder, rows
        )
        atomic_text(folder / "README.md", page(front, DATA_CARD, kind, facts))
    if not license_id:
        say("warning: the card says that the licence is not stated; --license ID states it")
    if weights is None:
        return [to]
    with new_folder(beside, run) as folder:
        shutil.copytree(weights, folder, dirs_exist_ok=True)
        shutil.copytree(to / "run", folder / "run")
        facts |= {
            "number": number,
            "taught": kind.taught(made[number, run.recipe.maker]),
            "license": license_words(model_head.get("license")),
        }
        atomic_text(folder / "README.md", page(model_head, MODEL_CARD, kind, facts))
    if "license" not in model_head:
        say("warning: the base states no licence, so neither does the model card; add it there")
    return [to, beside]


def manifests(run: Run) -> Manifests:
    """Read the manifests of the recipe's stages, not those of a recipe before it."""
    stages = {stage.name for _, stage in walk(run.recipe, 1)}
    manifests = ((each["round"], each["stage"], each) for each in run.manifests())
    return {(round, stage): each for round, stage, each in manifests if stage in stages}


def refuse_outdated(run: Run, made: Manifests) -> None:
    """Refuse tables that do not stem from each other."""
    for round, stage in made:
        if sound(run, stage, round) is None:
            raise RFTError(
                f"{run.path}: `{stage}` of round {round} was made from other inputs than the run "
                f"has now; `rft {run.command} {run.path}` brings it up to date"
            )


def last_adopted(run: Run) -> int:
    """Give the last adopted model; one whose gate is still due does not count."""
    last = last_round(run)
    undecided = run.recipe.gate is not None and last and run.manifest("gate", last) is None
    return adopted(run, last - 1 if undecided else last)


# Folders ------------------------------------------------------------------------------------------


def refuse_foreign(target: Path, run: Run) -> None:
    """Refuse a folder with anything in it that no earlier export of this run wrote."""
    restore(target)
    if target.exists() and not target.is_dir():
        raise RFTError(f"{target}: not a folder; choose another one")
    there = listing(target)
    if not there:
        return
    try:
        mark = json.loads((target / MARK).read_text())
        owner, listed = mark["run"], mark["files"]
    except (OSError, ValueError, KeyError, TypeError):
        raise RFTError(
            f"{target}: not empty, and not an export of `rft export`; choose another folder"
        ) from None
    if owner != identity(run):
        raise RFTError(f"{target}: an export of another run; choose another folder, or remove it")
    changed = [name for name, content in there.items() if listed.get(name) != content]
    if changed:
        raise RFTError(
            f"{target / changed[0]}: added or changed since the export, which would be lost; move "
            "it away, or choose another folder"
        )


def listing(folder: Path) -> dict[str, str]:
    """List a folder's files, the mark aside: by content those that people edit, others by size."""
    return {
        str(path.relative_to(folder)): tables.file_digest(path)
        if path.suffix == ".md"
        else str(path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MARK
    }


def identity(run: Run) -> str:
    """Stand for the run's place without telling it: exports are published."""
    return hashlib.sha256(str(run.path.resolve()).encode()).hexdigest()[:16]


@contextmanager
def new_folder(target: Path, run: Run) -> Iterator[Path]:
    """Yield a scratch folder beside the target, whose place it takes when the block ends well."""
    scratch, aside = (target.with_name(f".{target.name}.rft-{end}") for end in ("new", "old"))
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        mark = {"run": identity(run), "files": listing(scratch)}
        atomic_text(scratch / MARK, json.dumps(mark, indent=1) + "\n")
        if target.exists():
            target.rename(aside)
        scratch.rename(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        restore(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def restore(target: Path) -> None:
    """Put the earlier export back where the new one was stopped in the moment of replacing it."""
    aside = target.with_name(f".{target.name}.rft-old")
    if aside.exists() and not target.exists():
        aside.rename(target)


# Tables -------------------------------------------------------------------------------------------


def write_tables(
    run: Run, kind: Kind, made: Manifests, folder: Path, *, token_stats: bool, say: Say
) -> Rows:
    """Write the rows of every finished stage and count them."""
    rows: Rows = {config: {} for config in kind.configs}
    for round, stage in sorted(made):
        for config, frame in frames(run, made, round, stage, token_stats=token_stats):
            parts = {("train",): frame}
            if "split" in frame.columns:
                parts = frame.partition_by("split", as_dict=True, maintain_order=True)
            for (split,), part in parts.items():
                stem = split if config == "problems" else f"{split}-round-{round:04d}"
                for shard in tables.shards(part.to_arrow()) if len(part) else ():
                    index = len(list((folder / config).glob(f"{stem}-[0-9]*.parquet")))
                    tables.write_file(folder / config / f"{stem}-{index:05d}.parquet", shard)
                    rows[config][split] = rows[config].get(split, 0) + shard.num_rows
            say(f"export: {config} of round {round}: {len(frame):,} rows")
    return {
        config: {split: rows[config][split] for split in SPLITS if split in rows[config]}
        for config in rows
    }


def frames(
    run: Run, made: Manifests, round: int, stage: str, *, token_stats: bool
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Read what a stage wrote, one shard at a time, as rows of the configs."""

    def read(table: str) -> Iterator[pl.DataFrame]:
        return map(tables.read_file, committed(run, made, stage, round, table))

    if stage in AS_IT_IS:
        yield from ((AS_IT_IS[stage], frame) for frame in read(AS_IT_IS[stage]))
    elif stage == "sample":
        dropped = () if token_stats else TOKEN_LISTS
        yield from (("rollouts", frame.drop(dropped)) for frame in read("rollouts"))
    elif stage == "filter":
        reasons = passed_over(run, made, round)
        for frame in read("kept"):
            whole = frame.with_columns(rejected_by=pl.lit(None, pl.String))
            yield "graded", whole.join(reasons, on="rollout_id", how="left", maintain_order="left")
        for frame in read("rejected"):
            yield "graded", frame.with_columns(passed_over=pl.lit(None, pl.String))
    elif stage == "select":
        yield "sft", sft_rows(run, round, pl.concat(read("selected")))


def passed_over(run: Run, made: Manifests, round: int) -> pl.DataFrame:
    """Read why kept rows of a round were not selected, as far as that was written down."""
    frames = [tables.empty("passed_over").select("rollout_id", passed_over="reason")]
    # Version 0.1 wrote no such table.
    if "passed_over" in made.get((round, "select"), {}).get("outputs", ()):
        for path in committed(run, made, "select", round, "passed_over"):
            rows = tables.read_file(path, ["rollout_id", "reason"])
            frames.append(rows.rename({"reason": "passed_over"}))
    return pl.concat(frames)


def committed(run: Run, made: Manifests, stage: str, round: int, table: str) -> list[Path]:
    """List the shards of a finished table, which must be what its manifest says."""
    folder = run.folder(table, round)
    if tables.folder_digest(folder) != made[round, stage]["outputs"][table]["digest"]:
        raise RFTError(
            f"{folder}: not what its manifest says (damaged, or just being redone); move it away "
            f"and `rft {run.command} {run.path}`, which makes it again"
        )
    return tables.parts(folder)


def sft_rows(run: Run, round: int, selected: pl.DataFrame) -> pl.DataFrame:
    """Join a round's selected samples with their prompts and problems."""
    ids, columns = selected.select("rollout_id"), ["rollout_id", "prompt", "model"]
    prompts = pl.concat(
        tables.read_file(path, columns).join(ids, on="rollout_id", how="semi")
        for path in tables.parts(run.folder("rollouts", round))
    )
    problems = run.read("problems", 0, ["problem_id", "question", "gold", "difficulty", "source"])
    rows = selected.rename({"response": "completion"}).join(
        prompts, on="rollout_id", validate="1:1", maintain_order="left"
    )
    rows = rows.join(problems, on="problem_id", validate="m:1", maintain_order="left")
    assert len(rows) == len(selected), "selected rows lost their rollout or problem"
    return rows.select(SFT)
