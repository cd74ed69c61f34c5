"""Write a run as a dataset folder that `datasets.load_dataset` opens without any code of ours.

Reads every finished table; writes them by config and split, with a card and what made them.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from rft import tables
from rft.errors import RFTError
from rft.measures import pass_interval, solved
from rft.models import MARK as MODEL_MARK
from rft.models import adopted, base_model, last_round, made_model
from rft.prompt import load_tokenizer, prompter
from rft.schemas import SPLITS
from rft.seeds import derive
from rft.store import Run, atomic_text

# Lists what an export wrote, so that the next one replaces that and nothing else.
MARK = "rft-export.json"
TOKEN_LISTS = ("token_ids", "logprobs", "entropies", "branching")
SFT = """prompt completion rollout_id problem_id round sample_index role rank verdict question gold
answer mean_entropy mean_branching mean_nll difficulty source model""".split()
HOLDS = {
    "sft": "the selected samples; `completion` is the trimmed response, without its end token",
    "rollouts": "every sample as it came from the model",
    "graded": "every sample, trimmed and judged; `rejected_by` is the rule, null where it was kept",
    "problems": "the questions with their known answers",
    "evaluations": "every answer that a model was measured by; `round` is the model, 0 the base",
}
Manifests = dict[tuple[int, str], dict[str, Any]]
Rows = dict[str, dict[str, int]]  # config -> split -> rows
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
    made = {(each["round"], each["stage"]): each for each in run.manifests()}
    if not sum(sum(each["counts"]["selected"].values()) for each in of_stage(made, "select")):
        raise RFTError(f"{run.path}: no selected sample to export; `rft run {run.path}` goes on")
    to = to.resolve()
    refuse_foreign(to, run)
    beside = to.with_name(f"{to.name}-model")
    number = last_adopted(run) if with_model else 0
    if with_model:
        if number == 0:
            raise RFTError(f"{run.path}: no model was adopted yet; leave --model away")
        refuse_foreign(beside, run)
    weights = made_model(run, number).path if with_model else None
    with new_folder(to, run) as folder:
        rows = write_tables(run, made, folder, token_stats=token_stats, say=say)
        shutil.copytree(run.path / "manifest", folder / "run" / "manifest")
        shutil.copy(run.path / "recipe.yaml", folder / "run")
        facts = gather(run, made, folder, rows, token_stats=token_stats)
        options = ("" if token_stats else " --no-token-stats") + " --model" * with_model
        options += f" --license {license_id}" if license_id else ""
        facts |= {"to": to.name, "options": options, "license": licence_words(license_id)}
        front = data_front(run, folder, rows, license_id)
        atomic_text(folder / "README.md", page(front, DATA_CARD, facts))
    if not license_id:
        say("warning: no --license ID, so the card says that the licence is not stated")
    if weights is None:
        return [to]
    with new_folder(beside, run) as folder:
        shutil.copytree(weights, folder, dirs_exist_ok=True)
        front = model_front(run)
        facts |= {"number": number, "license": licence_words(front.get("license"))}
        atomic_text(folder / "README.md", page(front, MODEL_CARD, facts))
    if "license" not in front:
        say("warning: no licence of the base was found; add it to the model card")
    return [to, beside]


def of_stage(made: Manifests, stage: str) -> list[dict[str, Any]]:
    """List a stage's manifests by round."""
    return [each for (_, name), each in sorted(made.items()) if name == stage]


def last_adopted(run: Run) -> int:
    """Give the last adopted model; one whose gate is still due does not count."""
    last = last_round(run)
    undecided = run.recipe.gate is not None and last and run.manifest("gate", last) is None
    return adopted(run, last - 1 if undecided else last)


# Folders ------------------------------------------------------------------------------------------


def refuse_foreign(target: Path, run: Run) -> None:
    """Refuse a folder with anything in it that no earlier export of this run wrote."""
    aside = target.with_name(f".{target.name}.rft-old")
    if aside.exists() and not target.exists():
        aside.rename(target)  # an export was killed in the moment of replacing it
    if target.exists() and not target.is_dir():
        raise RFTError(f"{target}: not a folder; choose another one")
    found = listing(target)
    if not found:
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
    changed = [name for name, content in found.items() if listed.get(name) != content]
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
    for left in (scratch, aside):
        shutil.rmtree(left, ignore_errors=True)
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
        raise
    shutil.rmtree(aside, ignore_errors=True)


# Tables -------------------------------------------------------------------------------------------


def write_tables(
    run: Run, made: Manifests, folder: Path, *, token_stats: bool, say: Say
) -> Rows:
    """Write the rows of every finished stage and count them."""
    rows: Rows = {config: {} for config in HOLDS}

    def put(config: str, split: str, frame: pl.DataFrame, round: int | None) -> None:
        if frame.is_empty():
            return
        stem = split if round is None else f"{split}-round-{round:04d}"
        for shard in tables.shards(frame.to_arrow()):
            index = len(list((folder / config).glob(f"{stem}-[0-9]*.parquet")))
            tables.write_file(folder / config / f"{stem}-{index:05d}.parquet", shard)
        rows[config][split] = rows[config].get(split, 0) + len(frame)

    problems = pl.concat(map(tables.read_file, committed(run, made, "prepare", 0, "problems")))
    for split in SPLITS:
        put("problems", split, problems.filter(pl.col("split") == split), None)
    for round, stage in sorted(made):
        if stage == "sample":
            dropped = () if token_stats else TOKEN_LISTS
            for path in committed(run, made, stage, round, "rollouts"):
                put("rollouts", "train", tables.read_file(path).drop(dropped), round)
        elif stage == "filter":
            for table in ("kept", "rejected"):
                for path in committed(run, made, stage, round, table):
                    frame = tables.read_file(path)
                    if table == "kept":
                        frame = frame.with_columns(rejected_by=pl.lit(None, pl.String))
                    put("graded", "train", frame, round)
        elif stage == "select":
            put("sft", "train", sft_rows(run, made, round, problems), round)
        elif stage == "evaluate":
            for path in committed(run, made, stage, round, "evaluations"):
                for (split,), frame in tables.read_file(path).group_by("split", maintain_order=True):
                    put("evaluations", str(split), frame, round)
        else:
            continue
        say(f"round {round}: {stage} exported")
    return rows


def committed(run: Run, made: Manifests, stage: str, round: int, table: str) -> list[Path]:
    """List the shards of a finished table, which must be what its manifest says."""
    folder = run.folder(table, round)
    if tables.folder_digest(folder) != made[round, stage]["outputs"][table]["digest"]:
        raise RFTError(
            f"{folder}: not what its manifest says (damaged, or just being redone); move it away "
            f"and `rft run {run.path}`, which makes it again"
        )
    return tables.parts(folder)


def sft_rows(run: Run, made: Manifests, round: int, problems: pl.DataFrame) -> pl.DataFrame:
    """Join a round's selected samples with their prompts and problems."""
    paths = committed(run, made, "select", round, "selected")
    selected = pl.concat(map(tables.read_file, paths)).rename({"response": "completion"})
    wanted = selected.select("rollout_id")
    columns = ["rollout_id", "prompt", "model"]
    prompts = pl.concat(
        tables.read_file(path, columns).join(wanted, on="rollout_id", how="semi")
        for path in tables.parts(run.folder("rollouts", round))
    )
    rows = selected.join(prompts, on="rollout_id", validate="1:1").join(
        problems, on="problem_id", validate="m:1"
    )
    if len(rows) < len(selected):
        raise RFTError(
            f"{run.path}: {len(selected) - len(rows)} selected samples of round {round} have no "
            "rollout or problem any more; `rft run` makes them again"
        )
    return rows.select(SFT)


# Cards --------------------------------------------------------------------------------------------
