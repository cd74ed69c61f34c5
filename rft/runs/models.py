"""Model folders: where a recipe's model is, what it is by content, and how we make a new one."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rft.bundled import bundled
from rft.errors import RFTError
from rft.hub import reading
from rft.recipe import Model
from rft.runs.atomic import atomic_text
from rft.runs.folder import NotReady, Run, is_run, open_run
from rft.runs.lock import is_held
from rft.runs.tables import file_digest

# Written last into every model folder that we make: without it the folder is not a model.
MARK = "rft.json"


@dataclass(frozen=True)
class ModelRef:
    """A model to load: its folder or Hub id, and a digest that stands for its content."""

    path: str
    digest: str
    revision: str | None = None
    trust_remote_code: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """Give the options that `from_pretrained` takes."""
        return {"revision": self.revision, "trust_remote_code": self.trust_remote_code}


def base_model(run: Run) -> ModelRef:
    """Resolve the recipe's `model`: bundled:NAME, a folder, RUN, RUN@r, or a Hub id."""
    return resolve(run.recipe.model, run.path)


def resolve(model: Model, cache: Path | None = None) -> ModelRef:
    """Resolve a model section; digests of foreign folders are remembered in the run folder.

    Only while its lock is held: to plan, or to begin with another run's model, is only to look.
    """
    name, _, number = model.path.partition("@")
    if model.path.startswith("bundled:"):
        folder = bundled("data") / model.path.removeprefix("bundled:")
        if not (folder.is_dir() and folder.parent == bundled("data") and folder.name != ".."):
            raise RFTError(f"model.path: {model.path!r} is not bundled; `bundled:tiny` is")
    elif is_run(Path(name)) and (not number or number.isdigit()):
        source = open_run(Path(name))
        made = adopted(source, last_round(source)) if not number else int(number)
        folder = source.model_folder(made)
        if made == 0:
            return resolve(source.recipe.model, source.path)
        if not (folder / MARK).is_file():
            removed = (source.manifest(source.recipe.maker, made) or {}).get("removed")
            raise RFTError(
                f"model.path: {model.path!r}: "
                + (
                    f"that model was removed ({removed}); keep.models: all keeps them"
                    if removed
                    else f"that run holds no finished model {made}; its last is "
                    f"{last_round(source)}"
                )
            )
    elif Path(model.path).is_dir():
        folder = Path(model.path)
    elif number.isdigit():  # no name on the Hub has an @
        raise RFTError(f"model.path: {model.path!r}: there is no run folder {name}")
    elif Path(model.path).exists() or model.path.startswith((".", "/", "~")):
        raise RFTError(f"model.path: {model.path!r} is not a folder")
    else:
        return _on_the_hub(model, cache)
    check_folder(folder)
    return ModelRef(
        str(folder.resolve()), folder_digest(folder, cache), None, model.trust_remote_code
    )


def _on_the_hub(model: Model, run: Path | None) -> ModelRef:
    """Download a Hub model's snapshot and name it by its commit, which the run then keeps to."""
    name = f"{model.path}@{model.revision or 'main'}"
    pins = run / "hub.json" if run else None
    pinned = json.loads(pins.read_text()) if pins and pins.is_file() else {}
    folder = _snapshot(model.path, pinned.get(name) or model.revision, name in pinned)
    commit = Path(folder).name
    if pins and is_held(pins.with_name("lock")) and name not in pinned:
        atomic_text(pins, json.dumps(pinned | {name: commit}, indent=1) + "\n")
    return ModelRef(folder, f"hub:{model.path}@{commit}", None, model.trust_remote_code)


@cache
def _snapshot(name: str, revision: str | None, known: bool) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    unwanted = ["*.bin", "*.pth", "*.gguf", "*.onnx", "original/*"]
    if known:
        with contextlib.suppress(LocalEntryNotFoundError):  # no network for what is here already
            return str(
                snapshot_download(
                    name, revision=revision, ignore_patterns=unwanted, local_files_only=True
                )
            )
    at = f" at {revision}" if revision else ""
    with reading(f"model.path: {name!r}{at}, no folder here, cannot be read from the Hub"):
        return str(snapshot_download(name, revision=revision, ignore_patterns=unwanted))


def check_folder(folder: Path) -> None:
    """Refuse a folder that lacks what a model needs."""
    wanted = {
        "config.json": ["config.json"],
        "weights": ["*.safetensors", "*.bin"],
        "tokenizer": ["tokenizer.json", "tokenizer.model", "vocab.*"],
    }
    for what, patterns in wanted.items():
        if not any(True for pattern in patterns for _ in folder.glob(pattern)):
            raise RFTError(
                f"{folder}: not a model folder, it has no {what} ({' or '.join(patterns)})"
            )


def folder_digest(folder: Path, cache: Path | None = None) -> str:
    """Hash a model folder by content; a folder of ours has its digest in its mark."""
    mark = folder / MARK
    if mark.is_file():
        return str(json.loads(mark.read_text())["digest"])
    files = sorted(path for path in folder.iterdir() if path.is_file())
    stamp = json.dumps(
        [str(folder.resolve()), [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]]
    )
    name = hashlib.sha256(stamp.encode()).hexdigest()[:16]
    remembered = None if cache is None else cache / "work" / "digests" / name
    if remembered is not None and remembered.is_file():
        return remembered.read_text()
    digest = content_digest(folder)
    if remembered is not None and cache is not None and is_held(cache / "lock"):
        atomic_text(remembered, digest)
    return digest


def content_digest(folder: Path) -> str:
    """Hash what a model folder holds, its mark and what is written about it aside."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        if path.suffix.lower() != ".md" and path.name != MARK:
            whole.update(f"{path.name} {file_digest(path)}\n".encode())
    return whole.hexdigest()


@contextmanager
def new_model_folder(folder: Path, **about: object) -> Iterator[Path]:
    """Yield a scratch folder which becomes the model, mark and all, when the block ends well."""
    scratch = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        for path in scratch.rglob("*"):  # safetensors keeps its files to their owner
            path.chmod(path.stat().st_mode | scratch.stat().st_mode & 0o444)
        digest = folder_digest(scratch)
        atomic_text(scratch / MARK, json.dumps({"digest": digest, **about}, indent=1))
        if folder.exists():
            shutil.rmtree(folder)
        scratch.rename(folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


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
    return ModelRef(str(run.model_folder(round)), digest, None, run.recipe.model.trust_remote_code)


def is_there(run: Run, round: int) -> bool:
    """Say whether model `round` can be loaded."""
    return round == 0 or (run.model_folder(round) / MARK).is_file()


def model_before(run: Run, round: int) -> ModelRef:
    """Refer to the model that round `round` samples from and starts from."""
    return made_model(run, adopted(run, round - 1))
