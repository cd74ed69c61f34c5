"""Where a run's problems come from: which content was read, and under which licence it is."""

from typing import Any

from pipelines.readers.layout import short_digest
from rft import licences
from rft.foreign_text import visible
from rft.problems.contamination import in_common
from rft.runs.folder import Run
from rft.runs.schemas import SPLITS

UNSTATED = "not stated"
NOT_LOOKED = "overlap between training and test problems was not looked for"


def sources(run: Run, round: int = 0) -> dict[str, dict[str, Any]]:
    """Describe each source as a round read it: split/NAME -> source, content, licence, ..."""
    made = run.manifest("prepare", round)
    if made is None:
        return {}
    told = {}
    for split in SPLITS:
        given = made["settings"].get("prepare", {}).get(split) or {}
        one = isinstance(given.get("source"), str)
        for name, source in {split: given}.items() if one else given.items():
            key = f"{split}/{name}"
            if isinstance(source, dict) and key in made["inputs"]:
                place = {part: source.get(part) for part in ("source", "config", "split")}
                told[key] = {
                    "name": key,
                    **place,
                    "revision": source.get("revision"),
                    "content": made["inputs"][key],
                    "licence": licence(run, made, key, source["source"]),
                }
    return told


def licence(run: Run, made: dict[str, Any], key: str, source: str) -> str | None:
    """Give a source's licence: what the recipe says by now, else what was stated when it was read.

    Older manifests note none; what is bundled needs none.
    """
    split, _, name = key.partition("/")
    said = run.recipe.prepare.benchmarks(split).get(name)
    if said is not None and said.source == source and said.license is not None:
        return said.license
    noted: str | None = made.get("licences", {}).get(key)
    bundled = licences.BUNDLED if source.startswith("bundled:") else None
    return noted if noted is not None else bundled


def model_licence(run: Run) -> str | None:
    """Give the licence of the model that the run began with, read again where none was noted."""
    noted: str | None = (run.manifest("prepare", 0) or {}).get("licences", {}).get("model")
    folder = licences.base_folder(run)
    if noted is not None or folder is None:
        return noted
    return licences.stated(licences.front_matter(folder))


def overlap_words(run: Run) -> list[str]:
    """Say what training problems have in common with what is measured on, or that nobody looked.

    Bundled problems have their sentences in common on purpose, and are not looked at.
    """
    how = run.recipe.prepare.decontaminate
    dropped = f" (dropped: {how.words} words, or nearly the same)" if how.do == "drop" else ""
    told = (run.manifest("prepare", 0) or {}).get("overlaps", {})
    return [in_common(shared, place, dropped) for place, shared in told.items()] or [NOT_LOOKED]


def find_problem(run: Run, name: str, **place: str) -> dict[str, Any] | None:
    """Find the problem of an id, in a split and benchmark if they are named, and who `read` it."""
    for round in (0, *run.refreshed()):
        rows = run.read("problems", round).filter(problem_id=name, **place)
        if len(rows):
            return rows.row(0, named=True) | {"read": round}
    return None


def origins(run: Run, problem: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the source of a problem; a held-out one names its split, and not which train source."""
    told = sources(run, problem["read"])
    if (key := f"{problem['split']}/{problem['benchmark']}") in told:
        return [told[key]]
    return [
        each
        for name, each in told.items()
        if name.startswith("train/") and each["source"] == problem["source"]
    ]


def source_words(source: dict[str, Any]) -> str:
    """Write a source in a line: its place, what was read there, and its licence."""
    parts = [source["source"]]
    parts += [f"{name} {source[name]}" for name in ("config", "split", "revision") if source[name]]
    content = source["content"]
    if not content.startswith(source["source"]):  # what is remote stands by its name and revision
        content = f"content {short_digest(content)}"
    split, _, name = source["name"].partition("/")
    key = f"prepare.{split}" if split == name else f"prepare.{split}.{name}"
    licence = source["licence"] or f"{UNSTATED} (say {key}.license)"
    return visible(f"{', '.join([*parts, content])}; licence {licence}")
