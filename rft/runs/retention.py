"""Which models stay on disk."""

import shutil
from pathlib import Path

from rft.runs.folder import Run
from rft.runs.models import adopted, last_round


def decided(run: Run) -> int:
    """Give the last round whose model was decided on, or measured where nothing decides."""
    last_word = "evaluate" if run.recipe.gate is None else "gate"
    rounds = range(last_round(run), 0, -1)
    return next((round for round in rounds if run.manifest(last_word, round)), 0)


def prune(run: Run, round: int) -> None:
    """Remove the models that `keep.models` does not ask for, and note that in their manifests."""
    for number in unwanted(run, round):
        remove(run, number)
    if run.recipe.keep.models != "all":
        for made in range(1, last_round(run) + 1):
            remove_trained(run, made)
    for folder in (*(run.path / "models").glob(".*.removed"), *_removed_trained(run)):
        shutil.rmtree(folder)


def unwanted(run: Run, round: int) -> list[int]:
    """List the models on disk that `keep.models` does not ask for, once a round is decided."""
    last = last_round(run)
    if run.recipe.keep.models == "all":
        return []
    stay = {adopted(run, round)}
    # A model that is not decided on yet may come to be the last adopted one.
    if run.recipe.keep.models == "adopted" or round < last:
        stay.add(last)
    return [
        number
        for number in range(1, last + 1)
        if number not in stay and run.model_folder(number).exists()
    ]


def _removed_trained(run: Run) -> list[Path]:
    return list((run.path / "trained").glob(".*.removed"))


def remove_trained(run: Run, round: int) -> None:
    """Remove what a round's model is a blend of, now that this is made."""
    folder, manifest = run.folder("trained", round), run.manifest("train", round)
    if manifest is None or not folder.exists():
        return
    manifest["outputs"]["trained"]["files"] = {}
    manifest["removed"] = "the model is made"
    run.write_manifest("train", round, manifest)
    folder.rename(folder.with_name(f".{folder.name}.removed"))


def remove(run: Run, number: int) -> None:
    """Note in a model's manifest that it is removed, and move it where it may be taken apart."""
    maker = run.recipe.maker
    manifest = run.manifest(maker, number)
    assert manifest is not None, f"model {number} has no manifest"
    manifest["outputs"]["model"]["files"] = {}
    manifest["removed"] = f"keep.models: {run.recipe.keep.models}"
    run.write_manifest(maker, number, manifest)
    folder = run.model_folder(number)
    # Renamed before it is taken apart: a folder by its own name is always whole.
    folder.rename(folder.with_name(f".{folder.name}.removed"))
    run.event("removed", model=number)
