"""What an export of a run holds: tables by config and split, cards, and what made them.

Reads every finished table; writes into a folder that export.py and publish.py hand on.
"""

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.readers.cards.eval_results import write_eval_results
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
from pipelines.readers.names_of_files import named_manifest, named_recipe, named_rows
from pipelines.run import walk
from rft.errors import RFTError
from rft.foreign_text import harmless
from rft.model_folders.content import verify
from rft.parts.in_use import keep_copies
from rft.recipe import yaml12
from rft.runs import tables
from rft.runs.atomic import atomic_text
from rft.runs.folder import Run
from rft.runs.models import ModelRef, adopted, last_round, made_model
from rft.runs.records import sealed
from rft.runs.schemas import SPLITS

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
Facts = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What of a run is exported, looked over before anything is written."""

    run: Run
    kind: Kind
    made: Manifests
    number: int
    """The model that goes along; 0 is none."""
    license_id: str | None
    token_stats: bool

    @cached_property
    def weights(self) -> Path:
        """Name the folder of the model that goes along."""
        return Path(made_model(self.run, self.number).path)

    def command(self, place: str, *, with_model: str) -> str:
        """Give the command that exports this to a place again."""
        options = with_model + " --no-token-stats" * (not self.token_stats)
        options += f" --license {self.license_id}" if self.license_id else ""
        return f"rft export {shlex.quote(f'runs/{self.run.path.resolve().name}')} {place}{options}"


def look_over(run: Run, *, license_id: str | None, token_stats: bool, with_model: bool) -> Wanted:
    """Refuse what cannot be exported, before anything is written."""
    license_id = license_id and license_id.lower()
    if license_id and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", license_id):
        raise RFTError(f"--license {license_id!r}: write an identifier such as apache-2.0")
    kind = KINDS[run.recipe.maker]
    refuse_links(run.path / "manifest")
    made = manifests(run)
    refuse_outdated(run, made)
    if not kind.learnt(made):
        raise RFTError(
            f"{run.path}: no {kind.product} to export; `rft {run.command} {run.path}` goes on"
        )
    number = last_adopted(run) if with_model else 0
    if with_model and number == 0:
        raise RFTError(f"{run.path}: no model was adopted yet; leave --model out")
    if with_model:
        refuse_changed(made_model(run, number))
    return Wanted(run, kind, made, number, license_id, token_stats)


def refuse_changed(model: ModelRef) -> None:
    """Refuse a model that is not what was made, or would take files of other places along."""
    folder = Path(model.path)
    verify(folder, model.digest)
    refuse_links(folder)


def refuse_links(folder: Path) -> None:
    """Refuse a folder that is a link, or in which one lies: it may lead to anything."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            raise RFTError(
                f"{path}: a link, which nothing of a run is; an export would hold what it leads "
                "to: remove it"
            )


def manifests(run: Run) -> Manifests:
    """Read the manifests of the recipe's stages, not those of a recipe before it."""
    stages = {stage.name for _, stage in walk(run, 1)}
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


def write_data(wanted: Wanted, folder: Path, *, opens: str, command: str, say: Say) -> Facts:
    """Write the tables with their card, and give the facts that the cards tell."""
    run, kind = wanted.run, wanted.kind
    keep_copies(run.recipe.parts, folder / "run")  # first: one may not be there
    rows = write_tables(wanted, folder, say)
    copy_manifests(run, folder / "run")
    # Not copied: an earlier version's recipe.yaml is read in a run folder only.
    recipe = yaml12.write(harmless(named_recipe(run.recipe)))
    atomic_text(folder / "run" / "recipe.yaml", recipe)
    stated = {"license": wanted.license_id} if wanted.license_id else {}
    facts = gather(run, kind, wanted.made, folder) | {
        "configs": config_table(rows, wanted.token_stats),
        "opens": opens,
        # A name on the Hub has a slash, a folder's name has none.
        "place": "" if "/" in opens else "  # this folder, or its name on the Hub",
        "command": command,
        "license": license_words(wanted.license_id),
    }
    front = stated | data_front(run, kind, folder, rows)
    atomic_text(folder / "README.md", page(front, DATA_CARD, kind, facts))
    return facts


def copy_manifests(run: Run, folder: Path) -> None:
    """Write what is read as the run's manifests, and nothing else that lies beside them."""
    for each in run.manifests():
        path = run.manifest_path(each["stage"], each["round"])
        place = folder / path.relative_to(run.path)
        place.parent.mkdir(parents=True, exist_ok=True)
        atomic_text(place, sealed(named_manifest(each)))


def write_model_card(
    wanted: Wanted, data: Path, folder: Path, facts: Facts, *, command: str, link: str, repo: str
) -> bool:
    """Write what goes beside the weights, and say whether the base states a licence."""
    run, kind, number = wanted.run, wanted.kind, wanted.number
    front = model_front(run, kind, repo)
    shutil.copytree(data / "run", folder / "run")
    facts = facts | {
        "number": number,
        "taught": kind.taught(wanted.made[number, run.recipe.maker]),
        "license": license_words(front.get("license")),
        "command": command,
        "link": f"\n\n{link}" if link else "",
    }
    write_eval_results(run, wanted.made, number, data=data, folder=folder, repo=repo)
    atomic_text(folder / "README.md", page(front, MODEL_CARD, kind, facts))
    return "license" in front


# Tables -------------------------------------------------------------------------------------------


def write_tables(wanted: Wanted, folder: Path, say: Say) -> Rows:
    """Write the rows of every finished stage and count them."""
    run, kind, made = wanted.run, wanted.kind, wanted.made
    rows: Rows = {config: {} for config in kind.configs}
    for round, stage in sorted(made):
        told: dict[str, int] = {}
        for config, frame in frames(run, made, round, stage, token_stats=wanted.token_stats):
            frame = named_rows(frame)
            parts = {("train",): frame}
            if "split" in frame.columns:
                parts = frame.partition_by("split", as_dict=True, maintain_order=True)
            for (split,), part in parts.items():
                stem = split if config == "problems" else f"{split}-round-{round:04d}"
                for shard in tables.shards(part.to_arrow()) if len(part) else ():
                    index = len(list((folder / config).glob(f"{stem}-[0-9]*.parquet")))
                    path = folder / config / f"{stem}-{index:05d}.parquet"
                    tables.write_file(path, shard, chunked=True)
                    rows[config][split] = rows[config].get(split, 0) + shard.num_rows
            told[config] = told.get(config, 0) + len(frame)
        for config, count in told.items():
            say(f"export: {config} of round {round}: {count:,} rows")
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
        for path in run.parts("rollouts", round)
    )
    problems = run.problems(["problem_id", "question", "gold", "difficulty", "source"])
    rows = selected.rename({"response": "completion"}).join(
        prompts, on="rollout_id", validate="1:1", maintain_order="left"
    )
    rows = rows.join(problems, on="problem_id", validate="m:1", maintain_order="left")
    assert len(rows) == len(selected), "selected rows lost their rollout or problem"
    return rows.select(SFT)
