"""Model folders: where a recipe's model is, what it is by content, and how we make a new one."""

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rft.bundled import bundled
from rft.errors import RFTError, shown
from rft.hub import reading
from rft.model_folders.content import MARK, file_digests, folder_digest, whole_digest
from rft.model_folders.inspection import PICKLES, refuse_broken
from rft.model_folders.reading import read_object, regular_file
from rft.recipe import Model
from rft.runs.atomic import atomic_text, flush_folder
from rft.runs.folder import NotReady, Run, is_run, open_run
from rft.runs.leftovers import take_apart
from rft.runs.lock import is_held


@dataclass(frozen=True)
class ModelRef:
    """A model to load: its folder, a digest that stands for its content, and how far it is trusted.

    Trust is the recipe's that names the model, never that of a run which it may come from.
    """

    path: str
    digest: str
    revision: str | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False
    foreign: bool = field(default=False, compare=False)
    """Whether the run did not make it: its tokenizer is tried before it is used."""
    notes: Path | None = field(default=None, compare=False)
    """Where it is remembered what was found out of the folder."""

    @property
    def options(self) -> dict[str, Any]:
        """Give the options that `from_pretrained` takes."""
        return {"revision": self.revision, "trust_remote_code": self.trust_remote_code}


def base_model(run: Run, *, download: bool = True) -> ModelRef:
    """Resolve the recipe's `model`: bundled:NAME, a folder, RUN, RUN@r, or a Hub id."""
    return resolve(run.recipe.model, run.path, download=download)


def resolve(model: Model, run: Path | None = None, *, download: bool = True) -> ModelRef:
    """Resolve a model section; what is found out of foreign folders is noted in the run folder."""
    origin = follow(model)
    # Only while the run's lock is held: to plan, or to begin with another run's model, is to look.
    notes = run / "work" / "digests" if run is not None and is_held(run / "lock") else None
    if origin.folder is not None:
        refuse_broken(origin.folder, trusted=model.trust_remote_code, pickles=model.allow_pickle)
        path = origin.folder.resolve()
        digest = origin.digest or folder_digest(origin.folder, notes)
    else:
        path, digest = _on_the_hub(origin.model, run, origin.home, download=download)
        refuse_broken(path, trusted=model.trust_remote_code, pickles=model.allow_pickle)
    return ModelRef(
        str(path),
        digest,
        None,
        model.trust_remote_code,
        model.allow_pickle,
        foreign=True,
        notes=notes,
    )


@dataclass(frozen=True)
class Origin:
    """What a model section comes to, followed through the runs that it names."""

    model: Model
    """The section that names it, with the caller's trust."""
    folder: Path | None
    """None where it is on the Hub."""
    digest: str | None = None
    """What the manifest of the run that made it says."""
    home: Path | None = None
    """The run folder of that section, which knows its commit; None where it is the caller's."""


def follow(model: Model) -> Origin:
    """Find the folder of a model section, or that it is on the Hub; nothing is downloaded."""
    seen: list[str] = []
    home, asked = None, model.path
    while True:
        name, _, number = model.path.partition("@")
        if model.path.startswith("bundled:"):
            folder = bundled("data") / model.path.removeprefix("bundled:")
            if not folder.is_dir() or "/" in model.path:
                raise RFTError(f"model.path: {model.path!r} is not bundled; `bundled:tiny` is")
            return Origin(model, folder, home=home)
        if not (_there(name, is_run) and re.fullmatch("[0-9]{0,9}", number)):
            return Origin(model, _folder_or_none(model.path, number), home=home)
        source = open_run(Path(name))
        made = int(number) if number else adopted(source, last_round(source))
        if made:
            folder, digest = _made_by(source, made, model.path)
            return Origin(model, folder, digest)
        if str(source.path.resolve()) in seen:
            raise RFTError(f"model.path: {asked!r} names a run that begins with its own model")
        seen.append(str(source.path.resolve()))
        home = source.path
        named = {"path": source.recipe.model.path, "revision": source.recipe.model.revision}
        model = model.model_copy(update=named)


def _made_by(source: Run, made: int, asked: str) -> tuple[Path, str]:
    """Find a model that a run made, by the digest that its manifest names."""
    folder, manifest = source.model_folder(made), source.manifest(source.recipe.maker, made)
    if manifest is None or not (folder / MARK).is_file():
        removed = (manifest or {}).get("removed")
        raise RFTError(
            f"model.path: {asked!r}: "
            + (
                f"that model was removed ({removed}); keep.models: all keeps them"
                if removed
                else f"that run holds no finished model {made}; its last is {last_round(source)}"
            )
        )
    return folder, source.output_digest(source.recipe.maker, made, "model")


def _folder_or_none(path: str, number: str) -> Path | None:
    """Find a folder by its path; None where it can only be a name on the Hub."""
    if _there(path, Path.is_dir):
        return Path(path)
    if number.isdigit():  # no name on the Hub has an @
        raise RFTError(f"model.path: {path!r}: there is no run folder {path.partition('@')[0]}")
    if _there(path, Path.exists) or path.startswith((".", "/", "~")):
        raise RFTError(f"model.path: {path!r} is not a folder")
    return None


def _there(path: str, ask: Callable[[Path], bool]) -> bool:
    """Ask something of a path that may be none, or longer than a file system takes."""
    try:
        return ask(Path(path))
    except (OSError, ValueError):
        return False


def _on_the_hub(
    model: Model, run: Path | None, home: Path | None, *, download: bool
) -> tuple[Path, str]:
    """Download a Hub model's snapshot and name it by its commit, which the run then keeps to."""
    name = f"{model.path}@{model.revision or 'main'}"
    pinned = _pins(home) | _pins(run)
    folder = _snapshot(
        model.path, pinned.get(name) or model.revision, name in pinned, model.allow_pickle, download
    )
    commit = Path(folder).name
    if run is not None and is_held(run / "lock") and name not in pinned:
        atomic_text(run / "hub.json", json.dumps(_pins(run) | {name: commit}, indent=1) + "\n")
    return Path(folder), f"hub:{model.path}@{commit}"


def _pins(run: Path | None) -> dict[str, str]:
    """Read at which commits a run has the models of the Hub that it names."""
    if run is None or not regular_file(run / "hub.json"):
        return {}
    pins = read_object(run / "hub.json")
    for name, commit in pins.items():
        if not isinstance(commit, str) or not re.fullmatch("[0-9a-zA-Z._-]+", commit):
            raise RFTError(
                f"{run / 'hub.json'}: {shown(name)} is at no commit but {shown(commit)}; move the "
                "file away, and the run takes the commit of today"
            )
    return pins


@cache
def _snapshot(name: str, revision: str | None, known: bool, pickles: bool, download: bool) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    unwanted = ["*.gguf", "*.onnx", "original/*"]
    unwanted += [] if pickles else list(PICKLES)
    if known or not download:
        with contextlib.suppress(LocalEntryNotFoundError):  # no network for what is here already
            return str(
                snapshot_download(
                    name, revision=revision, ignore_patterns=unwanted, local_files_only=True
                )
            )
    if not download:
        raise RFTError(
            f"model.path: {name!r}: not in the cache of this machine, and to read a run nothing is "
            "downloaded"
        )
    at = f" at {revision}" if revision else ""
    with reading(f"model.path: {name!r}{at}, no folder here, cannot be read from the Hub"):
        return str(snapshot_download(name, revision=revision, ignore_patterns=unwanted))


@contextmanager
def new_model_folder(folder: Path, **about: object) -> Iterator[Path]:
    """Yield a scratch folder which becomes the model, mark and all, when the block ends well."""
    scratch, aside = (folder.with_name(f".{folder.name}.{end}") for end in ("tmp", "removed"))
    take_apart(scratch)
    take_apart(aside)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        for path in scratch.rglob("*"):  # safetensors keeps its files to their owner
            path.chmod(path.stat().st_mode | scratch.stat().st_mode & 0o444)
        flush_folder(scratch)
        files = file_digests(scratch)
        mark = {"digest": whole_digest(files), "files": files, **about}
        atomic_text(scratch / MARK, json.dumps(mark, indent=1))
        if folder.exists():
            # Renamed before it is taken apart: a folder by its own name is always whole.
            folder.rename(aside)
        scratch.rename(folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    take_apart(aside)


def last_round(run: Run) -> int:
    """Give the last round whose model was made."""
    rounds = [0]
    while run.manifest(run.recipe.maker, rounds[-1] + 1) is not None:
        rounds.append(rounds[-1] + 1)
    return rounds[-1]


def adopted(run: Run, before: int) -> int:
    """Give the last adopted model among 0..before: all are adopted where there is no gate."""
    return next((round for round in range(before, 0, -1) if is_adopted(run, round)), 0)


def all_adopted(run: Run, before: int) -> list[int]:
    """List the adopted models among 0..before, the base first."""
    return [0, *(round for round in range(1, before + 1) if is_adopted(run, round))]


def is_adopted(run: Run, round: int) -> bool:
    """Say whether a round's model was adopted."""
    if run.recipe.gate is None:
        return True
    decision = run.manifest("gate", round)
    if decision is None:
        raise NotReady(f"{run.path}: round {round} has no finished `gate`; run that first")
    return bool(decision["counts"]["adopted"])


def made_model(run: Run, round: int) -> ModelRef:
    """Refer to model `round` of the run: 0 is the base."""
    if round == 0:
        return base_model(run)
    # `keep.models` may have removed the folder: what a key needs is in the manifest.
    digest = run.output_digest(run.recipe.maker, round, "model")
    trust = run.recipe.model
    return ModelRef(
        str(run.model_folder(round)), digest, None, trust.trust_remote_code, trust.allow_pickle
    )


def is_there(run: Run, round: int) -> bool:
    """Say whether model `round` can be loaded."""
    return round == 0 or is_model(run.model_folder(round))


def is_model(folder: Path) -> bool:
    """Say whether a folder of ours is a model, whole."""
    return (folder / MARK).is_file()


def model_before(run: Run, round: int) -> ModelRef:
    """Refer to the model that round `round` samples from and starts from."""
    return made_model(run, adopted(run, round - 1))
