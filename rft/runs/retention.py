"""Which models stay on disk."""

import json
import shutil

from rft.runs.atomic import atomic_text
from rft.runs.folder import Run
from rft.runs.models import adopted, last_round


def prune(run: Run, round: int) -> None:
    """Remove the models that `keep.models` does not ask for, and note that in their manifests."""
    if run.recipe.keep.models == "all":
        return
    stay = {adopted(run, round)}
    if run.recipe.keep.models == "adopted":
        stay.add(last_round(run))
    for number in range(1, last_round(run) + 1):
        manifest = run.manifest(run.recipe.maker, number)
        if number in stay or manifest is None:
            continue
        if not run.model_folder(number).exists():
            continue
        manifest["outputs"]["model"]["files"] = {}
        manifest["removed"] = f"keep.models: {run.recipe.keep.models}"
        atomic_text(
            run.manifest_path(run.recipe.maker, number), json.dumps(manifest, indent=1) + "\n"
        )
        folder = run.model_folder(number)
        # Renamed before it is taken apart: a folder by its own name is always whole.
        folder.rename(folder.with_name(f".{folder.name}.removed"))
        run.event("removed", model=number)
    for folder in (run.path / "models").glob(".model-*.removed"):
        shutil.rmtree(folder)
