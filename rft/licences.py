"""Licences: which one a source of problems states, and which one the model that a run began with.

What nobody states is None: it is said, and never made up.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rft.bundled import bundled
from rft.foreign_text import short
from rft.recipe.prepare import Source
from rft.runs.folder import Run, is_run, open_run
from rft.runs.models import base_model

# Of all that comes with this code, data included (LICENSE, data/README.md).
BUNDLED = "apache-2.0"
SECONDS = 10.0


def licence_of(source: Source) -> str | None:
    """Give the licence of a source: the recipe's word, else what its data set's card says."""
    if source.license is not None:
        return source.license
    if source.source.startswith("bundled:"):
        return BUNDLED
    return _on_the_hub(source) if source.source.startswith("hub:") else None


def _on_the_hub(source: Source) -> str | None:
    """Ask for the card of a Hub data set; a network that fails leaves the licence unstated."""
    import httpx2
    from huggingface_hub import dataset_info

    name = source.source.removeprefix("hub:")
    try:
        card: Any = dataset_info(name, revision=source.revision, timeout=SECONDS).card_data
    except (httpx2.HTTPError, OSError, ValueError):
        return None
    return None if card is None else stated(card.to_dict())


def stated(front: Mapping[str, Any]) -> str | None:
    """Read the licence out of a card's front matter, with its name where it is none of the list."""
    given = front.get("license")
    words = ", ".join(map(str, given)) if isinstance(given, list) else str(given or "")
    if words == "other" and front.get("license_name"):
        words = f"other ({front['license_name']})"
    return short(words) or None


def front_matter(folder: Path) -> dict[str, Any]:
    """Read the YAML that a folder's README begins with; nothing where there is none to read."""
    readme = folder / "README.md"
    text = readme.read_text(errors="replace") if readme.is_file() else ""
    head = re.match(r"\s*---\n(.*?)\n---", text, re.DOTALL)
    try:
        return dict(yaml.safe_load(head[1])) if head else {}
    except (yaml.YAMLError, TypeError, ValueError):
        return {}


def model_front(run: Run) -> dict[str, Any]:
    """Read the front matter of the model that a run began with."""
    folder = base_folder(run)
    return front_matter(folder if folder is not None else Path(base_model(run).path))


def base_folder(run: Run) -> Path | None:
    """Find the first base of a run, through the runs before it; None where it is on the Hub.

    The models that runs make have no README: their licence is that of the model they began with.
    """
    passed: list[Path] = []
    while run.path.resolve() not in passed:  # a run may be made to name itself
        passed.append(run.path.resolve())
        name = run.recipe.model.path
        if name.startswith("bundled:"):
            return bundled("data") / name.removeprefix("bundled:")
        before = Path(name.partition("@")[0])
        if not is_run(before):
            return Path(name) if Path(name).is_dir() else None
        run = open_run(before)
    return None
